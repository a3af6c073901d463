"""Walk-forward validation: what each fold may read, and its numbers against naive ones (SEMANTICS A4, A5, M6)."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from select_world import LEVEL, RISING, USEFUL, planted_pool, poisoned
from training_world import DAY

from tftctl.core.config.selection import Folds, Rolling, SelectionConfig, Trees
from tftctl.core.errors import DataError, UsageError
from tftctl.select.aggregate_core import Rules
from tftctl.select.ledger import Ledger
from tftctl.select.rolling_validate import FoldResult, Validated, validate, validation_key
from tftctl.select.rows import Pool

PLANTED = {f"f{place}" for place in USEFUL}
TARGETS = [LEVEL, RISING]
RULES = Rules(weights={LEVEL: 1.0, RISING: 0.5})
PENALTY = 0.5772156649015329


def settings(**changes: Any) -> SelectionConfig:
    rolling = {"folds": 3, "random_sets": 2, "selection_folds": 1, "repeats": 1, "train_rows": 800, "test_rows": 600}
    return SelectionConfig(
        seed=3,
        trees=Trees(trees=15, leaves=7, learning_rate=0.3, column_share=0.7),
        folds=Folds(val_ratio=0.34),
        rolling=Rolling.model_validate(rolling | changes),
    )


def run(pool: Pool, folder: Path, rules: Rules = RULES, **changes: Any) -> Validated:
    return validate(pool, TARGETS, rules, settings(**changes), Ledger(folder / "trials.jsonl"), folder=folder / "rows")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return planted_pool(bars=1200)


@pytest.fixture(scope="module")
def found(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Validated:
    return run(pool, tmp_path_factory.mktemp("rolling"))


def test_the_planted_features_are_selected_before_every_block(found: Validated) -> None:
    """And score like all features, far better than random sets."""
    for fold in found.folds:
        assert set(fold.selected) == PLANTED
        assert fold.mine.skill > 0.3
    assert set(found.frequency) == {f"f{place}" for place in range(12)}
    assert {name for name, share in found.frequency.items() if share == 1} == PLANTED
    assert (found.jaccard, found.kuncheva) == (1, 1)
    random = found.gains["random"]
    assert random is not None and random.low > 0


def test_blocks_are_the_last_days_and_rows_are_purged(pool: Pool, found: Validated) -> None:
    """Three blocks of a tenth of 50 days; a task tests labels within its block only, and trains on earlier ones."""
    last = (int(pool.panel.available_at[pool.labelled("1h", LEVEL)].max()) - 1) // DAY * DAY + DAY
    assert [(fold.first, fold.last) for fold in found.folds] == [
        (last - (3 - number) * 5 * DAY, last - (2 - number) * 5 * DAY) for number in range(3)
    ]
    by_value = {row.tobytes(): number for number, row in enumerate(pool.panel.features)}
    for fold in found.folds:
        assert [task.cell.target for task in fold.tasks] == TARGETS
        for task in fold.tasks:
            place = pool.panel.targets.index(task.cell.target)
            train = [by_value[row.tobytes()] for row in task.train]
            test = [by_value[row.tobytes()] for row in task.test]
            assert len(train) == 800 and pool.panel.label_end[train, place].max() <= fold.first
            whole = [
                row for row in range(pool.panel.rows)
                if pool.panel.available_at[row] >= fold.first and 0 < pool.panel.label_end[row, place] <= fold.last
            ]  # fmt: skip
            assert test == whole


def test_a_fold_selects_from_what_was_known_before_its_block(pool: Pool, found: Validated, tmp_path: Path) -> None:
    """Everything later is other data: the selections, and the scores of the blocks before, stay as they are."""
    changed = run(poisoned(pool, found.folds[-1].first), tmp_path)
    assert [fold.selected for fold in changed.folds] == [fold.selected for fold in found.folds]
    for mine, clean in zip(changed.folds[:-1], found.folds[:-1], strict=True):
        assert scores_of(mine) == scores_of(clean)
    assert changed.folds[-1].mine.skill < 0.1 < found.folds[-1].mine.skill


def scores_of(fold: FoldResult) -> list[float | None]:
    last = None if fold.previous is None else fold.previous.skill
    return [fold.mine.skill, fold.everything.skill, *(score.skill for score in fold.random), last]


def test_what_each_block_is_compared_with(pool: Pool, found: Validated) -> None:
    """All features, random sets of the same size, and the last block's set, of which the first block has none."""
    previous = None
    for fold in found.folds:
        assert fold.everything.features == pool.features
        assert [len(set(score.features)) for score in fold.random] == [len(fold.selected)] * 2
        assert fold.random[0].features != fold.random[1].features
        assert (fold.previous.features if fold.previous else None) == previous
        previous = fold.selected
    assert found.folds[0].previous is None
    draws = {score.features for fold in found.folds for score in fold.random}
    assert len(draws) == 6


