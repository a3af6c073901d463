"""Persistence, sideways, volatility jump, outlier and barrier labels against loops (SEMANTICS L1-L3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from builtin_bars import family_names, flat_bars, frame, labels, random_bars, real_hours, target, then
from label_loops import Rows, agree, every_row, findings, holes, past_volatility, random_holes


def naive_persistence(rows: Rows, t: int, h: int) -> float | None:
    """Leading returns of the sign of the first."""
    signs = [(value > 0) - (value < 0) for value in rows.returns(t + 1, t + h)]
    if signs[0] == 0:
        return None
    return next((i for i, sign in enumerate(signs) if sign != signs[0]), h)


def naive_sideway(rows: Rows, t: int, h: int, k: float = 0.5) -> float | None:
    """All closes within k vol sqrt(h)."""
    volatility = past_volatility(rows.close, t)
    if volatility is None:
        return None
    away = max(abs(math.log(close / rows.close[t])) for close in rows.close[t + 1 : t + h + 1])
    return float(away < k * volatility * math.sqrt(h))


def naive_jump(rows: Rows, t: int, h: int, tau: float = 1.5) -> float | None:
    """Realised volatility ahead against behind."""
    if t < h:
        return None
    behind, ahead = (math.sqrt(sum(r * r for r in rows.returns(*ends))) for ends in ((t - h + 1, t), (t + 1, t + h)))
    return None if behind == 0 else float(ahead >= tau * behind)


def naive_quantile(values: list[float], share: float) -> float:
    """Linear between the order statistics."""
    ordered, place = sorted(values), share * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def naive_lower(rows: Rows, t: int, h: int, n: int = 96) -> float | None:
    """The next return below the lowest tenth."""
    return None if t < n else float(rows.returns(t + 1, t + 1)[0] < naive_quantile(rows.returns(t - n + 1, t), 0.1))


def naive_upper(rows: Rows, t: int, h: int, n: int = 96) -> float | None:
    """The next return above the highest tenth."""
    return None if t < n else float(rows.returns(t + 1, t + 1)[0] > naive_quantile(rows.returns(t - n + 1, t), 0.9))


def naive_barrier(rows: Rows, t: int, h: int, k: float = 1.0) -> float | None:
    """The first barrier that a bar hits, its open first."""
    volatility = past_volatility(rows.close, t)
    if volatility is None:
        return None
    width = k * volatility * math.sqrt(h)
    upper, lower = rows.close[t] * math.exp(width), rows.close[t] * math.exp(-width)
    for i in range(t + 1, t + h + 1):
        if rows.open[i] >= upper:
            return 1.0
        if rows.open[i] <= lower or rows.low[i] <= lower:
            return 0.0
        if rows.high[i] >= upper:
            return 1.0
    return 0.0


NAIVE: dict[str, Callable[..., float | None]] = {
    "target_trend_persistence": naive_persistence,
    "target_sideway_detect": naive_sideway,
    "target_vol_jump_prob": naive_jump,
    "target_return_outlier_lower_10": naive_lower,
    "target_return_outlier_upper_90": naive_upper,
    "target_triple_barrier": naive_barrier,
}
OTHER = {
    "target_sideway_detect": {"k": 1.0},
    "target_vol_jump_prob": {"tau": 1.1},
    "target_return_outlier_lower_10": {"n": 20},
    "target_return_outlier_upper_90": {"n": 20},
    "target_triple_barrier": {"k": 0.3},
}


def test_these_are_all_of_the_families() -> None:
    """A new label comes with its loop."""
    assert family_names("target", "trend", "volatility", "outliers", "barriers") == sorted(NAIVE)


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize("horizon", [1, 10, 24])
def test_random_bars_with_holes_against_a_loop(name: str, horizon: int) -> None:
    """L1, L3: filled bars and breaks."""
    bars = holes(random_bars(600, seed=2), *random_holes())
    found = labels(bars, name, horizon=horizon)
    agree(found, every_row(bars, horizon, NAIVE[name]))
    assert len(set(found[~np.isnan(found)])) >= (1 if name == "target_trend_persistence" else 2)


@pytest.mark.parametrize("name", OTHER)
def test_other_parameters_against_a_loop(name: str) -> None:
    """Every parameter reaches the formula."""
    bars = random_bars(500, seed=3)
    h = target(name).horizon["1h"]
    found = labels(bars, name, **OTHER[name])
    agree(found, every_row(bars, h, partial(NAIVE[name], **OTHER[name])))
    assert not np.array_equal(found, labels(bars, name), equal_nan=True)


@pytest.mark.shared
@pytest.mark.parametrize("name", NAIVE)
def test_real_hours_against_a_loop(shared_data: Path, name: str) -> None:
    """Real ticks, an outage of two hours (filled) and two longer ones."""
    bars = real_hours(shared_data, "BTCUSDT", 7200, 700)
    assert bars["is_filled"].sum() == 1 and bars["segment"].n_unique() == 3
    found = labels(bars, name)
    agree(found, every_row(bars, target(name).horizon["1h"], NAIVE[name]))
    assert 50 < np.isnan(found).sum() < 450


@pytest.mark.parametrize("name", OTHER)
def test_other_parameters_pass_the_checks(name: str) -> None:
    """A2: nothing of the past but the declared yardstick. The defaults are checked with all built-ins."""
    assert findings(name, **OTHER[name]) == []


@pytest.mark.parametrize("name", NAIVE)
def test_one_bar_has_no_label(name: str) -> None:
    """There is nothing ahead."""
    assert np.isnan(labels(random_bars(1), name)).all()


def test_flat_prices() -> None:
    """No yardstick, no label; returns that are all 0 are no outliers."""
    bars = flat_bars(200)
    for name in NAIVE:
        found = labels(bars, name)
        if "outlier" in name:
            assert set(found[96:199]) == {0}, name
        else:
            assert np.isnan(found).all(), name


def test_no_label_where_the_yardstick_has_come_to_0() -> None:
    """L2: null as soon as no return of the yardstick has moved, whatever was before."""
    bars = then(random_bars(150), flat_bars(150, random_bars(150)["close"][-1]))
    first = {"target_vol_jump_prob": 173, "target_sideway_detect": 249, "target_triple_barrier": 249}
    for name, row in first.items():
        found = labels(bars, name)
        assert np.isnan(found[row:]).all() and not np.isnan(found[row - 10 : row]).any(), name


def test_persistence_counts_to_the_first_other_sign() -> None:
    """A bar without a move ends a run, and begins none."""
    close = np.array([10, 11, 12, 13, 12, 12, 11, 12, 13, 14, 15, 16.0])
    found = labels(frame(*[close] * 4, np.ones(12)), "target_trend_persistence", horizon=4)
    np.testing.assert_array_equal(found, [3, 2, 1, 1, np.nan, 1, 4, 4, *[np.nan] * 4])


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ({"open": 100, "high": 130, "low": 99}, 1),
        ({"open": 100, "high": 101, "low": 70}, 0),
        ({"open": 100, "high": 130, "low": 70}, 0),  # both inside one bar
        ({"open": 125, "high": 130, "low": 70}, 1),  # the open is beyond
        ({"open": 75, "high": 130, "low": 70}, 0),
        ({"open": 100, "high": 101, "low": 99}, 0),  # neither, and time runs out
    ],
)
def test_which_barrier_is_first(bar: dict[str, float], expected: int) -> None:
    """L3: barriers at about 100 exp(+-0.1) on one bar ahead."""
    signs = np.where(np.arange(102) % 2, 1.0, -1.0)
    close = 100 * np.exp(np.cumsum(0.1 * signs))
    close *= 100 / close[-1]
    opens, high, low = (np.append(close, bar[name]) for name in ("open", "high", "low"))
    bars = frame(opens, high, low, np.append(close, 100.0), np.ones(103))
    assert labels(bars, "target_triple_barrier", horizon=1)[101] == expected


def test_a_return_at_the_quantile_is_no_outlier() -> None:
    """L3: strictly beyond; half of the returns are the step down, half the step up."""
    exact = np.exp2(np.arange(120) % 2)  # returns of exactly +-ln 2
    bars = frame(*[exact] * 4, np.ones(120))
    assert set(labels(bars, "target_return_outlier_lower_10")[96:119]) == {0}
    assert set(labels(bars, "target_return_outlier_upper_90")[96:119]) == {0}
