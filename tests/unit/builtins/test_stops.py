"""Parabolic SAR and SuperTrend: TA-Lib, loops of the published rules, pandas-ta-classic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, frame, random_bars
from second_opinion import Array, after_standstill, agree, atr, in_flat_markets, outputs, series

CASES = [
    ("psar", {}),
    ("psar", {"acceleration": 0.05, "maximum": 0.1}),
    ("supertrend", {}),
    ("supertrend", {"period": 21, "k": 1.5}),
]


def stop(name: str, line: Array, direction: Array, close: Array) -> dict[str, Array]:
    """The line, the side, and the distance."""
    return {name: line, f"{name}_direction": direction, f"{name}_distance": (close - line) / close}


def talib_psar(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """The side follows from the bar: it lies above the stop or below it."""
    line = talib.SAR(b.high, b.low, p.acceleration, p.maximum)
    side = np.where(line >= b.high, -1.0, np.where(line <= b.low, 1.0, np.nan))
    return stop("psar", line, side, b.close)


def talib_supertrend(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """TA-Lib's direction is 0 before its first value."""
    line, direction = talib.SUPERTREND(b.high, b.low, b.close, p.period, p.k)
    return stop("supertrend", line, np.where(direction == 0, np.nan, direction), b.close)


TALIB = {"psar": talib_psar, "supertrend": talib_supertrend}


def psar_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Wilder's rules; the first side is that of the first move, the first stop the extreme of bar 0, which then is no
    longer looked at."""
    h, lo = b.high, b.low
    fall, rise = lo[0] - lo[1], h[1] - h[0]
    long = not (fall > 0 and fall > rise)
    line, extreme, factor = (lo[0], h[1], p.acceleration) if long else (h[0], lo[1], p.acceleration)
    made, sides = [np.nan], [np.nan]
    for t in range(1, h.size):
        line = min([line, *lo[max(t - 2, 1) : t]]) if long else max([line, *h[max(t - 2, 1) : t]])
        if (lo[t] <= line) if long else (h[t] >= line):
            long, line, factor = not long, extreme, p.acceleration
            line = min([line, *lo[max(t - 1, 1) : t + 1]]) if long else max([line, *h[max(t - 1, 1) : t + 1]])
            extreme = h[t] if long else lo[t]
        elif (h[t] > extreme) if long else (lo[t] < extreme):
            extreme, factor = h[t] if long else lo[t], min(factor + p.acceleration, p.maximum)
        made.append(line)
        sides.append(1.0 if long else -1.0)
        line += factor * (extreme - line)
    return stop("psar", np.array(made), np.array(sides), b.close)


def supertrend_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Bands that only tighten while the close stays inside; begins on the long side."""
    middle, width, size = (b.high + b.low) / 2, p.k * atr(b, p.period), b.close.size
    line, side = np.full(size, np.nan), np.full(size, np.nan)
    upper, lower, long = middle[p.period] + width[p.period], middle[p.period] - width[p.period], True
    for t in range(p.period, size):
        if t > p.period:
            high, low = middle[t] + width[t], middle[t] - width[t]
            upper = high if high < upper or b.close[t - 1] > upper else upper
            lower = low if low > lower or b.close[t - 1] < lower else lower
            long = b.close[t] >= lower if long else b.close[t] > upper
        line[t], side[t] = (lower, 1.0) if long else (upper, -1.0)
    return stop("supertrend", line, side, b.close)


SECOND = {"psar": psar_loop, "supertrend": supertrend_loop}


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_talib(market: pl.DataFrame, name: str, params: dict) -> None:
    """F3: with TA-Lib's first bars."""
    agree(market, name, params, TALIB[name])


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_a_loop(market: pl.DataFrame, name: str, params: dict) -> None:
    """The rules, one bar after the other."""
    agree(market, name, params, SECOND[name])


def test_psar_equals_pandas_ta_after_some_turns() -> None:
    """It begins otherwise, and the stop must be passed to turn, not met: here no two prices are equal."""

    def psar(b: SimpleNamespace, p: Any) -> dict[str, Array]:
        s = series(b)
        long, short = ta.psar(s.high, s.low, talib=False).to_numpy().T[:2]
        return {"psar": np.where(np.isnan(long), short, long)}

    agree(random_bars(3000, seed=8), "psar", {}, psar, since=100)


def test_directions_are_sides_of_the_close() -> None:
    """A line below the close is a direction of 1."""
    bars = random_bars(500)
    for name in ("psar", "supertrend"):
        found = computed(bars, name)
        side = np.sign(found[f"{name}_distance"])
        np.testing.assert_array_equal(side[11:], found[f"{name}_direction"][11:])
        assert {-1.0, 1.0} == set(found[f"{name}_direction"][11:])


def test_a_lasting_trend_remembers_where_it_began() -> None:
    """F3: settle is -1, since two starts may differ for as long as the price does not turn."""
    fall, rest = np.linspace(200, 100, 100), 100 + np.arange(600) % 2
    close = np.concatenate((fall, rest))
    bars = frame(close, close + 0.6, close - 0.6, close, np.ones(700))
    whole, late = (outputs(part, "supertrend", {"k": 3.0}) for part in (bars, bars.slice(150)))
    assert (whole["supertrend_direction"][-1], late["supertrend_direction"][-1]) == (-1, 1)
    rise = np.linspace(100, 200, 400)
    bars, slow = frame(rise, rise + 0.1, rise - 0.1, rise, np.ones(400)), {"acceleration": 1e-4, "maximum": 1e-4}
    whole, late = (outputs(part, "psar", slow) for part in (bars, bars.slice(100)))
    assert late["psar"][-1] > 1.2 * whole["psar"][-1]


def test_one_price() -> None:
    """Flat: the stops are the price."""
    in_flat_markets("psar", {"psar": "price", "psar_direction": 0.0, "psar_distance": 0.0})
    in_flat_markets("supertrend", {"supertrend": "price", "supertrend_direction": 1.0, "supertrend_distance": 0.0})


def test_a_market_that_stopped() -> None:
    """The bands close in on the price."""
    found = after_standstill("supertrend")
    assert np.abs(found["supertrend_distance"]).max() < 1e-12
    assert set(np.abs(found["supertrend_direction"])) == {1.0}
    assert np.isfinite(after_standstill("psar")["psar_distance"]).all()