def naive_skills(found: Validated, kind: str) -> dict[str, float]:
    """Per target 1 - loss / loss of the constant over all folds; of random sets the mean loss."""
    skills = {}
    for place, target in enumerate(TARGETS):
        loss = constant = 0.0
        for fold in found.folds:
            if kind == "random":
                loss += np.mean([score.losses[place].model.sum() for score in fold.random])
            else:
                score = {"mine": fold.mine, "all": fold.everything}[kind]
                loss += score.losses[place].model.sum()
            constant += fold.mine.losses[place].constant.sum()
        skills[target] = 1 - loss / constant
    return skills


@pytest.mark.parametrize("other", ["all", "random"])
def test_gains_are_differences_of_skill_weighed_by_target(found: Validated, other: str) -> None:
    mine, theirs = naive_skills(found, "mine"), naive_skills(found, other)
    gain = found.gains[other]
    assert gain is not None
    weights = {LEVEL: 2 / 3, RISING: 1 / 3}
    assert gain.value == pytest.approx(sum(weights[name] * (mine[name] - theirs[name]) for name in TARGETS), abs=1e-12)
    assert gain.low < gain.value < gain.high and gain.se > 0
    assert (gain.high - gain.low) / gain.se == pytest.approx(3.9, abs=0.5)  # about two standard errors both ways


def test_skills_are_those_of_losses_computed_again(found: Validated) -> None:
    """The losses of a block's constant forecast, from its labels."""
    from sklearn.metrics import log_loss, mean_squared_error

    for fold in found.folds:
        level, rising = fold.tasks
        constant = np.full(level.test_labels.size, level.train_labels.mean())
        expected = mean_squared_error(level.test_labels, constant) * constant.size
        assert fold.mine.losses[0].constant.sum() == pytest.approx(expected, rel=1e-9)
        rate = np.full(rising.test_labels.size, rising.train_labels.mean())
        expected = log_loss(rising.test_labels, rate) * rate.size
        assert fold.mine.losses[1].constant.sum() == pytest.approx(expected, rel=1e-9)
        skills = [1 - losses.model.sum() / losses.constant.sum() for losses in fold.mine.losses]
        assert fold.mine.skill == pytest.approx((2 * skills[0] + skills[1]) / 3, abs=1e-12)
        for losses, task in zip(fold.mine.losses, fold.tasks, strict=True):
            assert losses.rows.sum() == task.test_labels.size


def test_the_last_selection_is_compared_from_the_second_block_on(found: Validated) -> None:
    """All three blocks selected the same here: nothing is gained."""
    last = found.gains["last_selection"]
    assert last is not None and (last.value, last.se) == (0, 0)


def test_deflation_takes_the_trials_of_the_ledger(pool: Pool, tmp_path: Path) -> None:
    """Those made before, and this one; the statistic is computed again with scipy."""
    Ledger(tmp_path / "trials.jsonl").count("optimize-subset", "before", {LEVEL: 40, RISING: 7, "target_other": 900})
    found = run(pool, tmp_path, folds=2)
    assert found.trials == {LEVEL: 41, RISING: 8}
    gain = found.gains["all"]
    assert gain is not None and found.overall.trials == 41
    expected = (1 - PENALTY) * norm.ppf(1 - 1 / 41) + PENALTY * norm.ppf(1 - 1 / (41 * math.e))
    assert found.overall.gain == pytest.approx(gain.value - expected * gain.se, rel=1e-9)
    assert found.overall.p == pytest.approx(norm.sf(gain.value / gain.se - expected), rel=1e-6)
    assert found.per_target[RISING].trials == 8
    again = run(pool, tmp_path, folds=2)  # the same work is the same trial
    assert again.trials == found.trials and again.document() == found.document()
    assert run(pool, tmp_path, folds=3).trials == {LEVEL: 42, RISING: 9}


