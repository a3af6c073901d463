"""The evidence of a cell: what it finds and may read, and LightGBM asked again as its oracle (A4, A5, M6)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from select_world import LEVEL, RISING, USEFUL, planted_pool, poisoned
from training_world import DAY, HOUR

from tftctl.core.config.selection import Folds, SelectionConfig, Trees
from tftctl.core.errors import DataError
from tftctl.select import tree_perm
from tftctl.select.aggregate_core import Rules, at_most
from tftctl.select.cell import make_design, measure_cell
from tftctl.select.evidence import Evidence, evidence_path
from tftctl.select.fit import least_leaf
from tftctl.select.folds import describe_cell, make_folds
from tftctl.select.importance import measure_fold, read_values
from tftctl.select.rows import Pool
from tftctl.select.shifts import SPANS, make_grid, permuted_blocks
from tftctl.select.tree_perm import TreeEvidence, judge, read_index
from tftctl.select.work import cell_seed

PLANTED = {f"f{place}" for place in USEFUL}


def quick(**changes: Any) -> SelectionConfig:
    """Settings of evidence that takes a fraction of a second."""
    options: dict[str, Any] = {
        "seed": 3,
        "trees": Trees(trees=30, leaves=7, learning_rate=0.2, column_share=0.6),
        "folds": Folds(val_ratio=0.34, train_rows=1500, test_rows=1000),
        "repeats": 2,
    }
    return SelectionConfig(**(options | changes))


def measured(pool: Pool, target: str, settings: SelectionConfig, clusters: Sequence[Sequence[int]] = ()) -> Evidence:
    cell = describe_cell(pool, target, "1h")
    return measure_cell(pool, cell, clusters, settings, cell_seed(settings, cell))


def above(found: Evidence) -> set[str]:
    return set(found.features.filter(pl.col("above"))["feature"])


@pytest.fixture(scope="module")
def pool() -> Pool:
    return planted_pool(bars=1200)


@pytest.mark.parametrize("learner", ["lightgbm", "random_forest", "extra_trees"])
@pytest.mark.parametrize("target", [LEVEL, RISING])
def test_planted_features_are_found_and_noise_is_not(pool: Pool, learner: str, target: str) -> None:
    trees = Trees(learner=learner, trees=30, leaves=15, learning_rate=0.2, column_share=0.6)  # type: ignore[arg-type]
    found = measured(pool, target, quick(trees=trees, seed=5))
    assert above(found) == PLANTED
    assert set(found.features["feature"][:3]) == PLANTED
    assert found.table.height == 24 and not found.table.filter(pl.col("kind") == "probe")["above"].any()
    best = found.features.head(3)
    assert (best["low"] > 0).all() and (best["p"] < 0.05).all()
    assert (best["low"] < best["importance"]).all() and (best["importance"] < best["high"]).all()
    assert found.facts["skill"] > 0.2 and found.facts["learner"] == learner


def test_the_threshold_is_at_least_the_largest_probe(pool: Pool) -> None:
    """At a level near one half as well, where the quantile of the null distribution is below it."""
    for level in (0.05, 0.49):
        found = measured(pool, LEVEL, quick(level=level))
        probes = found.table.filter(pl.col("kind") == "probe")
        assert found.facts["threshold_z"] >= found.facts["largest_probe_z"] == max(0, probes["z"].max())
        features = found.features
        assert (features["above"] == (features["z"] > found.facts["threshold_z"])).all()
        assert (features.filter(pl.col("z") <= found.facts["largest_probe_z"])["p"] == 1).all()
    strict, lax = (measured(pool, LEVEL, quick(level=level)).facts["threshold_z"] for level in (0.01, 0.2))
    assert strict > lax


def test_nothing_after_the_bound_is_read(pool: Pool) -> None:
    """Evidence is bit-equal when everything after `until` is other data; of later bounds it is not (A4)."""
    until = int(pool.panel.available_at.min()) + 35 * DAY + 5 * HOUR
    settings = quick(cluster_correlation=0.05)  # everything may be in a cluster
    clean, dirty = (
        judge(world.before(until), [LEVEL, RISING], settings, None, 1).cells for world in (pool, poisoned(pool, until))
    )
    for one, other in zip(clean, dirty, strict=True):
        assert one.table.equals(other.table, null_equal=True) and one.facts == other.facts
        assert one.table["cluster"].max() is not None
    seen = judge(poisoned(pool, until).before(until + DAY), [LEVEL], settings, None, 1).cells[0]
    honest = judge(pool.before(until + DAY), [LEVEL], settings, None, 1).cells[0]
    assert not seen.table.equals(honest.table, null_equal=True)


@pytest.mark.parametrize("target", [LEVEL, RISING])
def test_importance_is_what_lightgbm_says_of_permuted_rows(pool: Pool, target: str) -> None:
    """One fold again, step by step: LightGBM on scikit-learn's losses, every unit permuted and predicted anew."""
    import lightgbm
    from sklearn.metrics import log_loss

    settings = quick(repeats=2)
    cell = describe_cell(pool, target, "1h")
    seed = cell_seed(settings, cell)
    fold = make_folds(pool, cell, settings.folds, seed)[1]
    design, _ = make_design(pool, cell, [[0, 1]], seed)
    found = measure_fold(pool, cell, fold, design, settings, seed)

    rng = np.random.default_rng([*seed, fold.number])
    place = pool.panel.targets.index(target)
    binary = target == RISING
    train, test = (pool.panel.labels[rows, place].astype(float) for rows in (fold.train, fold.test))
    if not binary:
        for symbol in (0, 1):
            mine = pool.panel.group[fold.train] == symbol
            mean, scale = train[mine].mean(), train[mine].std()
            train[mine] = np.clip((train[mine] - mean) / scale, -5, 5)
            here = pool.panel.group[fold.test] == symbol
            test[here] = np.clip((test[here] - mean) / scale, -5, 5)
    options = {
        "objective": "binary" if binary else "regression", "learning_rate": 0.2, "num_leaves": 7, "seed":
        int(rng.integers(2**31)), "feature_fraction": 0.6, "bagging_fraction": 0.7, "bagging_freq": 1,
        "min_data_in_leaf": least_leaf(train.size), "max_bin": 63, "bin_construct_sample_cnt": 10_000,
        "num_threads": 1, "deterministic": True, "force_col_wise": True, "verbose": -1,
    }  # fmt: skip
    fitted, values = (read_values(pool, design, rows) for rows in (fold.train, fold.test))
    booster = lightgbm.train(options, lightgbm.Dataset(fitted, train, params=options), 30)

    def loss(rows: np.ndarray) -> float:
        forecast = booster.predict(rows)
        if binary:
            return float(log_loss(test, forecast)) * test.size
        return float(((test - forecast) ** 2).sum())

    instants = pool.panel.available_at[fold.test]
    width = max(2 * cell.span_ms, int(instants.max() - instants.min()) // 40)
    grid = make_grid(instants, pool.panel.group[fold.test].astype(np.int64))
    sources = [permuted_blocks(grid, width, rng) for _ in range(2)]
    assert found.model.sum() == pytest.approx(loss(values), rel=1e-9)
    assert found.rows.sum() == test.size
    assert len(design.units) == 26  # features, probes, a cluster and that of its probes
    for number, unit in enumerate(design.units):
        total = 0.0
        for source in sources:
            moved = values.copy()
            moved[:, unit] = values[source][:, unit]
            total += loss(moved) - loss(values)
        assert found.increase[number].sum() == pytest.approx(total / 2, abs=1e-6 * loss(values))


def test_blocks_of_losses_are_at_least_two_label_spans_long(pool: Pool) -> None:
    """M6: with labels of 20 hours blocks are of 40, and all symbols of an instant are in the same one."""
    ends = np.where(pool.panel.label_end < 0, -1, pool.panel.label_end + 17 * HOUR)
    long = replace(pool, panel=replace(pool.panel, label_end=ends))
    settings = quick(folds=Folds(val_ratio=0.34))
    cell = describe_cell(long, LEVEL, "1h")
    assert cell.span_ms == 20 * HOUR
    (fold, *_) = make_folds(long, cell, settings.folds, cell_seed(settings, cell))
    design, _ = make_design(long, cell, [], cell_seed(settings, cell))
    found = measure_fold(long, cell, fold, design, settings, cell_seed(settings, cell))
    at = long.panel.available_at[fold.test]
    naive: dict[int, int] = {}
    for instant in at.tolist():
        number = (instant - int(at.min())) // (40 * HOUR)
        naive[number] = naive.get(number, 0) + 1
    assert found.rows.tolist() == [naive[number] for number in sorted(naive)]


def test_probes_are_shifted_features_of_the_same_symbol(pool: Pool) -> None:
    """All alike, by more than ten label spans; what the calendar makes has none."""
    known = replace(pool, known=frozenset({"f0", "f5"}))
    cell = describe_cell(known, LEVEL, "1h")
    design, shift = make_design(known, cell, [[0, 1, 2], [5, 6]], [1, 2])
    assert [known.periods["1h"][place] for place in design.probes] == [f"f{n}" for n in range(12) if n not in (0, 5)]
    rows = design.rows
    values = read_values(known, design, rows)
    assert np.array_equal(values[:, :12], known.panel.features[rows])
    assert np.array_equal(values[:, 12:], known.panel.features[rows[design.source]][:, design.probes])
    here, there = known.panel.available_at[rows], known.panel.available_at[rows[design.source]]
    assert (known.panel.group[rows] == known.panel.group[rows[design.source]]).all()
    assert (np.abs(here - there) > SPANS * cell.span_ms).all()
    lags = np.unique((here - there) // HOUR)
    assert lags.tolist() == [shift - np.unique(here).size, shift]
    assert [unit.tolist() for unit in design.units[22:]] == [[0, 1, 2], [5, 6], [12, 13]]
    found = measured(known, LEVEL, quick(), [[0, 1, 2], [5, 6]])
    probes = found.table.filter(pl.col("kind") == "probe")
    assert probes.height == 10 and not {"f0", "f5"} & set(probes["feature"])
    clustered = dict(found.features.drop_nulls("cluster").select("feature", "cluster").iter_rows())
    assert set(clustered) == {"f0", "f1", "f2", "f5", "f6"} and clustered["f5"] == clustered["f6"] != clustered["f0"]


def test_twins_are_worth_more_together_than_alone(pool: Pool) -> None:
    """Two copies of a signal stand in for each other: alone each seems to be worth little."""
    features = pool.panel.features.copy()
    rng = np.random.default_rng(5)
    features[:, 0] = features[:, 1] + 0.01 * rng.standard_normal(len(features))
    twins = replace(pool, panel=replace(pool.panel, features=features))
    found = judge(twins, [LEVEL], quick(), None).cells[0].features
    rows = {row["feature"]: row for row in found.to_dicts()}
    clustered = {name for name, row in rows.items() if row["cluster"] is not None}
    assert clustered == {"f0", "f1"} and rows["f0"]["cluster"] == rows["f1"]["cluster"]
    together = rows["f0"]["cluster_importance"]
    assert together == rows["f1"]["cluster_importance"] and rows["f0"]["cluster_above"]
    assert together > 1.3 * max(rows["f0"]["importance"], rows["f1"]["importance"])
    assert together == pytest.approx(rows["f4"]["importance"], rel=0.4)


def test_shifted_labels_have_no_evidence() -> None:
    """Labels turned in time, all symbols together: in at most two of twelve worlds anything passes at level 0.05.

    Three or more of twelve have a chance of 2 % where the level is what it says.
    """
    false = 0
    for seed in range(12):
        world = planted_pool(features=9, bars=600, seed=50 + seed)
        labels = world.panel.labels.copy()
        by = int(np.random.default_rng(seed).integers(100, 500))
        for group in world.panel.groups:
            mine = slice(group.start, group.stop - 3)
            labels[mine] = np.roll(labels[mine], by, axis=0)
        world = replace(world, panel=replace(world.panel, labels=labels))
        found = measured(world, LEVEL, quick(seed=seed))
        assert found.facts["skill"] < 0.05
        false += bool(above(found))
    assert false <= 2


def judged(pool: Pool, folder: Path | None, jobs: int | None = None, **changes: Any) -> TreeEvidence:
    fewer = {"trees": Trees(trees=8, leaves=7, learning_rate=0.3), "repeats": 2}
    return judge(pool, [LEVEL, RISING], quick(**(fewer | changes)), folder, jobs)


def test_threads_change_nothing(pool: Pool) -> None:
    one, three = (judged(pool, None, jobs) for jobs in (1, 3))
    for mine, other in zip(one.cells, three.cells, strict=True):
        assert mine.table.equals(other.table, null_equal=True) and mine.facts == other.facts
    trees = Trees(trees=8, leaves=7, learning_rate=0.3)
    lone = judge(pool, [RISING], quick(trees=trees), None).cells[0]
    assert lone.table.equals(one.cells[1].table, null_equal=True)  # whatever else is judged beside it


def test_fresh_evidence_is_read_and_changed_settings_make_it_anew(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = tree_perm.measure_cell, []
    monkeypatch.setattr(tree_perm, "measure_cell", lambda *given: (calls.append(given[1].target), measure(*given))[1])
    first = judged(pool, tmp_path)
    assert sorted(calls) == [LEVEL, RISING] and first.fresh == 0
    again = judged(pool, tmp_path, topk=3, rolling={"folds": 5})  # nothing that judging depends on
    assert len(calls) == 2 and again.fresh == 2
    for mine, other in zip(first.cells, again.cells, strict=True):
        assert mine.table.equals(other.table, null_equal=True)
        assert json.loads(json.dumps(mine.facts)) == dict(other.facts)
    table = evidence_path(tmp_path, "1h", LEVEL)
    assert pl.read_csv(table.with_suffix(".csv"))["z"].to_list() == pytest.approx(pl.read_parquet(table)["z"].to_list())
    table.write_bytes(table.read_bytes()[:500])
    table.with_name(f"1h-{RISING}.json").write_text("{")
    with pytest.raises(DataError, match=r"1h-target_level\.parquet cannot be read"):
        read_index(tmp_path)
    mended = judged(pool, tmp_path)
    assert len(calls) == 4 and mended.fresh == 0
    for cell, one in zip(read_index(tmp_path), first.cells, strict=True):
        assert cell.table.equals(one.table, null_equal=True)
    for number, changes in enumerate(({"level": 0.1}, {"repeats": 1}, {"seed": 4}, {"trees": Trees(trees=5)}), 1):
        assert judged(pool, tmp_path, **changes).fresh == 0 and len(calls) == 4 + 2 * number
    judged(replace(pool, data="other rows"), tmp_path)
    assert len(calls) == 14
    earlier = judged(replace(pool, data="other rows").before(pool.until - 2 * DAY), tmp_path)
    assert len(calls) == 16 and earlier.fresh == 0


def test_evidence_that_is_not_there_or_not_complete(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells that were done are kept when the next one fails or is stopped."""
    with pytest.raises(DataError, match="has no evidence"):
        read_index(tmp_path / "none")
    measure = tree_perm.measure_cell

    def stopped(pool: Pool, cell: Any, *rest: Any) -> Evidence:
        if cell.target == RISING:
            raise KeyboardInterrupt
        return measure(pool, cell, *rest)

    monkeypatch.setattr(tree_perm, "measure_cell", stopped)
    with pytest.raises(KeyboardInterrupt):
        judged(pool, tmp_path, 1)
    with pytest.raises(DataError, match="is not complete: tree-perm was stopped"):
        read_index(tmp_path)
    monkeypatch.setattr(tree_perm, "measure_cell", measure)
    resumed, whole = judged(pool, tmp_path), judged(pool, None)
    assert resumed.fresh == 1
    for mine, other in zip(resumed.cells, whole.cells, strict=True):
        assert mine.table.equals(other.table, null_equal=True)


def test_a_topk_is_at_most_what_was_judged(pool: Pool) -> None:
    """A period that was left out may have had features of its own: nobody asked for more than there is."""
    evidence = [measured(replace(pool, periods={"1h": pool.panel.columns[:5]}), LEVEL, quick(trees=Trees(trees=3)))]
    for asked, kept in ((99, 5), (None, 5), (3, 3)):
        assert at_most(Rules(weights={}, topk=asked), evidence).topk == kept


def test_cells_that_cannot_be_judged_are_left_out_by_name(pool: Pool, tmp_path: Path) -> None:
    labels = pool.panel.labels.copy()
    labels[:, 1] = np.where(np.isnan(labels[:, 1]), np.nan, 1)
    alike = replace(pool, panel=replace(pool.panel, labels=labels))
    with pytest.raises(DataError, match=r"target_rising at 1h, test fold 1 .* have only class 1$"):
        judge(alike, [LEVEL, RISING], quick(), tmp_path)
    assert not list(tmp_path.iterdir())  # found before anything is fitted
    found = judge(alike, [LEVEL, RISING], quick(), tmp_path, skip_unfit=True)
    assert [cell.target for cell in found.cells] == [LEVEL] and [cell.target for cell in found.unfit] == [RISING]
    index = json.loads((tmp_path / "index.json").read_text())
    assert [entry["target"] for entry in index["cells"]] == [LEVEL]
    assert "only class 1" in index["unfit"][0]["why"]
    with pytest.raises(DataError, match=r"only class 1$"):
        judge(alike, [RISING], quick(), tmp_path, skip_unfit=True)
