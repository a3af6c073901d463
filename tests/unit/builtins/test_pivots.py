"""Pivot points against the floor traders' formulas over a dictionary of past periods."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builtin_bars import DAY, HOUR, computed, findings, flat_bars, frame, indicator, random_bars, real_hours

YEAR_2020 = 1_577_836_800_000  # a Wednesday
LEVELS = ("pivot", "pivot_r1", "pivot_r2", "pivot_s1", "pivot_s2")


def day_of(stamp: int, anchor: str) -> date:
    """First day of the period that a bar opens in."""
    day = datetime.fromtimestamp(stamp / 1000, tz=UTC).date()
    match anchor:
        case "1d":
            return day
        case "1w":
            return day - timedelta(days=day.weekday())
        case "1mo":
            return day.replace(day=1)
    raise AssertionError(anchor)


def naive(bars: pl.DataFrame, anchor: str) -> dict[str, list[float]]:
    """One bar at a time, for one segment."""
    found: dict[str, list[float]] = {}
    finished: tuple[float, float, float] | None = None
    running: list[tuple[float, float, float]] = []
    current: date | None = None
    for stamp, high, low, close in bars.select("timestamp", "high", "low", "close").iter_rows():
        if current is not None and day_of(stamp, anchor) != current:
            finished, running = summary(running), []
        current = day_of(stamp, anchor)
        before = finished or (summary(running) if running else (math.nan,) * 3)
        for name, value in one_bar(*before, close).items():
            found.setdefault(name, []).append(value)
        running.append((high, low, close))
    return found


def summary(bars: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """High, low and last close of some bars."""
    return max(bar[0] for bar in bars), min(bar[1] for bar in bars), bars[-1][2]


def one_bar(high: float, low: float, last: float, close: float) -> dict[str, float]:
    """Levels of a period, and where a close stands."""
    middle = (high + low + last) / 3
    values = (middle, 2 * middle - low, middle + high - low, 2 * middle - high, middle - (high - low))
    levels = dict(zip(LEVELS, values, strict=True))
    made = levels | {f"{name}_distance": 1 - level / close for name, level in levels.items()}
    return made | {"pivot_position": (close - middle) / (high - low) if high > low else math.nan}


def at(bars: pl.DataFrame, start: int, step: int = HOUR) -> pl.DataFrame:
    """The same bars from another open time on."""
    return bars.with_columns(timestamp=start + step * pl.int_range(pl.len(), dtype=pl.Int64))


def agree(found: dict[str, np.ndarray], expected: dict[str, list[float]], suffix: str = "") -> None:
    """Every column, to rounding."""
    assert sorted(found) == sorted(name + suffix for name in expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name + suffix], values, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("anchor", ["1d", "1w", "1mo"])
@pytest.mark.parametrize("start", [YEAR_2020, YEAR_2020 + 23 * HOUR, YEAR_2020 - 7 * DAY])
@pytest.mark.parametrize("step", [HOUR, 4 * HOUR, DAY])
def test_against_a_loop(anchor: str, start: int, step: int) -> None:
    """Days, weeks and months, wherever the segment begins; a leap February is among them."""
    bars = at(random_bars(1000, seed=start % 97), start, step)
    agree(computed(bars, "pivot_points", anchor=anchor), naive(bars, anchor), "" if anchor == "1d" else f"_{anchor}")


@pytest.mark.shared
@pytest.mark.parametrize("anchor", ["1d", "1w"])
def test_real_hours_against_a_loop(shared_data: Path, anchor: str) -> None:
    """T4: every segment begins anew."""
    bars = real_hours(shared_data, "BTCUSDT", 7200, 700)
    expected: dict[str, list[float]] = {}
    for segment in bars.partition_by("segment", maintain_order=True):
        for name, values in naive(segment, anchor).items():
            expected.setdefault(name, []).extend(values)
    assert bars["segment"].n_unique() == 3
    agree(computed(bars, "pivot_points", anchor=anchor), expected, "" if anchor == "1d" else f"_{anchor}")


def test_a_bar_as_long_as_the_anchor_has_the_bar_before() -> None:
    """No day is skipped on daily bars, no week on weekly ones."""
    high, low, close = (random_bars(60)[name].to_numpy() for name in ("high", "low", "close"))
    middle = (high + low + close) / 3
    for step, anchor in ((DAY, "1d"), (7 * DAY, "1w"), (7 * DAY, "1d")):
        made = computed(at(random_bars(60), YEAR_2020 + 5 * DAY, step), "pivot_points", anchor=anchor)
        found = made["pivot" if anchor == "1d" else "pivot_1w"]
        np.testing.assert_allclose(found[1:], middle[:-1], rtol=1e-12)
        assert math.isnan(found[0])


def test_levels_of_a_day_by_hand() -> None:
    """H 12, L 9, C 10.5: P 10.5, R1 12, R2 13.5, S1 9, S2 7.5, all through the next day."""
    opens = high = low = close = np.full(48, 10.5)
    high, low = high.copy(), low.copy()
    high[5], low[17] = 12, 9
    made = computed(frame(opens, high, low, close, np.ones(48)), "pivot_points")
    for name, level in zip(LEVELS, (10.5, 12, 13.5, 9, 7.5), strict=True):
        np.testing.assert_array_equal(made[name][24:], level)
        np.testing.assert_allclose(made[f"{name}_distance"][24:], (10.5 - level) / 10.5)
    np.testing.assert_array_equal(made["pivot_position"][24:], 0)


def test_the_day_before_changes_with_the_day() -> None:
    """Levels are one number per day, and another the next."""
    bars = at(random_bars(24 * 5), YEAR_2020)
    found = computed(bars, "pivot_points")["pivot"]
    days = [set(found[24 * day : 24 * day + 24]) for day in range(1, 5)]
    assert [len(day) for day in days] == [1, 1, 1, 1]
    assert len(set.union(*days)) == 4


@pytest.mark.parametrize(("anchor", "bars_back"), [("1d", 47), ("1w", 335), ("1mo", 1487)])
def test_the_start_is_forgotten_after_two_periods(anchor: str, bars_back: int) -> None:
    """F3: two days of hours less one are needed at worst, and are enough; declared for one-minute bars."""
    (settle,) = {feature.settle for feature in indicator("pivot_points", anchor=anchor).features}
    assert settle == (bars_back + 1) * 60 - 1
    bars = at(random_bars(bars_back + 400, seed=4), YEAR_2020 - 31 * DAY - 2 * DAY)
    whole = computed(bars, "pivot_points", anchor=anchor)
    needed = 0
    for start in range(1, 60):
        late = computed(bars.slice(start), "pivot_points", anchor=anchor)
        for name, values in late.items():
            other = np.flatnonzero(~((values == whole[name][start:]) | np.isnan(values)))
            needed = max(needed, int(other[-1]) + 1 if other.size else 0)
    assert needed <= bars_back
    assert needed == 47 or anchor != "1d"


def test_flat_prices() -> None:
    """All levels are the price; a position between equal levels is null."""
    made = computed(flat_bars(60), "pivot_points")
    for name in LEVELS:
        np.testing.assert_array_equal(made[name][1:], 100.0)
        np.testing.assert_array_equal(made[f"{name}_distance"][1:], 0.0)
    assert np.isnan(made["pivot_position"]).all()


def test_one_bar_has_no_levels() -> None:
    """There is no bar before it."""
    assert all(np.isnan(values).all() for values in computed(random_bars(1), "pivot_points").values())


@pytest.mark.parametrize("anchor", ["1w", "1mo"])
def test_other_anchors_pass_the_checks(anchor: str) -> None:
    """The default is checked with all built-ins."""
    assert findings("pivot_points", anchor=anchor) == []
