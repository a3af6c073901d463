"""OBV, its trend, relative volume and percentile against TA-Lib, NumPy and exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import exact
import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import arrays, computed, findings, flat_bars, frame, random_bars, real_hours, then

BARS = random_bars(500, seed=17)
OTHER = {"obv_trend": {"period": 3}, "relative_volume": {"period": 2}, "volume_percentile": {"period": 5}}


@pytest.mark.parametrize("name", ["obv", *OTHER])
def test_passes_the_checks_of_plugins(name: str) -> None:
    """First valid bar, settle, causality, scale, short segments, for two sets of parameters."""
    assert findings(name) == []
    assert findings(name, **OTHER.get(name, {})) == []


def against_talib(bars: pl.DataFrame, period: int) -> None:
    """OBV, its LINEARREG_SLOPE and its change; RVOL; PERCENTRANK."""
    _, _, close, volume = arrays(bars)
    line = talib.OBV(close, volume)
    mean = talib.SMA(volume, timeperiod=period)
    change = np.full(line.size, np.nan)
    change[period:] = (line[period:] - line[:-period]) / (mean[period:] * period)
    assert exact.difference(computed(bars, "obv")["obv"], line) == 0
    slope, moved = computed(bars, "obv_trend", period=period).values()
    assert exact.difference(slope, talib.LINEARREG_SLOPE(line, timeperiod=period) / mean) <= 1e-9
    assert exact.difference(moved, change) <= 1e-9
    (relative,) = computed(bars, "relative_volume", period=period).values()
    assert exact.difference(relative, talib.RVOL(volume, timeperiod=period)) <= 1e-9
    (rank,) = computed(bars, "volume_percentile", period=period).values()
    assert exact.difference(rank, talib.PERCENTRANK(volume, timeperiod=period)) == 0


@pytest.mark.parametrize("period", [3, 20, 100])
def test_equals_talib(period: int) -> None:
    """First valid bar included."""
    against_talib(BARS, period)


@pytest.mark.shared
def test_equals_talib_on_real_hours(shared_data: Path) -> None:
    """BTCUSDT."""
    against_talib(real_hours(shared_data, "BTCUSDT", 30_000, 3000).filter(pl.col("segment") == 0), 20)


def test_obv_equals_a_second_library() -> None:
    """pandas-ta-classic's begins at 0; ours, like TA-Lib's, with the first volume."""
    _, _, close, volume = arrays(BARS)
    theirs = ta.obv(pd.Series(close), pd.Series(volume), talib=False).to_numpy()
    found = computed(BARS, "obv")["obv"]
    np.testing.assert_allclose(np.diff(found), np.diff(theirs), rtol=1e-9, atol=1e-9)
    assert found[0] == volume[0]


def test_obv_trend_against_a_loop() -> None:
    """A fitted line through the last n values of OBV."""
    _, _, close, volume = arrays(BARS)
    line = np.cumsum(np.sign(np.diff(close, prepend=0.0)) * volume)
    slope, change = computed(BARS, "obv_trend", period=20).values()
    for t in range(20, 500):
        part, traded = line[t - 19 : t + 1], math.fsum(volume[t - 19 : t + 1])
        fitted = np.polynomial.polynomial.polyfit(np.arange(20), part - part[0], 1)[1]
        assert slope[t] == pytest.approx(fitted * 20 / traded, rel=1e-9, abs=1e-9)
        assert change[t] == pytest.approx((line[t] - line[t - 20]) / traded, rel=1e-9, abs=1e-9)


def test_obv_trend_of_a_market_that_only_rises() -> None:
    """With equal volumes the line rises by one mean volume a bar, and all that was traded counts."""
    close = np.linspace(100, 150, 60)
    slope, change = computed(frame(close, close, close, close, np.full(60, 3.0)), "obv_trend").values()
    np.testing.assert_allclose(slope[19:], 1.0, rtol=1e-12)
    np.testing.assert_allclose(change[20:], 1.0, rtol=1e-12)


@pytest.mark.parametrize("period", [2, 20])
def test_relative_volume_is_exact_after_a_spike(period: int) -> None:
    """The mean is of the bars before, and forgets 1e12 when it leaves."""
    volume = exact.spiked_volume(160)
    level = np.full(160, 100.0)
    (found,) = computed(frame(level, level, level, level, volume), "relative_volume", period=period).values()
    for t in range(period, 160):
        before = sum(Fraction(float(value)) for value in volume[t - period : t]) / period
        assert found[t] == pytest.approx(float(Fraction(float(volume[t])) / before), rel=1e-13)


def test_percentile_counts_the_smaller_ones() -> None:
    """Of the n volumes before; an equal one is not smaller."""
    volume = np.round(BARS["volume"].to_numpy(), -2)
    bars = BARS.with_columns(volume=pl.Series(volume))
    (found,) = computed(bars, "volume_percentile", period=10).values()
    for t in range(10, 500):
        assert found[t] == pytest.approx(100 * sum(volume[i] < volume[t] for i in range(t - 10, t)) / 10)


def test_no_volume() -> None:
    """Ratios are null, OBV stands still, and nothing is smaller than 0."""
    bars = then(random_bars(50), flat_bars(130))
    for name in ("obv_trend", "relative_volume"):
        for values in computed(bars, name).values():
            assert np.isfinite(values[25:50]).all()
            assert np.isnan(values[-100:]).all()
    assert np.unique(computed(bars, "obv")["obv"][50:]).size == 1
    np.testing.assert_array_equal(computed(bars, "volume_percentile", period=20)["volume_percentile_20"][-100:], 0.0)


def test_volume_after_none() -> None:
    """The first trade after a halt has nothing to be compared with; the next one has."""
    volume = np.concatenate((np.zeros(30), [5.0, 5.0]))
    level = np.full(32, 100.0)
    found = computed(frame(level, level, level, level, volume), "relative_volume")["relative_volume"]
    assert np.isnan(found[:31]).all()
    assert found[31] == pytest.approx(20.0)


@pytest.mark.parametrize("name", ["obv_trend", "relative_volume", "volume_percentile"])
def test_one_bar_has_no_value(name: str) -> None:
    """Only OBV has: the volume itself."""
    for values in computed(BARS.head(1), name).values():
        assert np.isnan(values).tolist() == [True]
    assert computed(BARS.head(1), "obv")["obv"].tolist() == [BARS["volume"][0]]
