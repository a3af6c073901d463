"""Breakout and pullback labels against the definitions written as loops (SEMANTICS L1-L3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builtin_bars import family_names, flat_bars, frame, labels, random_bars, real_hours, target, then
from label_loops import Rows, agree, every_row, findings, holes, random_holes


def naive_count(rows: Rows, t: int, h: int, n: int = 48) -> float | None:
    """Longest run of closes above the high of n bars."""
    if t < n - 1:
        return None
    limit = max(rows.high[t - n + 1 : t + 1])
    longest = run = 0
    for close in rows.close[t + 1 : t + h + 1]:
        run = run + 1 if close > limit else 0
        longest = max(longest, run)
    return longest


def naive_breakout(rows: Rows, t: int, h: int, n: int = 48, epsilon: float = 0.0015) -> float | None:
    """A close beyond the range on more than the mean volume."""
    if t < n - 1:
        return None
    top, bottom = max(rows.high[t - n + 1 : t + 1]), min(rows.low[t - n + 1 : t + 1])
    usual = math.fsum(rows.volume[t - n + 1 : t + 1]) / n
    for i in range(t + 1, t + h + 1):
        beyond = rows.close[i] > top * (1 + epsilon) or rows.close[i] < bottom * (1 - epsilon)
        if beyond and rows.volume[i] > usual:
            return 1.0
    return 0.0


def naive_pullback(rows: Rows, t: int, h: int, k: float = 1.0, n: int = 48, atr: int = 14) -> float | None:
    """A bar that goes k ATR against the side of the moving average on which the close is."""
    if t < n - 1 or t < atr:
        return None
    mean = math.fsum(rows.close[t - n + 1 : t + 1]) / n
    ranges = [
        max(rows.high[i] - rows.low[i], abs(rows.high[i] - rows.close[i - 1]), abs(rows.low[i] - rows.close[i - 1]))
        for i in range(t - atr + 1, t + 1)
    ]
    reach = k * sum(ranges) / atr
    if rows.close[t] == mean or reach == 0:
        return None
    if rows.close[t] > mean:
        return float(any(rows.close[t] - low >= reach for low in rows.low[t + 1 : t + h + 1]))
    return float(any(high - rows.close[t] >= reach for high in rows.high[t + 1 : t + h + 1]))


NAIVE: dict[str, Callable[..., float | None]] = {
    "target_breakout_count": naive_count,
    "target_breakout_prob": naive_breakout,
    "target_pullback_prob": naive_pullback,
}
OTHER = {
    "target_breakout_count": {"n": 10},
    "target_breakout_prob": {"n": 7, "epsilon": 0.0},
    "target_pullback_prob": {"k": 2.5, "n": 10, "atr": 20},
}


def test_these_are_all_of_the_family() -> None:
    """A new label comes with its loop."""
    assert family_names("target", "breakout") == sorted(NAIVE)


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize("horizon", [1, 10, 24])
def test_random_bars_with_holes_against_a_loop(name: str, horizon: int) -> None:
    """L1, L3: filled bars and breaks."""
    bars = holes(random_bars(600, seed=2), *random_holes())
    found = labels(bars, name, horizon=horizon)
    agree(found, every_row(bars, horizon, NAIVE[name]))
    assert len(set(found[~np.isnan(found)])) >= 2


@pytest.mark.parametrize("name", NAIVE)
def test_other_parameters_against_a_loop(name: str) -> None:
    """Every parameter reaches the formula."""
    bars = random_bars(500, seed=3)
    found = labels(bars, name, **OTHER[name])
    agree(found, every_row(bars, 24, partial(NAIVE[name], **OTHER[name])))
    assert not np.array_equal(found, labels(bars, name), equal_nan=True)


@pytest.mark.shared
@pytest.mark.parametrize("name", NAIVE)
def test_real_hours_against_a_loop(shared_data: Path, name: str) -> None:
    """Real ticks, an outage of two hours (filled) and two longer ones."""
    bars = real_hours(shared_data, "BTCUSDT", 7200, 700)
    assert bars["is_filled"].sum() == 1 and bars["segment"].n_unique() == 3
    found = labels(bars, name)
    agree(found, every_row(bars, 24, NAIVE[name]))
    assert 100 < np.isnan(found).sum() < 400


@pytest.mark.parametrize("name", OTHER)
def test_other_parameters_pass_the_checks(name: str) -> None:
    """A2: nothing of the past but the declared yardstick. The defaults are checked with all built-ins."""
    assert findings(name, **OTHER[name]) == []


def test_flat_prices() -> None:
    """Nothing breaks out; without a trend or a range there is no pullback to speak of."""
    bars = flat_bars(150, volume=3.3)
    assert set(labels(bars, "target_breakout_count")[47:126]) == {0}
    assert set(labels(bars, "target_breakout_prob")[47:126]) == {0}
    assert np.isnan(labels(bars, "target_pullback_prob")).all()


def test_no_pullback_label_where_the_close_has_come_to_stand_still() -> None:
    """L3: d = 0 and ATR = 0 are null also after a lively time, where rounding of sums would give a side."""
    bars = then(random_bars(100), flat_bars(150, random_bars(100)["close"][-1], volume=1.0))
    found = labels(bars, "target_pullback_prob")
    assert not np.isnan(found[47:99]).any()
    assert np.isnan(found[147:]).all()


@pytest.mark.parametrize("name", NAIVE)
def test_one_bar_has_no_label(name: str) -> None:
    """There is nothing ahead."""
    assert np.isnan(labels(random_bars(1), name)).all()


def edge_bars(volume: float, jump: float) -> pl.DataFrame:
    """60 equal bars of high 101, low 99, close 100 and volume 0.1, and then one that closes at `jump`."""
    close, size = np.full(61, 100.0), 61
    close[60] = jump
    amount = np.full(size, 0.1)
    amount[60] = volume
    return frame(np.full(size, 100.0), np.maximum(close, 101), np.minimum(close, 99), close, amount)


@pytest.mark.parametrize(
    ("volume", "jump", "expected"),
    [
        (0.2, 101.0 * 1.0015 + 1e-9, 1),
        (0.2, 101.0 * 1.0015, 0),  # not beyond
        (0.1, 105.0, 0),  # on just the mean volume of 48 tenths, the sum of which is rounded
        (0.2, 99 * 0.9985 - 1e-9, 1),
        (0.2, 99 * 0.9985, 0),
    ],
)
def test_a_breakout_is_strictly_beyond(volume: float, jump: float, expected: int) -> None:
    """L3: > H(1 + epsilon) or < Lo(1 - epsilon), on V > mean."""
    assert labels(edge_bars(volume, jump), "target_breakout_prob", horizon=1)[59] == expected


def test_a_pullback_of_exactly_k_atr_counts() -> None:
    """L3: >= k ATR, in the direction against the trend: here down, by two points."""
    size = 80
    close = np.full(size, 100.0)
    close[60:] = 101.0
    high, low = close + 1, close - 1
    low[65] = 99.0
    bars = frame(close, high, low, close, np.ones(size))
    found = labels(bars, "target_pullback_prob", horizon=1, atr=2)
    assert found[64] == 1  # 101 - 99 = ATR 2
    assert set(found[61:64]) == {0}
    assert target("target_pullback_prob", horizon=1, atr=2).column == "target_pullback_prob_1_48_2_h1"
