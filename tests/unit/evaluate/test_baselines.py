"""What a network has to beat, against loops (SEMANTICS M7, M4, S6)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from training_world import HOUR, hand_panel, prepare

from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared
from tftctl.data.panel import Panel
from tftctl.data.splits import Cuts
from tftctl.evaluate.baselines import latest_known, persistence, training_means, training_quantiles
from tftctl.evaluate.comparison import NETWORK, average, compare, count_origins, pick_rows, score_models
from tftctl.evaluate.counter import count_look, looks_at_test
from tftctl.evaluate.predictions import prediction_frame
from tftctl.plugins import load_registry
from tftctl.train.predict import forecasts_of


@pytest.fixture(scope="module")
def prepared(market: Workspace) -> Prepared:
    """Windows of the market."""
    return prepare(market)


def naive_persistence(panel: Panel, place: int, row: int) -> float:
    """Look at every row of the group: of the labels known at this row's instant the one that ended last."""
    group = panel.groups[panel.group[row]]
    best, value = -1, np.nan
    for other in range(group.start, group.stop):
        end = panel.label_end[other, place]
        known = end >= 0 and end <= panel.available_at[row]
        if known and np.isfinite(panel.labels[other, place]) and end >= best:
            best, value = end, float(panel.labels[other, place])
    return value


@pytest.mark.parametrize("horizon", [1, 3, 24])
def test_persistence_is_the_label_of_row_t_minus_h(horizon: int) -> None:
    """M7: not row t-1's, whose label is still open at t; nothing before the first label has ended."""
    panel = hand_panel([90, 50], horizon=horizon)
    found = persistence(panel, 0)
    for group in panel.groups:
        labels = panel.labels[group.start : group.stop, 0]
        mine = found[group.start : group.stop]
        assert np.isnan(mine[:horizon]).all()
        assert np.array_equal(mine[horizon:], labels[:-horizon].astype(float))


def test_persistence_equals_a_loop_over_the_markets_labels(prepared: Prepared) -> None:
    """M7: with holes, filled bars and null labels, for every target."""
    panel = prepared.panel
    rng = np.random.default_rng(0)
    for place in range(len(panel.targets)):
        found = persistence(panel, place)
        holes = panel.groups[1].start + np.arange(590, 660)  # around the filled bars of SYN02 1h
        breaks = panel.groups[1].start + np.arange(1395, 1430)
        for row in [*rng.choice(panel.rows, 60), *holes, *breaks]:
            want = naive_persistence(panel, place, int(row))
            assert found[row] == want or (np.isnan(found[row]) and np.isnan(want))


def test_persistence_never_reads_a_label_that_is_still_open(prepared: Prepared) -> None:
    """M7: garbage in every label that ends after T changes no forecast made at or before T."""
    panel = prepared.panel
    cut = prepared.spec.val_end
    before = [persistence(panel, place) for place in range(len(panel.targets))]
    labels = panel.labels.copy()
    for place in range(len(panel.targets)):
        labels[panel.label_end[:, place] > cut, place] = 1e6
    poisoned = Panel(**{name: getattr(panel, name) for name in Panel.__slots__} | {"labels": labels})
    early = panel.available_at <= cut
    for place, want in enumerate(before):
        assert np.array_equal(persistence(poisoned, place)[early], want[early], equal_nan=True)


def test_of_labels_that_end_together_the_later_row_counts() -> None:
    """M7: after a hole several labels can become known at once."""
    labels = np.array([1.0, 2.0, 3.0, np.nan])
    ends = np.array([5, 9, 9, 9])
    assert latest_known(labels, ends, np.array([4, 5, 8, 9, 20])).tolist() == [
        pytest.approx(np.nan, nan_ok=True), 1, 1, 3, 3,
    ]  # fmt: skip


def test_without_labels_there_is_no_persistence() -> None:
    """M7: NaN, which leaves the origin out of the comparison."""
    assert np.isnan(latest_known(np.full(3, np.nan), np.array([1, 2, 3]), np.array([5, 6, 7]))).all()


def test_the_mean_is_that_of_the_groups_training_labels() -> None:
    """M7's companion: later labels do not move it, and groups do not share it."""
    panel = hand_panel([100, 80], horizon=2)
    cut = int(panel.available_at[60])
    want = [panel.labels[:59, 0].astype(float).mean(), panel.labels[100:159, 0].astype(float).mean()]
    panel.labels[59:98] = 1e6
    found = training_means(panel, 0, Cuts(cut, cut + HOUR))
    assert found[:100] == pytest.approx(want[0])
    assert found[100:] == pytest.approx(want[1])


def test_the_quantiles_of_the_groups_training_labels_cover_what_they_promise(prepared: Prepared) -> None:
    """M4: a head that forecasts quantiles has a baseline that does, from training labels alone, in the same terms."""
    panel, spec = prepared.panel, prepared.spec
    place = [target.kind for target in spec.targets].index("regression")
    levels = (0.1, 0.5, 0.9)
    found, ends = training_quantiles(panel, place, spec.cuts, levels), panel.last_label_end()
    for group in panel.groups:
        train = [
            float(panel.labels[row, place])
            for row in range(group.start, group.stop)
            if ends[row] <= spec.train_end and np.isfinite(panel.labels[row, place])
        ]
        assert found[group.start] == pytest.approx(np.percentile(train, [10, 50, 90]))
    origins = prepared.splits["train"]
    outputs = np.zeros((origins.size, len(spec.targets)))
    (entry,) = (f for f in forecasts_of(prepared, origins, outputs) if f.target == spec.targets[place].name)
    zeros = np.zeros((entry.truth.size, 3))
    headed = dataclasses.replace(entry, levels=levels, quantiles=zeros, quantiles_raw=zeros)
    scores = {
        (row["model"], row["period"], row["metric"]): row["value"]
        for row in score_models(compare(prepared, [headed]), load_registry())
    }
    for period in spec.periods:
        assert scores["mean", period, "coverage"] == pytest.approx(0.8, abs=0.02)
        assert 0 < scores["mean", period, "pinball"] < 0.4
        assert ("persistence", period, "pinball") not in scores


