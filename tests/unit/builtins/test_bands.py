"""Bollinger bands against TA-Lib, pandas-ta-classic and exact rational arithmetic."""

from __future__ import annotations

from pathlib import Path

import exact
import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, findings, flat_bars, frame, random_bars, real_hours, then

BARS = random_bars(500, seed=13)


@pytest.mark.parametrize("name", ["bollinger", "bollinger_bands"])
@pytest.mark.parametrize("params", [{}, {"period": 11, "k": 1.5}])
def test_passes_the_checks_of_plugins(name: str, params: dict) -> None:
    """First valid bar, settle, causality, scale, short segments."""
    assert findings(name, **params) == []


def bands(bars: pl.DataFrame, period: int, k: float) -> list[np.ndarray]:
    """upper, middle, lower, %b, bandwidth."""
    lines = computed(bars, "bollinger_bands", period=period, k=k)
    ratios = computed(bars, "bollinger", period=period, k=k)
    return [*lines.values(), *ratios.values()]


def against_talib(bars: pl.DataFrame, period: int, k: float) -> None:
    """The three lines, and what follows from them."""
    close = bars["close"].to_numpy()
    upper, middle, lower = talib.BBANDS(close, timeperiod=period, nbdevup=k, nbdevdn=k, matype=talib.MA_Type.SMA)
    found = bands(bars, period, k)
    expected = [upper, middle, lower, (close - lower) / (upper - lower), (upper - lower) / middle]
    for mine, theirs in zip(found, expected, strict=True):
        assert exact.difference(mine, theirs) <= 1e-9


@pytest.mark.parametrize(("period", "k"), [(20, 2.0), (5, 1.0), (100, 2.5)])
def test_equals_talib(period: int, k: float) -> None:
    """First valid bar included."""
    against_talib(BARS, period, k)


@pytest.mark.shared
def test_equals_talib_on_real_hours(shared_data: Path) -> None:
    """BTCUSDT."""
    bars = real_hours(shared_data, "BTCUSDT", 30_000, 3000).filter(pl.col("segment") == 0)
    against_talib(bars, 20, 2.0)


def test_equals_a_second_library() -> None:
    """pandas-ta-classic, whose bandwidth is in per cent."""
    theirs = ta.bbands(pd.Series(BARS["close"].to_numpy()), length=20, std=2.0, ddof=0, talib=False)
    lower, middle, upper, width, position = (theirs[name].to_numpy() for name in theirs.columns[:5])
    for mine, other in zip(bands(BARS, 20, 2.0), [upper, middle, lower, position, width / 100], strict=True):
        assert exact.difference(mine, other) <= 1e-9


@pytest.mark.parametrize("prices", [exact.prices_in_half_ticks, exact.pips])
def test_is_exact_where_prices_are_large_and_moves_small(prices: object) -> None:
    """Half ticks at 60,000, pips at 1.1: %b to 1e-9, bandwidth to 1e-12 of exact arithmetic."""
    close = prices(200)
    found = computed(frame(close, close + 1, close - 1, close, np.ones(200)), "bollinger")
    for t in range(19, 200):
        mean, variance, *_ = exact.moments(close[t - 19 : t + 1])
        deviation = exact.root(variance)
        position = 0.5 + (float(close[t]) - mean) / (4 * exact.Fraction(deviation))
        assert found["bollinger_bandwidth"][t] == pytest.approx(4 * deviation / float(mean), rel=1e-12)
        assert found["bollinger_pctb"][t] == pytest.approx(float(position), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("price", [100.0, 0.37, 41_234.56])
def test_a_flat_window(price: float) -> None:
    """The bands are the price itself, %b is 0/0; also after a lively stretch."""
    lively = random_bars(73)
    lively = lively.with_columns(pl.col("open", "high", "low", "close") * (price / lively["close"][-1]))
    bars = then(lively, flat_bars(60, price))
    upper, middle, lower, position, width = (values[-40:] for values in bands(bars, 20, 2.0))
    for line in (upper, middle, lower):
        np.testing.assert_array_equal(line, price)
    assert np.isnan(position).all()
    assert (width == 0).all()


def test_one_bar_has_no_value() -> None:
    """Nor have the 19 first."""
    for size in (1, 19):
        for values in bands(BARS.head(size), 20, 2.0):
            assert np.isnan(values).all()
