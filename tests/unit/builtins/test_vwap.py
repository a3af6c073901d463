"""VWAP against TA-Lib, pandas-ta-classic and loops."""

from __future__ import annotations

import math
from pathlib import Path

import exact
import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import DAY, HOUR, arrays, computed, findings, flat_bars, random_bars, real_days, real_hours

BARS = random_bars(500, seed=19)


@pytest.mark.parametrize("params", [{}, {"period": 7}])
def test_rolling_passes_the_checks_of_plugins(params: dict) -> None:
    """First valid bar, settle, causality, scale, short segments."""
    assert findings("rolling_vwap", **params) == []


def test_daily_passes_the_checks_of_plugins() -> None:
    """First valid bar, settle, causality, scale, short segments."""
    assert findings("daily_vwap") == []


def typical(bars: pl.DataFrame) -> np.ndarray:
    """(high + low + close) / 3."""
    return np.mean(arrays(bars)[:3], axis=0)


@pytest.mark.parametrize("period", [2, 20, 100])
def test_rolling_against_a_loop(period: int) -> None:
    """Mean of typical prices weighted by volume."""
    price, volume, close = typical(BARS), BARS["volume"].to_numpy(), BARS["close"].to_numpy()

    def mean(t: int) -> float:
        window = slice(t - period + 1, t + 1)
        return math.fsum(price[window] * volume[window]) / math.fsum(volume[window])

    expected = exact.by_loop(500, period - 1, mean)
    found, distance = computed(BARS, "rolling_vwap", period=period).values()
    assert exact.difference(found, expected) <= 1e-13
    assert exact.difference(distance, close / expected - 1) <= 1e-11


def test_rolling_over_the_whole_series_is_talibs() -> None:
    """TA-Lib's VWAP accumulates from the first bar."""
    whole = talib.VWAP(*arrays(BARS))
    (found, _) = computed(BARS, "rolling_vwap", period=500).values()
    assert found[-1] == pytest.approx(whole[-1], rel=1e-13)


def test_rolling_forgets_a_spike() -> None:
    """1e12 leaves the window, and nothing of it stays."""
    bars = BARS.with_columns(volume=pl.Series(exact.spiked_volume(500)))
    price, volume = typical(bars), bars["volume"].to_numpy()
    found = computed(bars, "rolling_vwap")["rolling_vwap"]
    for t in range(19, 500):
        assert found[t] == pytest.approx(np.average(price[t - 19 : t + 1], weights=volume[t - 19 : t + 1]), rel=1e-12)


def daily_by_talib(bars: pl.DataFrame) -> np.ndarray:
    """TA-Lib's VWAP of each UTC day of each segment."""
    found = []
    for part in bars.with_columns(day=pl.col("timestamp") // DAY).partition_by("segment", "day", maintain_order=True):
        found.append(talib.VWAP(*arrays(part)))
    return np.concatenate(found)


@pytest.mark.parametrize("first_hour", [0, 1, 13, 23])
def test_daily_equals_talib_day_by_day(first_hour: int) -> None:
    """Also when the segment begins in the middle of a day: that day is the rest of it."""
    bars = BARS.with_columns(timestamp=pl.col("timestamp") + first_hour * HOUR)
    expected = daily_by_talib(bars)
    found, distance = computed(bars, "daily_vwap").values()
    assert exact.difference(found, expected) <= 1e-13
    assert exact.difference(distance, bars["close"].to_numpy() / expected - 1) <= 1e-11
    assert found[(24 - first_hour) % 24] == pytest.approx(typical(bars)[(24 - first_hour) % 24], rel=1e-15)


@pytest.mark.shared
def test_daily_equals_talib_on_real_hours_with_gaps(shared_data: Path) -> None:
    """BTCUSDT; the day begins anew after an outage."""
    bars = real_hours(shared_data, "BTCUSDT", 3000, 6000)
    assert bars["segment"].n_unique() > 1
    expected = np.where(bars["volume"].to_numpy() > 0, daily_by_talib(bars), np.nan)
    found = computed(bars, "daily_vwap")["daily_vwap"]
    traded = ~np.isnan(expected)
    assert exact.difference(found[traded], expected[traded]) <= 1e-12


def test_daily_equals_a_second_library() -> None:
    """pandas-ta-classic anchored at days."""
    index = pd.to_datetime(BARS["timestamp"].to_numpy(), unit="ms")
    theirs = ta.vwap(*(pd.Series(values, index=index) for values in arrays(BARS)), anchor="D").to_numpy()
    assert exact.difference(computed(BARS, "daily_vwap")["daily_vwap"], theirs) <= 1e-12


@pytest.mark.shared
def test_daily_of_daily_bars_is_the_typical_price(shared_data: Path) -> None:
    """Each bar is its own day."""
    bars = real_days(shared_data, "BTCUSDT", 300)
    np.testing.assert_allclose(computed(bars, "daily_vwap")["daily_vwap"], typical(bars), rtol=1e-14)


def test_no_volume() -> None:
    """Null until something is traded; a bar without volume keeps the day's VWAP."""
    at = pl.int_range(pl.len())
    bars = BARS.head(100).with_columns(volume=pl.when(at.is_between(24, 29) | (at == 60)).then(0.0).otherwise("volume"))
    vwap, distance = computed(bars, "daily_vwap").values()
    assert np.flatnonzero(np.isnan(vwap)).tolist() == [24, 25, 26, 27, 28, 29]
    assert np.flatnonzero(np.isnan(distance)).tolist() == [24, 25, 26, 27, 28, 29]
    assert vwap[60] == vwap[59]
    for name in ("daily_vwap", "rolling_vwap"):
        for values in computed(flat_bars(60), name).values():
            assert np.isnan(values).all()


def test_a_flat_price_is_its_own_vwap() -> None:
    """With volume."""
    for name in ("daily_vwap", "rolling_vwap"):
        vwap, distance = computed(flat_bars(60, price=97.3, volume=3.0), name).values()
        np.testing.assert_allclose(vwap[19:], 97.3, rtol=1e-15)
        np.testing.assert_allclose(distance[19:], 0.0, atol=1e-15)


def test_one_bar() -> None:
    """The day's VWAP is its typical price; a window has none."""
    assert computed(BARS.head(1), "daily_vwap")["daily_vwap"].tolist() == [pytest.approx(typical(BARS)[0])]
    assert np.isnan(computed(BARS.head(1), "rolling_vwap")["rolling_vwap"]).all()
