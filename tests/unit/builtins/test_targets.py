"""Built-in targets against the definitions written as plain loops (SEMANTICS L1, L2, L3)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builtin_bars import builtin_names, family_names, flat_bars, labels, random_bars, real_days, target, then
from label_loops import agree, every_row, holes, past_volatility, random_holes

from tftctl.api import LabelSpan
from tftctl.features.labels import compute_labels

NAMES = [
    "target_logreturn", "target_binarytrend", "target_logsharpe_ratio", "target_realized_vol", "target_max_drawdown",
    "target_drawdown_prob",
]  # fmt: skip
EVERY = builtin_names("target")


def naive(name: str, bars: pl.DataFrame, h: int, per_year: int) -> list[float | None]:
    """L1 and L3, one row at a time."""
    return every_row(bars, h, lambda rows, t, h: naive_label(name, rows.close, t, h, per_year))


def naive_label(name: str, close: list[float], t: int, h: int, per_year: int) -> float | None:
    """The label of bar t."""
    path = [math.log(value) for value in close[t : t + h + 1]]
    ahead = path[-1] - path[0]
    volatility = past_volatility(close, t)
    fall = max(max(path[: i + 1]) - path[i] for i in range(h + 1))
    match name:
        case "target_logreturn":
            return ahead
        case "target_binarytrend":
            return float(close[t + h] > close[t])
        case "target_logsharpe_ratio":
            return None if volatility is None else ahead / (volatility * math.sqrt(h))
        case "target_realized_vol":
            return math.sqrt(per_year / h * sum((path[i] - path[i - 1]) ** 2 for i in range(1, h + 1)))
        case "target_max_drawdown":
            return fall
        case "target_drawdown_prob":
            return None if volatility is None else float(fall >= volatility * math.sqrt(h))
    raise AssertionError(name)


def test_every_target_is_held_against_a_loop() -> None:
    """The lists of the files of tests are complete: here returns and risk, beside it the other families."""
    elsewhere = family_names("target", "trend", "breakout", "volatility", "outliers", "barriers")
    assert sorted(NAMES) == family_names("target", "returns", "risk")
    assert sorted([*NAMES, *elsewhere]) == EVERY


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("horizon", [None, 1, 13])
def test_real_days_against_a_loop(shared_data: Path, name: str, horizon: int | None) -> None:
    """L3 on BTC days, with the default horizon and two others."""
    bars = real_days(shared_data, "BTCUSDT", 400)
    h = target(name, horizon=horizon).horizon["1d"]
    agree(labels(bars, name, 365, horizon=horizon), naive(name, bars, h, 365))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("horizon", [1, 10, 24])
def test_filled_bars_and_breaks_against_a_loop(name: str, horizon: int) -> None:
    """L1: filled ends, horizons over a break, too many filled bars."""
    bars = holes(random_bars(600, seed=2), *random_holes())
    found = labels(bars, name, horizon=horizon)
    agree(found, naive(name, bars, horizon, 8760))
    assert 50 < np.isnan(found).sum() < 590


@pytest.mark.parametrize("name", EVERY)
def test_last_rows_have_no_label(name: str) -> None:
    """L1: what has not happened is null; the row before has its label."""
    h = target(name).horizon["1h"]
    found = labels(random_bars(200), name)
    assert np.isnan(found[-h:]).all()
    assert not np.isnan(found[-h - 1])


@pytest.mark.parametrize("name", EVERY)
def test_a_series_no_longer_than_the_horizon_has_no_label(name: str) -> None:
    """L1 for the shortest series."""
    h = target(name).horizon["1h"]
    for size in {1, h}:
        assert np.isnan(labels(random_bars(size), name)).all()


def test_a_tenth_of_filled_bars_is_allowed_and_more_is_not() -> None:
    """L1: one filled bar of ten is not more than 10 %, two are."""
    one = labels(holes(random_bars(60), [30], []), "target_logreturn", horizon=10)
    two = labels(holes(random_bars(60), [30, 32], []), "target_logreturn", horizon=10)
    inside = np.arange(21, 29)  # both holes lie strictly between bar t and bar t+10 or only the first does
    assert not np.isnan(one[inside]).any()
    np.testing.assert_array_equal(np.isnan(two[inside]), [False, True, True, True, True, True, True, True])
    assert np.isnan(one[[20, 30]]).all()


def test_label_end_is_when_the_last_bar_of_the_horizon_is_complete() -> None:
    """L1: `label_end` = available_at of bar t+h in the same segment, null only where there is none."""
    bars = holes(random_bars(80), [40], [50])
    bars = bars.with_columns(available_at=pl.col("available_at") + pl.Series(np.arange(80) % 7))
    instance = target("target_max_drawdown", horizon=9)
    found = compute_labels(bars, [instance], 8760)["label_end__target_max_drawdown_h9"].to_list()
    done = bars["available_at"].to_list()
    expected = [done[t + 9] if (t + 9 < 50 or t >= 50) and t + 9 < 80 else None for t in range(80)]
    assert found == expected


def test_default_horizons() -> None:
    """L2: 24 hours and 5 days; one bar for the return, its sign and ratio, and outliers."""
    one_bar = {"target_logreturn", "target_binarytrend", "target_logsharpe_ratio"}
    one_bar |= {"target_return_outlier_lower_10", "target_return_outlier_upper_90"}
    for name in EVERY:
        expected = {"1h": 1, "1d": 1} if name in one_bar else {"1h": 24, "1d": 5}
        assert target(name).horizon == expected, name


def test_column_names_of_other_instances() -> None:
    """L2: `target_logreturn_h24`."""
    assert target("target_logreturn", horizon=24).column == "target_logreturn_h24"
    assert target("target_max_drawdown").column == "target_max_drawdown"
    assert target("target_drawdown_prob", k=1.5).column == "target_drawdown_prob_1p5"


def test_a_tie_is_no_rise() -> None:
    """L3: ln(C[t+h] / C[t]) > 0; a tie is 0."""
    assert labels(flat_bars(5), "target_binarytrend")[:4].tolist() == [0, 0, 0, 0]


def test_no_past_volatility_no_label() -> None:
    """L2: a yardstick of 0 is null, also when it stood still after it had moved."""
    bars = then(random_bars(150), flat_bars(130, random_bars(150)["close"][-1]))
    for name in ("target_logsharpe_ratio", "target_drawdown_prob"):
        found = labels(bars, name)
        assert np.isnan(found[:100]).all()
        assert not np.isnan(found[100:249]).any()
        assert np.isnan(found[249:]).all()


def test_drawdown_threshold_scales_with_its_parameter() -> None:
    """L3: k in units of vol sqrt(h), against the loop."""
    bars = random_bars(400)
    deepest = naive("target_max_drawdown", bars, 24, 8760)
    close = bars["close"].to_list()
    found = labels(bars, "target_drawdown_prob", k=1.7)
    for t in range(100, 376):
        limit = 1.7 * past_volatility(close, t) * math.sqrt(24)
        assert found[t] == (deepest[t] >= limit)
    assert 0 < found[100:376].sum() < 276


@pytest.mark.parametrize("name", EVERY)
def test_bars_after_the_horizon_change_no_bit(name: str) -> None:
    """A2: the label of row t is a function of the bars up to t+h."""
    bars = random_bars(300)
    h, cut = target(name).horizon["1h"], 200
    moved = labels(then(bars.head(cut), random_bars(100, seed=8)), name)
    found, alone = labels(bars, name), labels(bars.head(cut), name)
    np.testing.assert_array_equal(found[: cut - h], moved[: cut - h])
    np.testing.assert_array_equal(found[: cut - h], alone[: cut - h])


@pytest.mark.parametrize("name", EVERY)
def test_bars_before_the_yardstick_change_nothing(name: str) -> None:
    """A2: the declared lookback is all that a label reads of the past."""
    bars, t = random_bars(400), 250
    instance = target(name)
    span = LabelSpan("1h", instance.horizon["1h"], 8760)
    back = instance.record.yardstick(instance.params, span).lookback
    moved = then(random_bars(t - back + 1, seed=6), bars.slice(t - back + 1))
    np.testing.assert_allclose(labels(moved, name)[t:], labels(bars, name)[t:], rtol=1e-9)
    nearer = then(random_bars(t - back + 2, seed=6), bars.slice(t - back + 2))
    if name in ("target_logreturn", "target_logsharpe_ratio", "target_realized_vol"):
        assert labels(nearer, name)[t] != labels(bars, name)[t]


@pytest.mark.parametrize("name", NAMES)
def test_every_bar_of_the_horizon_matters_to_some_row(name: str) -> None:
    """A2: a change of bar t+h, and for path targets of bar t+1, changes some label."""
    bars = random_bars(300)
    found = labels(bars, name)
    scale = np.ones(300)
    scale[200] = 0.7
    moved = labels(bars.with_columns(close=pl.col("close") * pl.Series(scale)), name)
    h = target(name).horizon["1h"]
    changed = np.flatnonzero(~((found == moved) | (np.isnan(found) & np.isnan(moved))))
    assert (changed >= 200 - h).all()
    assert changed[0] < 200
    if name in ("target_realized_vol", "target_max_drawdown"):
        assert changed[0] == 200 - h


def test_bars_per_year_annualise_realised_volatility() -> None:
    """L3: sqrt(B / h sum r^2), B = 252 for sessions."""
    bars = random_bars(60)
    hourly, daily = (labels(bars, "target_realized_vol", per_year) for per_year in (8760, 252))
    np.testing.assert_allclose(hourly[:36] / daily[:36], math.sqrt(8760 / 252), rtol=1e-12)
