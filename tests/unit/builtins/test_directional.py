"""ADX, Aroon, Vortex: TA-Lib, pandas-ta-classic, loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, frame
from second_opinion import Array, after_standstill, agree, in_flat_markets, series, true_range

CASES = [(name, params) for name in ("adx", "aroon", "vortex") for params in ({}, {"period": 5}, {"period": 30})]


def talib_adx(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Three functions."""
    bars = (b.high, b.low, b.close, p.period)
    return {"adx": talib.ADX(*bars), "plus_di": talib.PLUS_DI(*bars), "minus_di": talib.MINUS_DI(*bars)}


def talib_aroon(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Two functions."""
    down, up = talib.AROON(b.high, b.low, p.period)
    return {"aroon_up": up, "aroon_down": down, "aroon_oscillator": talib.AROONOSC(b.high, b.low, p.period)}


TALIB = {
    "adx": talib_adx,
    "aroon": talib_aroon,
    "vortex": lambda b, p: dict(
        zip(("vortex_plus", "vortex_minus"), talib.VORTEX(b.high, b.low, b.close, p.period), strict=True)
    ),
}


def pandas_adx(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """pandas-ta-classic without TA-Lib."""
    s = series(b)
    made = ta.adx(s.high, s.low, s.close, p.period, talib=False).to_numpy().T
    return dict(zip(("adx", "plus_di", "minus_di"), made[:3], strict=True))


def aroon_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """The last of the highest highs and lowest lows of n + 1 bars."""
    n, size = p.period, b.close.size
    up, down = np.full(size, np.nan), np.full(size, np.nan)
    for t in range(n, size):
        highs, lows = b.high[t - n : t + 1].tolist(), b.low[t - n : t + 1].tolist()
        up[t] = 100 * max(i for i in range(n + 1) if highs[i] == max(highs)) / n
        down[t] = 100 * max(i for i in range(n + 1) if lows[i] == min(lows)) / n
    return {"aroon_up": up, "aroon_down": down, "aroon_oscillator": up - down}


def vortex_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Sums of each window."""
    n, size, ranges = p.period, b.close.size, true_range(b)
    plus, minus = np.full(size, np.nan), np.full(size, np.nan)
    for t in range(n, size):
        window = range(t - n + 1, t + 1)
        total = sum(ranges[i] for i in window)
        plus[t] = sum(abs(b.high[i] - b.low[i - 1]) for i in window) / total
        minus[t] = sum(abs(b.low[i] - b.high[i - 1]) for i in window) / total
    return {"vortex_plus": plus, "vortex_minus": minus}


SECOND = {"adx": pandas_adx, "aroon": aroon_loop, "vortex": vortex_loop}


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_talib(market: pl.DataFrame, name: str, params: dict) -> None:
    """F3: with TA-Lib's first bars."""
    agree(market, name, params, TALIB[name])


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_a_second_implementation(market: pl.DataFrame, name: str, params: dict) -> None:
    """pandas-ta-classic for ADX, loops for the others."""
    agree(market, name, params, SECOND[name])


def test_of_equal_highs_the_latest_counts() -> None:
    """A high that is met again is new."""
    high = np.array([5.0, 4, 3, 5, 4, 3, 2])
    bars = frame(high, high, high - 1, high - 0.5, np.ones(7))
    assert computed(bars, "aroon", period=4)["aroon_up_4"][4:].tolist() == [75, 50, 25]


def test_one_price() -> None:
    """Flat: TA-Lib's values; every bar is the latest extreme."""
    in_flat_markets("adx", {"adx": 0.0, "plus_di": 0.0, "minus_di": 0.0})
    in_flat_markets("aroon", {"aroon_up": 100.0, "aroon_down": 100.0, "aroon_oscillator": 0.0})
    in_flat_markets("vortex", {"vortex_plus": 0.0, "vortex_minus": 0.0})


def test_a_market_that_stopped() -> None:
    """Sums of nothing are 0, not the rounding of what was."""
    for values in after_standstill("vortex").values():
        assert (values == 0).all()
    assert (after_standstill("aroon")["aroon_oscillator"] == 0).all()
