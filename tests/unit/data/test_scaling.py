"""Statistics of the training part, and nothing else (SEMANTICS S5)."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch
from training_world import DAY, hand_panel, prepare, table

from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace
from tftctl.data import scaling
from tftctl.data.assemble import Prepared
from tftctl.data.panel import Panel
from tftctl.data.scaling import MIN_LABELS, fit_inputs, fit_labels, short_of_labels
from tftctl.data.splits import Cuts, assign


@pytest.fixture(scope="module")
def prepared(market: Workspace) -> Prepared:
    """Windows of the market."""
    return prepare(market)


def train_rows(panel: Panel, cut: int) -> np.ndarray:
    """Rows whose labels are known at the cut."""
    return assign(panel.available_at, panel.last_label_end(), Cuts(cut, cut + 10**15)) == 0


def test_input_statistics_are_those_of_the_tables_rows_up_to_the_cut(market: Workspace, prepared: Prepared) -> None:
    """S5: per (period, column), pooled over symbols, on unfilled rows with available_at <= c1."""
    spec = prepared.spec
    names = [item.name for item in spec.inputs]
    for place, period in enumerate(spec.periods):
        rows = pl.concat([table(market, "fused", g.symbol, period) for g in spec.groups if g.period == period])
        rows = rows.filter((pl.col("available_at") <= spec.train_end) & ~pl.col("is_filled"))
        for column, name in enumerate(names):
            values = rows[name].drop_nulls().cast(pl.Float64)
            mean, std = (values.mean(), values.std(ddof=0)) if len(values) else (0.0, 1.0)
            assert spec.input_mean[place][column] == pytest.approx(mean, abs=1e-9), name
            assert spec.input_std[place][column] == pytest.approx(std, rel=1e-6), name


def test_rows_after_the_cut_do_not_move_the_input_statistics() -> None:
    """S5: `available_at` <= c1, exactly: the row at the cut counts, the next one does not."""
    panel = hand_panel([300, 200], periods=["1h", "4h"])
    cut = int(panel.available_at[150])
    before = fit_inputs(panel, cut)
    later = panel.available_at > cut
    panel.features[later] = 1e6
    after = fit_inputs(panel, cut)
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.std, after.std)
    panel.features[150] += 1
    assert not np.array_equal(fit_inputs(panel, cut).mean, before.mean)


def test_filled_bars_and_nulls_are_no_sample() -> None:
    """T3, S5: a filled bar is never a sample of a scale; a null is left out."""
    panel = hand_panel([100])
    panel.is_filled[10:20] = True
    panel.features[10:20] = 1e6
    panel.features[30:40, 1] = np.nan
    scale = fit_inputs(panel, int(panel.available_at[-1]))
    kept = ~panel.is_filled
    assert scale.mean[0, 0] == pytest.approx(panel.features[kept, 0].astype(float).mean())
    assert scale.std[0, 1] == pytest.approx(np.nanstd(panel.features[kept, 1].astype(float)))


def test_statistics_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """S5: a mean far from 0 costs no digits, whole or in chunks, beside NumPy on the whole."""
    panel = hand_panel([1000, 700], periods=["1h", "4h"], features=3)
    panel.features[:, 1] += 1000
    panel.features[::7, 2] = np.nan
    for size in (65_536, 100, 7):
        monkeypatch.setattr(scaling, "_CHUNK", size)
        scale = fit_inputs(panel, int(panel.available_at.max()))
        for place, rows in enumerate((slice(0, 1000), slice(1000, 1700))):
            values = panel.features[rows].astype(np.float64)
            assert scale.mean[place] == pytest.approx(np.nanmean(values, axis=0), rel=1e-13)
            assert scale.std[place] == pytest.approx(np.nanstd(values, axis=0), rel=1e-12)


def test_a_column_that_is_constant_or_absent_in_training_is_only_shifted() -> None:
    """S5: no division by 0: scale 1, also where the value has no exact binary form."""
    panel = hand_panel([337], features=3)
    panel.features[:, 0] = 0.1
    panel.features[:, 1] = np.nan
    scale = fit_inputs(panel, int(panel.available_at[-1]))
    assert scale.std[0, :2].tolist() == [1, 1]
    assert scale.mean[0].tolist()[:2] == [pytest.approx(0.1), 0]


def test_scaled_inputs_are_clipped_at_ten(prepared: Prepared) -> None:
    """S5: scaled, then clipped to +-10, encoder and decoder alike."""
    source = prepared.source
    wild = dataclasses.replace(source, features=source.features * 1e6, next_known=source.next_known * -1e6)
    origins = torch.from_numpy(prepared.splits["val"][:50])
    batch = wild.gather(origins)
    assert batch["encoder"].abs().max() == 10
    assert batch["decoder"].abs().max() == 10
    assert source.gather(origins)["encoder"].abs().max() <= 10


def test_regression_labels_are_standardised_per_group_and_target_on_training_labels(
    market: Workspace, prepared: Prepared
) -> None:
    """S5: centre and scale of each (symbol, period, target) from rows whose label span ends by c1."""
    spec = prepared.spec
    names = [target.name for target in spec.targets]
    ends = [f"label_end__{name}" for name in names]
    for group in spec.groups:
        rows = table(market, "targets", group.symbol, group.period)
        rows = rows.filter(pl.max_horizontal(ends) <= spec.train_end)
        for place, target in enumerate(spec.targets):
            if target.kind == "binary":
                assert (group.centre[place], group.scale[place]) == (0, 1)
                continue
            labels = rows[names[place]].drop_nulls().cast(pl.Float64)
            assert group.centre[place] == pytest.approx(labels.mean(), rel=1e-6)
            assert group.scale[place] == pytest.approx(labels.std(ddof=0), rel=1e-6)


def test_training_labels_have_mean_0_and_deviation_1(prepared: Prepared) -> None:
    """S5: standardised labels of the training rows, group by group; no two groups share a scale."""
    panel, spec = prepared.panel, prepared.spec
    rows = train_rows(panel, spec.train_end)
    labels = prepared.source.labels.numpy()
    for number, _ in enumerate(panel.groups):
        for place, target in enumerate(spec.targets):
            if target.kind == "regression":
                mine = labels[rows & (panel.group == number), place]
                mine = mine[np.isfinite(mine)]
                assert abs(mine.mean()) < 1e-4
                assert mine.std() == pytest.approx(1, abs=1e-4)
    assert len({tuple(group.scale) for group in spec.groups}) == len(spec.groups)


def test_the_base_rate_is_that_of_training_labels_per_period(market: Workspace, prepared: Prepared) -> None:
    """M2: one rate per (target, period), pooled over symbols; none for regression."""
    spec = prepared.spec
    ends = [f"label_end__{target.name}" for target in spec.targets]
    binary = next(target for target in spec.targets if target.kind == "binary")
    for period in spec.periods:
        rows = pl.concat([table(market, "targets", g.symbol, period) for g in spec.groups if g.period == period])
        labels = rows.filter(pl.max_horizontal(ends) <= spec.train_end)[binary.name].drop_nulls()
        assert binary.base_rate[period] == pytest.approx(labels.cast(pl.Float64).mean())
    assert all(not target.base_rate for target in spec.targets if target.kind == "regression")


def test_later_labels_do_not_move_the_label_statistics() -> None:
    """S5: only labels whose span ends by c1: the label of the last row before it reaches over."""
    panel = hand_panel([600], targets=("target_x", "target_y"), horizon=5)
    panel.labels[:, 1] = panel.labels[:, 1] > 0
    cut = int(panel.available_at[400])
    train = train_rows(panel, cut)
    assert np.flatnonzero(train).max() == 395
    before = fit_labels(panel, ["regression", "binary"], train)
    panel.labels[396:] = 1e6
    after = fit_labels(panel, ["regression", "binary"], train)
    assert np.array_equal(before.centre, after.centre)
    assert np.array_equal(before.scale, after.scale)
    assert np.array_equal(before.base_rate, after.base_rate, equal_nan=True)
    assert (before.centre[0, 1], before.scale[0, 1]) == (0, 1)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e-5])
def test_a_constant_target_is_an_error(value: float) -> None:
    """S5: zero scale names target, group and value."""
    panel = hand_panel([337], symbols=["AAA"])
    panel.labels[:] = value
    with pytest.raises(DataError, match="target_x of AAA 1h is constant in training"):
        fit_labels(panel, ["regression"], np.ones(panel.rows, bool))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_binary_target_of_one_class_is_an_error(value: float) -> None:
    """M2: there is no pos_weight without both classes."""
    panel = hand_panel([300])
    panel.labels[:] = value
    with pytest.raises(DataError, match="target_x at 1h is constant"):
        fit_labels(panel, ["binary"], np.ones(panel.rows, bool))


def test_250_training_labels_are_enough_and_249_are_not() -> None:
    """S5: counted per regression target; a binary one needs no scale."""
    panel = hand_panel([MIN_LABELS + 3, MIN_LABELS + 2, 20], targets=("target_x", "target_y"), horizon=3)
    everything = np.ones(panel.rows, bool)
    assert short_of_labels(panel, ["regression", "binary"], everything) == [(1, "target_x", 249), (2, "target_x", 17)]
    assert short_of_labels(panel, ["binary", "binary"], everything) == []


def test_groups_with_too_few_labels_are_left_out_by_name(prepared: Prepared) -> None:
    """S5: `unseen: exclude` names them, with their rows."""
    named = [(s, p, rows) for reason, s, p, rows in prepared.left_out if reason == "fewer than 250 training labels"]
    assert named == [(f"SYN0{n}", "1d", 120) for n in (1, 2, 3)]
    assert "1d" not in prepared.spec.periods
    assert all(group.period != "1d" for group in prepared.panel.groups)


def test_groups_with_too_few_labels_can_be_an_error(market: Workspace) -> None:
    """S5: `unseen: error`."""
    with pytest.raises(DataError, match=r"SYN01 1d has \d+ training labels of target_logreturn, 250 are needed"):
        prepare(market, "unseen=error")


def test_no_group_with_enough_labels_is_an_error(market: Workspace) -> None:
    """S5: there is nothing left."""
    with pytest.raises(
        DataError, match=r"no group can be trained on: SYN01 1d has \d+ training labels of target_logreturn, 250 are"
    ):
        prepare(market, "periods=[1d]")


def test_declared_categories_have_codes_without_rows(market: Workspace) -> None:
    """S5: `categories` declares values allowed without training rows; codes are places in the vocabulary."""
    prepared = prepare(market, "categories.symbol=[AAA, SYN09]")
    assert prepared.spec.symbols == ["AAA", "SYN01", "SYN02", "SYN03", "SYN09"]
    batch = prepared.source.gather(torch.from_numpy(prepared.splits["val"]))
    assert set(batch["codes"][:, 0].tolist()) == {1, 2, 3}
    group = prepared.panel.groups[prepared.panel.group[int(batch["origin"][-1])]]
    assert prepared.spec.symbols[batch["codes"][-1, 0]] == group.symbol
    assert prepared.spec.periods[batch["codes"][-1, 1]] == group.period


def test_days_cut_the_market_as_configured(market: Workspace) -> None:
    """S4: `val_mode: days` through the configuration."""
    spec = prepare(market, "val_mode=days", "val_days=20", "test_days=10").spec
    assert spec.val_end - spec.train_end == 20 * DAY
    assert spec.train_end % DAY == 0