def test_evidence_of_folds_is_kept_and_read_again(
    pool: Pool, found: Validated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the second block's evidence, it goes on there and says the same."""
    from tftctl.select import tree_perm

    measure, calls = tree_perm.measure_cell, []

    def stopping(*given: Any) -> Any:
        calls.append(given[1].target)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setattr(tree_perm, "measure_cell", stopping)
    with pytest.raises(KeyboardInterrupt):
        validate(pool, TARGETS, RULES, settings(), Ledger(tmp_path / "trials.jsonl"), 1, folder=tmp_path / "rows")
    assert sorted(path.name for path in (tmp_path / "rows").iterdir())[:2] == ["fold_1", "fold_2"]
    resumed = run(pool, tmp_path)
    assert len(calls) == 5 + 2
    assert resumed.document() == found.document()


def test_the_document(found: Validated) -> None:
    document = json.loads(json.dumps(found.document()))
    assert list(document) == ["folds", "unfit", "gains", "stability", "trials", "deflated"]
    assert list(document["gains"]) == ["all", "random", "last_selection"]
    assert list(document["gains"]["all"]) == ["value", "se", "low", "high"]
    assert list(document["stability"]) == ["frequency", "jaccard", "kuncheva"]
    assert list(document["deflated"]) == ["statistic", "trials", "gain", "p", "per_target"]
    first, second, _ = document["folds"]
    assert list(first) == ["first", "last", "selected", "skill"]
    assert list(first["skill"]) == ["selected", "all", "random", "random_low", "random_high", "last_selection"]
    assert first["skill"]["last_selection"] is None and second["skill"]["last_selection"] is not None
    for fold in document["folds"]:
        skill = fold["skill"]
        assert skill["random"] == pytest.approx((skill["random_low"] + skill["random_high"]) / 2)


def test_the_key_changes_with_what_is_asked_and_not_with_the_search(pool: Pool) -> None:
    mine = settings()
    key = validation_key(pool, TARGETS, RULES, mine)
    assert key == validation_key(pool, TARGETS, RULES, mine.model_copy(update={"optimize": {"trials": 3}}))
    others = [
        validation_key(pool, [LEVEL], RULES, mine),
        validation_key(pool.before(pool.until - DAY), TARGETS, RULES, mine),
        validation_key(pool, TARGETS, replace(RULES, topk=3), mine),
        validation_key(pool, TARGETS, RULES, settings(folds=2)),
    ]
    assert len({key, *others}) == 5


def test_rows_that_cannot_be_divided_are_refused(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"50 days cannot be split into 9 test blocks of 0\.2"):
        run(pool, tmp_path, folds=9, test_ratio=0.2)
    with pytest.raises(DataError, match="training rows are left after purging, and it needs 200"):
        run(pool, tmp_path, folds=4, test_ratio=0.22)
    assert not (tmp_path / "trials.jsonl").exists() and not (tmp_path / "rows").exists()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (replace(RULES, topk=13), "topk 13: the pool has 12 features"),
        (replace(RULES, pinned=["f12"]), "pinned: 'f12' is no feature"),
        (replace(RULES, banned=["g*"]), r"banned: 'g\*' is no feature"),
        (replace(RULES, weights={LEVEL: 0.0, RISING: 0.0}), "weighs 0"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused_before_anything_is_judged(
    pool: Pool, tmp_path: Path, rules: Rules, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(pool, tmp_path, rules)
    assert not list(tmp_path.iterdir())


def test_a_target_with_one_class_before_the_first_block_is_left_out_by_name(pool: Pool, tmp_path: Path) -> None:
    labels = pool.panel.labels.copy()
    early = pool.panel.available_at < pool.panel.available_at.max() - 14 * DAY
    labels[early, 1] = np.where(np.isnan(labels[early, 1]), np.nan, 0)
    alike = replace(pool, panel=replace(pool.panel, labels=labels))
    with pytest.raises(DataError, match=r"target_rising at 1h.* have only class 0"):
        run(alike, tmp_path)
    left = validate(alike, TARGETS, RULES, settings(), Ledger(tmp_path / "trials.jsonl"), skip_unfit=True)
    assert [unfit.target for unfit in left.unfit] == [RISING] and list(left.trials) == [LEVEL]
    assert set(left.folds[0].selected) == PLANTED
