"""The search on pools whose useful features are known: what it finds, what it may read, and that it can be stopped."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from select_world import LEVEL, RISING, USEFUL, planted_pool, small_search

from tftctl.core.config.selection import SelectionConfig
from tftctl.core.errors import DataError, UsageError
from tftctl.core.periods import DAY_MS
from tftctl.core.times import parse_iso
from tftctl.select import optimize_subset, study
from tftctl.select.ledger import Ledger
from tftctl.select.optimize_subset import Optimized, nested_start, optimize, search_tasks
from tftctl.select.rows import Pool
from tftctl.select.search import METHODS

NAMES = {f"f{place}" for place in USEFUL}


def run(pool: Pool, settings: SelectionConfig, folder: Path, **options: Any) -> Optimized:
    features = options.pop("features", pool.panel.columns)
    weights = options.pop("weights", {})
    return optimize(pool, features, weights, settings, folder / "study.db", Ledger(folder / "trials.jsonl"), **options)


def timeless(found: Optimized, *without: str) -> dict[str, Any]:
    """The document without what a clock or the place of the file decides."""
    document = found.document()
    return {key: value for key, value in document.items() if key not in ("seconds", "study", *without)}


def every_method(*quick: str) -> list[Any]:
    """All of them; those that are not named here in the slow tests."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return planted_pool()


@pytest.mark.parametrize("method", every_method("elimination"))
def test_the_planted_features_are_found(pool: Pool, tmp_path: Path, method: str) -> None:
    """All of them, and at most one that is noise, from a ranking that says nothing; unseen days agree."""
    features = [f"f{place}" for place in range(11, -1, -1)]
    settings = small_search(method, trials=90, size_penalty=0.1, test_rows=2000)
    found = run(pool, settings, tmp_path, features=features)
    assert set(found.selected) >= NAMES
    assert len(found.selected) <= len(NAMES) + 1
    assert list(found.selected) == [name for name in features if name in found.selected]
    assert found.nested.scores.skill > 0.4
    assert found.nested.scores.gain.value == pytest.approx(
        found.nested.scores.skill - found.nested.scores.pool_skill, abs=1e-12
    )


def test_the_document(pool: Pool, tmp_path: Path) -> None:
    document = json.loads(json.dumps(run(pool, small_search(trials=7), tmp_path).document()))
    assert list(document) == [
        "method", "pool", "selected", "size", "objective", "skill", "pool_skill", "trials", "stopped_by", "seconds",
        "history", "nested", "unfit", "study",
    ]  # fmt: skip
    assert list(document["nested"]) == [
        "first", "last", "skill", "pool_skill", "gain", "spent_before", "seen_by_pool",
    ]  # fmt: skip
    assert list(document["nested"]["gain"]) == ["value", "se", "low", "high"]
    history = document["history"]
    assert [row["trial"] for row in history] == [1, 2, 3, 4, 5, 6, 7] and document["trials"] == 7
    assert document["pool"] == history[0]["size"] == 12 and document["pool_skill"] == history[0]["skill"]
    best = max(history, key=lambda row: row["objective"])
    assert (document["size"], document["skill"], document["objective"]) == (
        best["size"], best["skill"], best["objective"],
    )  # fmt: skip
    for row in history:
        assert row["objective"] == pytest.approx(row["skill"] - 0.002 * row["size"] / 12, abs=1e-12)
        assert row["best"] == max(other["objective"] for other in history[: row["trial"]])


