"""Support, resistance, breakouts, pullbacks and volume at levels against loops over lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builtin_bars import computed, findings, flat_bars, frame, indicator, random_bars, real_hours, then
from pydantic import ValidationError

BARS = random_bars(400)
NAN = math.nan
Naive = Callable[[pl.DataFrame], Sequence[list[float]]]


def lists(bars: pl.DataFrame) -> tuple[list[float], list[float], list[float], list[float]]:
    """High, low, close, volume."""
    return tuple(bars[name].to_list() for name in ("high", "low", "close", "volume"))  # type: ignore[return-value]


def naive_level(values: list[float], close: float, t: int, left: int, right: int, bars: int, side: int) -> float:
    """The nearest swing beyond the close (side 1: above) among the last bars up to t, else their extreme."""
    window = range(t - bars + 1, t + 1)
    beyond = []
    for i in window:
        before, after = range(i - left, i), range(i + 1, i + right + 1)
        if before[0] < window[0] or after[-1] > t:
            continue
        tops = all(side * values[j] < side * values[i] for j in before)
        holds = all(side * values[j] <= side * values[i] for j in after)
        if tops and holds and side * values[i] > side * close:
            beyond.append(side * values[i])
    return side * (min(beyond) if beyond else max(side * values[j] for j in window))


def naive_levels(bars: pl.DataFrame, left: int, right: int, length: int) -> tuple[list[float], list[float]]:
    """Resistance and support of every bar."""
    high, low, close, _ = lists(bars)
    sizes = (left, right, length)
    known = range(length - 1, len(close))
    blank = [NAN] * min(length - 1, len(close))
    return (
        [*blank, *(naive_level(high, close[t], t, *sizes, 1) for t in known)],
        [*blank, *(naive_level(low, close[t], t, *sizes, -1) for t in known)],
    )


def per_segment(bars: pl.DataFrame, naive: Naive) -> list[list[float]]:
    """Columns of a naive function over every segment, put together."""
    parts = [naive(segment) for segment in bars.partition_by("segment", maintain_order=True)]
    return [[value for part in parts for value in part[number]] for number in range(len(parts[0]))]


def agree(found: np.ndarray, expected: list[float]) -> None:
    """Equal to rounding, null in the same rows."""
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("left", "right", "length"), [(5, 5, 100), (1, 1, 20), (2, 7, 33), (3, 1, 5)])
def test_support_and_resistance_against_a_loop(left: int, right: int, length: int) -> None:
    """Swings count once `right` bars have confirmed them, and as long as they lie in the window."""
    check_levels(BARS, left, right, length)


@pytest.mark.shared
def test_support_and_resistance_of_real_hours(shared_data: Path) -> None:
    """T4: with real ticks (equal highs among them), filled bars and breaks."""
    check_levels(real_hours(shared_data, "BTCUSDT", 7200, 700), 5, 5, 100)
    check_levels(real_hours(shared_data, "DOGEUSDT", 200, 500), 2, 2, 40)


def check_levels(bars: pl.DataFrame, left: int, right: int, length: int) -> None:
    """All four columns."""
    resistance, support = per_segment(bars, lambda segment: naive_levels(segment, left, right, length))
    made = list(computed(bars, "support_resistance", left=left, right=right, bars=length).values())
    close = bars["close"].to_numpy()
    agree(made[0], resistance)
    agree(made[1], support)
    agree(made[2], np.array(resistance) / close - 1)
    agree(made[3], 1 - np.array(support) / close)
    assert not (made[2] < 0).any() and not (made[3] < 0).any()


def test_a_swing_is_known_only_when_it_is_confirmed() -> None:
    """A peak at bar 10 is a level from bar 10 + right on; before, the highest bar of the window stands in."""
    close = np.full(30, 100.0)
    high = close + 1
    high[2], high[10] = 105, 103
    bars = frame(close, high, close - 1, close, np.ones(30))
    found = computed(bars, "support_resistance", left=3, right=4, bars=12)["resistance_3_4_12"]
    assert found[11:14].tolist() == [105] * 3  # the highest bar of the window, which is no swing of it
    assert found[14:22].tolist() == [103] * 8
    assert found[22:].tolist() == [101] * 8


def test_a_new_closing_high_is_at_distance_0() -> None:
    """Beyond all levels the window's extreme stands in, so that a record does not blank the row."""
    rising = np.arange(1.0, 201.0)
    made = computed(frame(rising, rising, rising, rising, np.ones(200)), "support_resistance")
    assert (made["resistance_distance"][99:] == 0).all()
    np.testing.assert_allclose(made["support_distance"][99:], 99 / rising[99:])


def naive_volume(bars: pl.DataFrame, sizes: tuple[int, int, int], n: int, width: float) -> list[list[float]]:
    """Volume over its mean where the bar comes near the level known before."""
    high, low, _, volume = lists(bars)
    columns = []
    for level in naive_levels(bars, *sizes):
        column = []
        for t in range(bars.height):
            if t < max(sizes[2], n) or not any(volume[t - n : t]):
                column.append(NAN)
                continue
            reach = width * sum(high[j] - low[j] for j in range(t - n, t)) / n
            near = low[t] - reach <= level[t - 1] <= high[t] + reach
            column.append(volume[t] / (sum(volume[t - n : t]) / n) if near else 0.0)
        columns.append(column)
    return columns


