"""Regression line and Heikin-Ashi: exact arithmetic, TA-Lib, loops, pandas-ta-classic."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import flat_bars, frame, random_bars, then
from second_opinion import Array, after_standstill, agree, apart, in_flat_markets, outputs, rolled, series


def lines(slope: Array, r2: Array, close: Array) -> dict[str, Array]:
    """The slope, what it is of the close, and R2."""
    return {"linreg_slope": slope, "linreg_slope_relative": slope / close, "linreg_r2": r2}


def linreg_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """R2 is the squared correlation with time."""
    time = np.arange(b.close.size, dtype=float)
    return lines(talib.LINEARREG_SLOPE(b.close, p.period), talib.CORREL(b.close, time, p.period) ** 2, b.close)


def linreg_by_numpy(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Polynomials of degree 1 and correlations, window by window."""
    time = np.arange(p.period)
    slope = rolled(b.close, p.period, lambda window: np.polyfit(time, window, 1)[0])
    return lines(slope, rolled(b.close, p.period, lambda window: np.corrcoef(time, window)[0, 1] ** 2), b.close)


def heikin_ashi_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Its open and close."""
    start, _, _, end = talib.HA(b.open, b.high, b.low, b.close)
    return {"heikin_ashi_body": (end - start) / b.close, "heikin_ashi_direction": np.sign(end - start)}


def heikin_ashi_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Candle by candle; the run is counted on up to the longest."""
    bodies, sides, runs, before = [], [], [], None
    for t in range(b.close.size):
        end = (b.open[t] + b.high[t] + b.low[t] + b.close[t]) / 4
        start = (b.open[t] + b.close[t]) / 2 if before is None else sum(before) / 2
        side = 1.0 if end > start else -1.0
        length = abs(runs[-1]) + 1 if sides and sides[-1] == side else 1
        before = start, end
        bodies.append((end - start) / b.close[t])
        sides.append(side)
        runs.append(side * min(length, p.longest))
    return {
        "heikin_ashi_body": np.array(bodies),
        "heikin_ashi_direction": np.array(sides),
        "heikin_ashi_run": np.array(runs),
    }


TALIB = {"linreg": linreg_by_talib, "heikin_ashi": heikin_ashi_by_talib}


@pytest.mark.parametrize("params", [{}, {"period": 5}, {"period": 100}])
def test_line_equals_talib_and_numpy(market: pl.DataFrame, params: dict) -> None:
    """F3: with TA-Lib's first bar."""
    agree(market, "linreg", params, linreg_by_talib)
    agree(market, "linreg", params, linreg_by_numpy)


@pytest.mark.parametrize("params", [{}, {"longest": 4}])
def test_heikin_ashi_equals_talib_and_a_loop(market: pl.DataFrame, params: dict) -> None:
    """Body, direction and run."""
    agree(market, "heikin_ashi", params, heikin_ashi_by_talib)
    agree(market, "heikin_ashi", params, heikin_ashi_loop)


def test_heikin_ashi_equals_pandas_ta(market: pl.DataFrame) -> None:
    """Its columns are open, high, low, close."""

    def reference(b: SimpleNamespace, p: Any) -> dict[str, Array]:
        s = series(b)
        candles = ta.ha(s.open, s.high, s.low, s.close).to_numpy().T
        return {"heikin_ashi_body": (candles[3] - candles[0]) / b.close}

    agree(market, "heikin_ashi", {}, reference)


def ticks(level: float, tick: float, jump: float = 0.0) -> Array:
    """A walk of whole ticks, with a jump in the middle that goes back."""
    rng = np.random.default_rng(5)
    close = level + tick * np.cumsum(rng.integers(-1, 2, 400)).astype(float)
    close[200:230] += jump
    return close


@pytest.mark.parametrize(
    "close", [ticks(60_000, 0.5), ticks(1.1, 1e-5), ticks(60_000, 0.01, 50_000), ticks(1e-8, 1e-13, 1e-7)]
)
def test_line_against_exact_arithmetic(close: Array) -> None:
    """Rational numbers: half ticks on 60,000, pips, and small moves after a large one that left the window."""
    n = 14
    found = outputs(frame(close, close, close, close, np.ones(400)), "linreg", {"period": n})
    slope, r2 = np.full(400, np.nan), np.full(400, np.nan)
    time = [Fraction(2 * i - n + 1, 2) for i in range(n)]
    spread = sum(x * x for x in time)
    for t in range(n - 1, 400):
        window = [Fraction(float(value)) for value in close[t - n + 1 : t + 1]]
        mean = sum(window) / n
        both = sum(x * (y - mean) for x, y in zip(time, window, strict=True))
        squares = sum((y - mean) ** 2 for y in window)
        slope[t], r2[t] = float(both / spread), float(both**2 / (spread * squares)) if squares else np.nan
    assert np.nanmax(apart(found["linreg_slope"], slope)) < 1e-11
    assert np.nanmax(apart(found["linreg_r2"], r2)) < 1e-11
    np.testing.assert_array_equal(np.isnan(found["linreg_r2"]), np.isnan(r2))


def test_a_straight_line_is_found() -> None:
    """Its slope, and R2 = 1, never more."""
    close = 100 + 0.25 * np.arange(200)
    found = outputs(frame(close, close, close, close, np.ones(200)), "linreg", {})
    np.testing.assert_allclose(found["linreg_slope"][13:], 0.25, rtol=1e-12)
    np.testing.assert_allclose(found["linreg_r2"][13:], 1.0, rtol=1e-12)
    assert (found["linreg_r2"][13:] <= 1).all()


def test_one_price() -> None:
    """Flat: slope 0, no R2; a candle without a body has no direction."""
    in_flat_markets("linreg", {"linreg_slope": 0.0, "linreg_slope_relative": 0.0, "linreg_r2": np.nan})
    in_flat_markets("heikin_ashi", {"heikin_ashi_body": 0.0, "heikin_ashi_direction": 0.0, "heikin_ashi_run": 0.0})


def test_a_market_that_stopped() -> None:
    """Nothing is left of what was, not even its rounding."""
    line, candles = after_standstill("linreg"), after_standstill("heikin_ashi")
    assert (line["linreg_slope"] == 0).all()
    assert np.isnan(line["linreg_r2"]).all()
    assert (candles["heikin_ashi_direction"] == 0).all()
    assert (candles["heikin_ashi_run"] == 0).all()


def test_r2_comes_back_after_a_standstill() -> None:
    """The first bar that moves is enough."""
    bars = then(flat_bars(60), random_bars(60))
    found = outputs(bars, "linreg", {})["linreg_r2"]
    moved = int(np.argmax(bars["close"].to_numpy() != 100))
    assert np.isnan(found[:moved]).all()
    assert (~np.isnan(found[moved:])).all()
