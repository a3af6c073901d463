"""Amihud's illiquidity and the correlation of price and volume against loops, TA-Lib and exact arithmetic."""

from __future__ import annotations

import math
from pathlib import Path

import exact
import numpy as np
import pandas as pd
import polars as pl
import pytest
import talib
from builtin_bars import arrays, computed, findings, flat_bars, frame, indicator, random_bars, real_hours, then

from tftctl.core.errors import ConfigError

BARS = random_bars(500, seed=20)
_, _, CLOSE, VOLUME = arrays(BARS)
RETURNS = np.diff(np.log(CLOSE), prepend=np.nan)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("amihud", {}), ("amihud", {"period": 5, "long": 9}),
        ("price_volume_correlation", {}), ("price_volume_correlation", {"period": 4}),
    ],
)  # fmt: skip
def test_passes_the_checks_of_plugins(name: str, params: dict) -> None:
    """First valid bar, settle, causality, scale, short segments."""
    assert findings(name, **params) == []


def illiquidity(close: np.ndarray, volume: np.ndarray, t: int, n: int) -> float:
    """Amihud (2002): the mean over bars that traded of |r| / value, times 1e6."""
    terms = [
        abs(math.log(close[i] / close[i - 1])) / (close[i] * volume[i])
        for i in range(t - n + 1, t + 1)
        if volume[i] > 0
    ]
    return 1e6 * math.fsum(terms) / len(terms) if terms else math.nan


@pytest.mark.parametrize(("period", "long"), [(20, 120), (5, 9)])
def test_amihud_against_a_loop(period: int, long: int) -> None:
    """With bars that did not trade between; relative to the mean of the long window."""
    volume = np.where(np.arange(500) % 9 == 4, 0.0, VOLUME)
    bars = BARS.with_columns(volume=pl.Series(volume))
    short = exact.by_loop(500, period, lambda t: illiquidity(CLOSE, volume, t, period))
    usual = exact.by_loop(500, long, lambda t: illiquidity(CLOSE, volume, t, long))
    found, relative = computed(bars, "amihud", period=period, long=long).values()
    assert exact.difference(found, short) <= 1e-11
    assert exact.difference(relative, short / usual) <= 1e-11


def test_amihud_is_no_input_as_it_is() -> None:
    """It survives splits, but its level is the market's size: twice the turnover, half the illiquidity."""
    doubled = BARS.with_columns(volume=pl.col("volume") * 2)
    found, relative = computed(BARS, "amihud").values()
    halved, same = computed(doubled, "amihud").values()
    np.testing.assert_allclose(halved, found / 2, rtol=1e-12)
    np.testing.assert_allclose(same, relative, rtol=1e-12)
    assert [feature.scale for feature in indicator("amihud").features] == ["volume", "free"]


def test_amihud_without_volume_or_moves() -> None:
    """Nothing traded: null. Traded at one price: 0, and 0/0 relative."""
    bars = then(random_bars(200), flat_bars(200))
    for values in computed(bars, "amihud").values():
        assert np.isnan(values[-50:]).all()
    found, relative = computed(flat_bars(200, volume=5.0), "amihud").values()
    np.testing.assert_array_equal(found[20:], 0.0)
    assert np.isnan(relative).all()


def test_amihud_windows_must_differ() -> None:
    """The message names both parameters."""
    with pytest.raises(ConfigError, match=r"long = 20 must be more than period = 20"):
        indicator("amihud", long=20)


@pytest.mark.parametrize("period", [4, 20, 60])
def test_correlation_equals_talib_and_pandas(period: int) -> None:
    """CORREL of close and volume, and of log return and volume; first valid bar included."""
    of_price, of_return = computed(BARS, "price_volume_correlation", period=period).values()
    assert exact.difference(of_price, talib.CORREL(CLOSE, VOLUME, timeperiod=period)) <= 1e-9
    expected = np.concatenate(([np.nan], talib.CORREL(RETURNS[1:], VOLUME[1:], timeperiod=period)))
    assert exact.difference(of_return, expected) <= 1e-9
    rolled = pd.Series(CLOSE).rolling(period).corr(pd.Series(VOLUME)).to_numpy()
    assert exact.difference(of_price, rolled) <= 1e-8


@pytest.mark.shared
def test_correlation_on_real_hours(shared_data: Path) -> None:
    """BTCUSDT: NumPy's to 1e-10, TA-Lib's to 1e-9."""
    bars = real_hours(shared_data, "BTCUSDT", 30_000, 1500).filter(pl.col("segment") == 0)
    _, _, close, volume = arrays(bars)
    found, _ = computed(bars, "price_volume_correlation").values()
    expected = exact.by_loop(
        close.size, 19, lambda t: float(np.corrcoef(close[t - 19 : t + 1], volume[t - 19 : t + 1])[0, 1])
    )
    assert exact.difference(found, expected) <= 1e-10
    assert exact.difference(found, talib.CORREL(close, volume, timeperiod=20)) <= 1e-9


@pytest.mark.parametrize("prices", [exact.prices_in_half_ticks, exact.pips])
def test_correlation_is_exact_where_prices_are_large_and_moves_small(prices: object) -> None:
    """Half ticks at 60,000 and pips, with 1e12 spikes of volume, to 1e-12."""
    close, volume = prices(160), exact.spiked_volume(160)
    found = computed(frame(close, close, close, close, volume), "price_volume_correlation")["price_volume_correlation"]
    for t in range(19, 160):
        x, y = close[t - 19 : t + 1], volume[t - 19 : t + 1]
        scale = exact.root(exact.covariance(x, x)) * exact.root(exact.covariance(y, y))
        assert found[t] == pytest.approx(float(exact.covariance(x, y)) / scale, rel=1e-12, abs=1e-12)


def test_correlation_of_a_line_with_itself() -> None:
    """Never beyond 1."""
    line = 100 + 0.1 * np.arange(80)
    found = computed(frame(line, line, line, line, line), "price_volume_correlation")["price_volume_correlation"]
    np.testing.assert_allclose(found[19:], 1.0, rtol=1e-14)
    assert np.nanmax(found) <= 1.0


@pytest.mark.parametrize("bars", [flat_bars(60), flat_bars(60, volume=3.0)])
def test_correlation_with_what_stands_still(bars: pl.DataFrame) -> None:
    """0/0 is null."""
    for values in computed(bars, "price_volume_correlation").values():
        assert np.isnan(values).all()


@pytest.mark.parametrize("name", ["amihud", "price_volume_correlation"])
def test_one_bar_has_no_value(name: str) -> None:
    """There is no return, and no window."""
    for values in computed(BARS.head(1), name).values():
        assert np.isnan(values).tolist() == [True]
