"""ATR and what is made of it, against TA-Lib, pandas-ta-classic and loops."""

from __future__ import annotations

from pathlib import Path

import exact
import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import arrays, computed, findings, flat_bars, indicator, random_bars, real_hours

BARS = random_bars(500, seed=12)
OTHER = {
    "atr": {"period": 7},
    "natr": {"period": 7},
    "atr_to_price": {"period": 2},
    "range_to_atr": {"period": 30},
    "atr_slope": {"period": 7, "bars": 3},
}


@pytest.mark.parametrize("name", [*OTHER, "tail_bias", "amplitude_range"])
def test_passes_the_checks_of_plugins(name: str) -> None:
    """First valid bar, settle, causality, scale, short segments, for two sets of parameters."""
    assert findings(name) == []
    assert findings(name, **OTHER.get(name, {})) == []


def against_talib(bars: pl.DataFrame, period: int) -> None:
    """Every column that TA-Lib has, or that follows from one of its own in one step."""
    high, low, close, _ = arrays(bars)
    average = talib.ATR(high, low, close, timeperiod=period)
    expected = {
        "atr": average,
        "natr": talib.NATR(high, low, close, timeperiod=period),
        "atr_to_price": average / close,
        "range_to_atr": (high - low) / average,
    }
    for name, reference in expected.items():
        (found,) = computed(bars, name, period=period).values()
        assert exact.difference(found, reference) <= 1e-12, name


@pytest.mark.parametrize("period", [2, 7, 14, 50])
def test_equals_talib(period: int) -> None:
    """First valid bar included."""
    against_talib(BARS, period)


@pytest.mark.shared
def test_equals_talib_on_real_hours(shared_data: Path) -> None:
    """BTCUSDT."""
    bars = real_hours(shared_data, "BTCUSDT", 30_000, 3000).filter(pl.col("segment") == 0)
    assert bars.height > 1000
    against_talib(bars, 14)


@pytest.mark.parametrize("period", [5, 14])
def test_equals_a_second_library(period: int) -> None:
    """pandas-ta-classic in its own arithmetic."""
    high, low, close = (pd.Series(values) for values in arrays(BARS)[:3])
    average = ta.atr(high, low, close, length=period, talib=False).to_numpy()
    normalised = ta.natr(high, low, close, length=period, talib=False).to_numpy()
    (found,), (relative,) = (computed(BARS, name, period=period).values() for name in ("atr", "natr"))
    assert exact.difference(found, average) <= 1e-12
    assert exact.difference(relative, normalised) <= 1e-12
    (to_price,) = computed(BARS, "atr_to_price", period=period).values()
    assert exact.difference(100 * to_price, normalised) <= 1e-12


def test_range_to_atr_is_one_when_every_bar_is_alike() -> None:
    """A ladder of bars that overlap fully: the true range is high - low, and so is its mean."""
    middle = 100 + 0.25 * (np.arange(60) % 2)
    bars = flat_bars(60).with_columns(
        open=pl.Series(middle), close=pl.Series(middle), high=pl.Series(middle + 1), low=pl.Series(middle - 1)
    )
    np.testing.assert_allclose(computed(bars, "range_to_atr")["range_to_atr"][14:], 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "value"), [("natr", 0.0), ("atr_to_price", 0.0), ("range_to_atr", np.nan), ("atr", 0.0)]
)
def test_a_market_that_never_moves(name: str, value: float) -> None:
    """0, and null where it would be divided by 0."""
    (found,) = computed(flat_bars(60), name).values()
    np.testing.assert_array_equal(found[14:], value)


@pytest.mark.parametrize("name", ["atr", "natr", "atr_to_price", "range_to_atr"])
def test_one_bar_has_no_value(name: str) -> None:
    """The first true range needs a close before it."""
    (found,) = computed(BARS.head(1), name).values()
    assert np.isnan(found).tolist() == [True]
    assert indicator(name).features[0].first_valid == 14