@pytest.mark.parametrize(("sizes", "n", "width"), [((5, 5, 100), 20, 0.25), ((2, 2, 15), 40, 0.0), ((1, 3, 30), 7, 2)])
def test_volume_at_levels_against_a_loop(sizes: tuple[int, int, int], n: int, width: float) -> None:
    """Relative volume where a level of the bar before is touched, 0 elsewhere."""
    check_volume(BARS, sizes, n, width)


@pytest.mark.shared
def test_volume_at_levels_of_real_hours(shared_data: Path) -> None:
    """The defaults on a real market."""
    check_volume(real_hours(shared_data, "BTCUSDT", 7200, 700), (5, 5, 100), 20, 0.25)


def check_volume(bars: pl.DataFrame, sizes: tuple[int, int, int], n: int, width: float) -> None:
    """Both columns; some bars are near a level and some are not."""
    expected = per_segment(bars, lambda segment: naive_volume(segment, sizes, n, width))
    left, right, length = sizes
    made = computed(bars, "level_volume", left=left, right=right, bars=length, period=n, width=width)
    for found, wanted in zip(made.values(), expected, strict=True):
        agree(found, wanted)
        assert min(np.count_nonzero(found > 0), np.count_nonzero(found == 0)) > 10


def test_no_volume_before_is_null() -> None:
    """0/0 is null, also when lively bars came long before; prices that stand still are at their level."""
    made = computed(then(random_bars(150), flat_bars(150, 70.0)), "level_volume")
    assert all(np.isnan(values[171:]).all() for values in made.values())
    made = computed(flat_bars(150, volume=3.3), "level_volume")
    np.testing.assert_allclose([values[100:] for values in made.values()], 1.0)


@pytest.mark.parametrize("n", [2, 20])
def test_breakout_and_pullback_against_a_loop(n: int) -> None:
    """Extremes of the n bars before the current one, and of those up to it."""
    high, low, close, _ = lists(BARS)
    above, below, flag = computed(BARS, "breakout", period=n).values()
    pullback, rebound = computed(BARS, "pullback", period=n).values()
    assert np.isnan(above[:n]).all() and np.isnan(pullback[: n - 1]).all()
    for t in range(n, 400):
        top, bottom = max(high[t - n : t]), min(low[t - n : t])
        assert above[t] == pytest.approx((close[t] - top) / top, rel=1e-9, abs=1e-13)
        assert below[t] == pytest.approx((close[t] - bottom) / bottom, rel=1e-9, abs=1e-13)
        assert flag[t] == (1 if close[t] > top else -1 if close[t] < bottom else 0)
        window = slice(t - n + 1, t + 1)
        assert pullback[t] == pytest.approx(close[t] / max(high[window]) - 1, rel=1e-9, abs=1e-13)
        assert rebound[t] == pytest.approx(close[t] / min(low[window]) - 1, rel=1e-9, abs=1e-13)
    assert set(flag[n:]) == {-1, 0, 1}


@pytest.mark.shared
def test_breakout_of_real_hours_restarts_with_the_segment(shared_data: Path) -> None:
    """T4, F3: null for the first n bars after every break."""
    bars = real_hours(shared_data, "BTCUSDT", 7200, 700)
    for name, first in (("breakout", 20), ("pullback", 49)):
        for values in computed(bars, name).values():
            for number in range(3):
                part = values[(bars["segment"] == number).to_numpy()]
                assert np.isnan(part[:first]).all() and not np.isnan(part[first:]).any()


def test_flat_prices() -> None:
    """Nothing breaks out, every level is the price, every distance 0."""
    for name in ("support_resistance", "breakout", "pullback"):
        for column, values in computed(flat_bars(150), name).items():
            price = 100.0 if column in ("support", "resistance") else 0.0
            assert set(values[~np.isnan(values)]) == {price}, column


@pytest.mark.parametrize("name", ["support_resistance", "level_volume", "breakout", "pullback"])
def test_one_bar_has_no_level(name: str) -> None:
    """No window is full."""
    assert all(np.isnan(values).all() for values in computed(random_bars(1), name).values())


def test_a_window_without_room_for_a_swing_is_refused() -> None:
    """left + right + 1 bars at least."""
    record = indicator("support_resistance").record
    assert record.params(left=4, right=5, bars=10).bars == 10
    with pytest.raises(ValidationError, match=r"bars\n.*fewer than left \+ right \+ 1 bars hold no swing"):
        record.params(left=5, right=5, bars=10)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("support_resistance", {"left": 2, "right": 3, "bars": 30}),
        ("level_volume", {"left": 2, "right": 3, "bars": 30, "period": 40, "width": 1.0}),
        ("breakout", {"period": 5}),
        ("pullback", {"period": 5}),
    ],
)
def test_other_parameters_pass_the_checks(name: str, params: dict) -> None:
    """The defaults are checked with all built-ins."""
    assert findings(name, **params) == []