def test_models_are_compared_at_the_same_origins_in_the_same_terms(prepared: Prepared) -> None:
    """M4: rows where a baseline has no forecast are left out for all, and counted; baselines standardise alike."""
    panel, spec = prepared.panel, prepared.spec
    early = panel.available_at < panel.available_at[0] + 60 * HOUR
    origins = np.flatnonzero(early & np.isfinite(panel.labels).all(axis=1))
    outputs = np.random.default_rng(0).random((origins.size, len(spec.targets)))
    comparisons = compare(prepared, forecasts_of(prepared, origins, outputs))
    for place, comparison in enumerate(comparisons):
        models = comparison.models()
        persistent = models["persistence"]
        rows = [naive_persistence(panel, place, int(origin)) for origin in origins]
        kept = np.isfinite(rows)
        assert 0 < kept.sum() < origins.size
        assert np.array_equal(comparison.common, kept)
        assert persistent.prediction_raw == pytest.approx(np.array(rows)[kept])
        assert np.array_equal(models[NETWORK].prediction, outputs[kept, place])
        assert models[NETWORK].truth_raw == pytest.approx(panel.labels[origins[kept], place])
        again = persistent.prediction * comparison.scale[kept] + comparison.centre[kept]
        assert again == pytest.approx(persistent.prediction_raw, abs=1e-12)
    counted = count_origins(comparisons)
    assert sum(row["origins"] + row["left_out"] for row in counted) == 3 * origins.size
    assert all(row["left_out"] > 0 for row in counted)


def test_the_mean_has_no_skill_and_perfect_forecasts_have_all(prepared: Prepared) -> None:
    """M4, M5: on training origins the mean's r2 per group pools to about 0, a perfect forecast's is 1."""
    spec = prepared.spec
    origins = prepared.splits["train"]
    labels = prepared.source.labels.numpy()[origins].astype(float)
    scores = {
        (row["model"], row["target"], row["period"], row["metric"]): row["value"]
        for row in score_models(compare(prepared, forecasts_of(prepared, origins, labels)), load_registry())
    }
    for target in spec.targets:
        for period in spec.periods:
            if target.kind == "regression":
                assert scores[NETWORK, target.name, period, "r2"] == pytest.approx(1)
                assert scores["mean", target.name, period, "r2"] == pytest.approx(0, abs=0.01)
                assert scores["mean", target.name, period, "rmse"] == pytest.approx(1, abs=0.02)
            else:
                assert scores[NETWORK, target.name, period, "roc_auc"] == 1
                assert scores["mean", target.name, period, "ece"] < 0.02


def test_the_frame_of_predictions_holds_the_stored_labels(prepared: Prepared) -> None:
    """M4: one row per origin and target, in the target's unit."""
    panel, spec = prepared.panel, prepared.spec
    origins = prepared.splits["val"]
    frame = prediction_frame(compare(prepared, forecasts_of(prepared, origins, np.zeros((origins.size, 3)))))
    assert frame.select("target", "symbol", "period", "timestamp").is_unique().all()
    assert frame.height == int(np.isfinite(panel.labels[origins]).sum())
    for place, target in enumerate(spec.targets):
        mine = frame.filter(target=target.name).sort("period", "symbol", "timestamp")
        assert mine["truth"].sum() == pytest.approx(float(np.nansum(panel.labels[origins, place].astype(float))))
        if target.kind == "regression":  # a standardised 0 is the training mean
            assert np.allclose(mine["prediction"], mine["mean"])
        assert (mine["label_end"] > mine["available_at"]).all()


def test_the_forecast_of_several_checkpoints_is_their_mean(prepared: Prepared) -> None:
    """`top-k`: of values and of probabilities."""
    origins = prepared.splits["val"][:40]
    outputs = np.random.default_rng(1).random((3, 40, 3))
    averaged = average([forecasts_of(prepared, origins, one) for one in outputs])
    alone = forecasts_of(prepared, origins, outputs.mean(axis=0))
    for got, want in zip(averaged, alone, strict=True):
        assert got.prediction == pytest.approx(want.prediction)
        assert got.prediction_raw == pytest.approx(want.prediction_raw)
    half = np.arange(alone[0].truth.size) % 2 == 0
    assert pick_rows(alone[0], half).truth.size == half.sum()


def test_looks_at_the_test_part_are_counted_for_the_workspace(workspace: Workspace) -> None:
    """S6: every `eval --split test` counts, over all runs."""
    workspace.runs.mkdir()
    assert looks_at_test(workspace) == 0
    assert [count_look(workspace, run, "best") for run in ("a", "b", "a")] == [1, 2, 3]
    assert looks_at_test(workspace) == 3