@pytest.mark.parametrize("method", every_method("tpe", "elimination"))
@pytest.mark.parametrize("stop", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_a_killed_search_goes_on_as_if_undisturbed(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, stop: int
) -> None:
    settings = small_search(method, trials=10)
    whole = run(pool, settings, tmp_path / "whole")
    score, calls = optimize_subset.score_set, []

    def killed(*arguments: Any) -> Any:
        calls.append(arguments[1])
        if len(calls) > stop:
            raise KeyboardInterrupt
        return score(*arguments)

    monkeypatch.setattr(optimize_subset, "score_set", killed)
    with pytest.raises(KeyboardInterrupt):
        run(pool, settings, tmp_path / "cut")
    before = len(calls) - 1
    calls.clear()
    monkeypatch.setattr(optimize_subset, "score_set", lambda *given: (calls.append(given[1]), score(*given))[1])
    resumed = run(pool, settings, tmp_path / "cut")
    assert timeless(resumed) == timeless(whole)
    assert before == stop and len(calls) == len(whole.searched.trials) - stop


def test_a_finished_search_evaluates_nothing(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(pool, small_search(trials=5), tmp_path)
    monkeypatch.setattr(optimize_subset, "score_set", None)
    again = run(pool, small_search(trials=5), tmp_path)
    assert again.document() == first.document()


def test_a_larger_budget_continues_the_study(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score, calls = optimize_subset.score_set, []
    monkeypatch.setattr(optimize_subset, "score_set", lambda *given: (calls.append(given[1]), score(*given))[1])
    short = run(pool, small_search(trials=6), tmp_path)
    long = run(pool, small_search(trials=14), tmp_path)
    assert len(calls) == 14
    assert long.searched.trials[:6] == short.searched.trials
    straight = run(pool, small_search(trials=14), tmp_path / "straight")
    assert timeless(long, "nested") == timeless(straight, "nested")


def test_minutes_already_spent_count(pool: Pool, tmp_path: Path) -> None:
    """What the study says that its trials took is what a rerun with fewer minutes stops at."""
    found = run(pool, small_search(trials=10), tmp_path)
    three = sum(trial.seconds for trial in found.searched.trials[:3])
    again = run(pool, small_search(trials=10, minutes=three / 60), tmp_path)
    assert again.searched.stopped_by == "minutes"
    assert again.searched.trials == found.searched.trials[:3]


@pytest.mark.parametrize("method", every_method("tpe"))
def test_threads_change_nothing(pool: Pool, tmp_path: Path, method: str) -> None:
    settings = small_search(method, trials=8)
    one, three = (run(pool, settings, tmp_path / str(jobs), jobs=jobs) for jobs in (1, 3))
    assert timeless(one) == timeless(three)


def test_the_search_never_reads_the_nested_fold(pool: Pool, tmp_path: Path) -> None:
    """Labels that end after its first instant and features of its rows are poisoned: only the fold's figures change."""
    settings = small_search(trials=10)
    first = nested_start(pool, settings)
    late = pool.panel.label_end > first
    labels, features = pool.panel.labels.copy(), pool.panel.features.copy()
    labels[late & ~np.isnan(labels)] = 1.0
    labels[late & ~np.isnan(labels) & (np.arange(late.shape[0])[:, None] % 2 == 0)] = 0.0
    features[pool.panel.available_at >= first] = -7.0
    poisoned = replace(pool, panel=replace(pool.panel, labels=labels, features=features))
    clean, changed = run(pool, settings, tmp_path / "clean"), run(poisoned, settings, tmp_path / "poisoned")
    assert timeless(clean, "nested") == timeless(changed, "nested")
    assert clean.nested.scores != changed.nested.scores


def test_rows_of_search_and_nested_fold(pool: Pool, tmp_path: Path) -> None:
    """Counted by hand: 100 days of hourly rows, the last 15 are the fold; search labels end by its first instant."""
    settings = small_search(trials=2)
    first = nested_start(pool, settings)
    labelled = ~np.isnan(pool.panel.labels[:, 0])
    days = sorted({int(instant - 1) // DAY_MS for instant in pool.panel.available_at[labelled]})
    assert first == days[-round(0.15 * len(days))] * DAY_MS
    wide = replace(pool, embargo_ms=5 * 3_600_000)
    found = run(wide, settings, tmp_path)
    assert (found.nested.first, found.nested.last) == (first, int(pool.panel.label_end.max()))
    tasks, unfit = search_tasks(pool.before(first), pool.panel.columns, {LEVEL: 1.0, RISING: 1.0}, settings)
    assert not unfit and len(tasks) == 4
    assert max(task.cell.last_label_end for task in tasks) == first


def test_weights_divide_among_periods_and_zero_leaves_out(pool: Pool, tmp_path: Path) -> None:
    found = run(pool, small_search(trials=2), tmp_path, weights={RISING: 0.0})
    line = json.loads((tmp_path / "trials.jsonl").read_text().splitlines()[0])
    assert line["trials"] == {LEVEL: 2}
    alone = run(replace(pool, kinds={LEVEL: "regression"}), small_search(trials=2), tmp_path / "alone")
    assert timeless(found) == timeless(alone)
    with pytest.raises(UsageError, match="every target weighs 0"):
        run(pool, small_search(), tmp_path, weights={RISING: 0.0, LEVEL: 0.0})


def test_looks_at_the_nested_fold_are_counted(pool: Pool, tmp_path: Path) -> None:
    """The same work again is the same look; another seed is another, and the first stays the first."""
    settings = small_search(trials=4)
    ledger = Ledger(tmp_path / "trials.jsonl")
    assert run(pool, settings, tmp_path).nested.spent_before == 0
    assert run(pool, settings, tmp_path).nested.spent_before == 0
    other = settings.model_copy(update={"seed": 4})
    assert run(pool, other, tmp_path).nested.spent_before == 1
    assert run(pool, settings, tmp_path).nested.spent_before == 0
    assert ledger.trials([LEVEL, RISING]) == {LEVEL: 8, RISING: 8}


def test_a_larger_budget_with_another_result_is_another_look(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(run(pool, small_search(trials=1), tmp_path).selected) == 12
    found = run(pool, small_search(trials=25, size_penalty=0.002), tmp_path)
    assert len(found.selected) < 12
    assert found.nested.spent_before == 1


@pytest.mark.parametrize(("hours", "seen"), [(None, None), (0, False), (1, True)])
def test_evidence_that_has_read_the_nested_fold(
    pool: Pool, tmp_path: Path, hours: int | None, seen: bool | None
) -> None:
    settings = small_search(trials=1)
    until = None if hours is None else nested_start(pool, settings) + hours * 3_600_000
    assert run(pool, settings, tmp_path, evidence_until=until).nested.seen_by_pool is seen


def test_cells_that_are_too_small_are_named(pool: Pool, tmp_path: Path) -> None:
    """One class before the nested fold: the search has no such cell; one class in it: the fold has none."""
    settings = small_search(trials=2)
    first = nested_start(pool, settings)
    place = pool.panel.targets.index(RISING)
    for part, where in ((pool.panel.label_end[:, place] <= first, "test fold"),
                        (pool.panel.available_at >= first, "the nested fold")):  # fmt: skip
        labels = pool.panel.labels.copy()
        labels[part & ~np.isnan(labels[:, place]), place] = 1.0
        spoiled = replace(pool, panel=replace(pool.panel, labels=labels), data=where)
        (unfit,) = run(spoiled, settings, tmp_path / where).unfit
        assert (unfit.target, unfit.period) == (RISING, "1h")
        assert where in unfit.why
        with pytest.raises(DataError, match=where):
            run(replace(spoiled, kinds={RISING: "binary"}), settings, tmp_path / "none")


def test_one_feature_and_none(pool: Pool, tmp_path: Path) -> None:
    found = run(pool, small_search(), tmp_path, features=["f4"])
    assert found.selected == ("f4",) and found.searched.stopped_by == "exhausted"
    assert found.nested.scores.gain.value == 0
    with pytest.raises(UsageError, match="no feature to search"):
        run(pool, small_search(), tmp_path, features=[])
    with pytest.raises(UsageError, match="'f44' has no values") as error:
        run(pool, small_search(), tmp_path, features=["f4", "f44"])
    assert "did you mean" in error.value.hint


def test_a_day_is_no_pool() -> None:
    with pytest.raises(DataError, match="nothing is left before a nested fold"):
        nested_start(planted_pool(bars=24), small_search())


def test_the_study_is_optunas(pool: Pool, tmp_path: Path) -> None:
    """Read with Optuna alone: finished trials whose parameters are the features."""
    found = run(pool, small_search(trials=5), tmp_path)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    (summary,) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=summary.study_name, storage=storage).trials
    assert [trial.values[0] for trial in trials] == [row["objective"] for row in found.document()["history"]]
    assert [sum(trial.params.values()) for trial in trials] == [trial.size for trial in found.searched.trials]
    assert set(trials[0].params) == set(pool.panel.columns)
    assert {trial.user_attrs["method"] for trial in trials} == {"tpe"}
    assert [trial.user_attrs["skill"] for trial in trials] == [trial.skill for trial in found.searched.trials]


def test_one_file_keeps_studies_apart(pool: Pool, tmp_path: Path) -> None:
    """Of other methods, weights, features and rows; minutes, trials and patience make no other study."""
    settings = small_search(trials=1)
    run(pool, settings, tmp_path)
    run(pool, small_search(trials=1, minutes=7.0, patience=9), tmp_path)
    assert len(optuna.get_all_study_names(f"sqlite:///{tmp_path / 'study.db'}")) == 1
    run(pool, small_search("genetic", trials=1), tmp_path)
    run(pool, settings, tmp_path, weights={LEVEL: 2.0})
    run(pool, settings, tmp_path, features=pool.panel.columns[:5])
    run(replace(pool, data="other"), settings, tmp_path)
    assert len(optuna.get_all_study_names(f"sqlite:///{tmp_path / 'study.db'}")) == 5


def test_optuna_says_nothing(pool: Pool, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(pool, small_search(trials=8), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_no_study_stays_as_it_is(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    file.write_bytes(b"symbol,close\nBTC,1\n" * 100)
    with pytest.raises(DataError, match=r"study\.db.*not a database"):
        run(pool, small_search(trials=2), tmp_path)
    assert file.read_bytes() == b"symbol,close\nBTC,1\n" * 100
    file.unlink()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE prices (close REAL)")
    with pytest.raises(DataError, match="none of Optuna's: it has the table 'prices'"):
        run(pool, small_search(trials=2), tmp_path)
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


def test_a_study_that_was_killed_while_it_was_made(pool: Pool, tmp_path: Path) -> None:
    """Tables are made one by one, the studies' first."""
    whole = run(pool, small_search(trials=2), tmp_path)
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in tables:
            database.execute(f"DELETE FROM {name}" if name == "studies" else f"DROP TABLE {name}")
        database.commit()
    assert timeless(run(pool, small_search(trials=2), tmp_path)) == timeless(whole)


def test_a_damaged_study(pool: Pool, tmp_path: Path) -> None:
    run(pool, small_search(trials=8), tmp_path)
    file = tmp_path / "study.db"
    content = bytearray(file.read_bytes())
    content[8192 : len(content) // 2] = b"\x55" * (len(content) // 2 - 8192)
    file.write_bytes(content)
    with pytest.raises(DataError) as error:
        run(pool, small_search(trials=8), tmp_path)
    assert "\n" not in error.value.message and "study.db" in error.value.message
    assert file.read_bytes() == content


def test_a_locked_study_loses_nothing(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "LOCK_SECONDS", 0.05)
    short = run(pool, small_search(trials=3), tmp_path)
    with closing(sqlite3.connect(tmp_path / "study.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataError, match="locked") as error:
            run(pool, small_search(trials=6), tmp_path)
        assert "another program" in error.value.hint
        other.rollback()
    assert run(pool, small_search(trials=6), tmp_path).searched.trials[:3] == short.searched.trials


def test_a_trial_that_is_none_of_the_search(pool: Pool, tmp_path: Path) -> None:
    run(pool, small_search(trials=2), tmp_path)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    (name,) = optuna.get_all_study_names(storage)
    optuna.load_study(study_name=name, storage=storage).add_trial(optuna.trial.create_trial(value=9.0))
    with pytest.raises(DataError, match=r"trial 2 of .* is none of a search"):
        run(pool, small_search(trials=3), tmp_path)


def test_a_damaged_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "trials.jsonl")
    ledger.count("optimize-subset", "key", {LEVEL: 3})
    with ledger.path.open("a") as file:
        file.write('{"kind": "tri')
    with pytest.raises(DataError, match="line 2 is damaged"):
        ledger.trials([LEVEL])


def test_times_are_iso(pool: Pool, tmp_path: Path) -> None:
    found = run(pool, small_search(trials=1), tmp_path)
    nested = found.document()["nested"]
    assert parse_iso(nested["first"]) == found.nested.first < parse_iso(nested["last"]) == found.nested.last
