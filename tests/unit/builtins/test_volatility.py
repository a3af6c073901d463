"""Volatility of closes against TA-Lib, pandas, loops and decimal arithmetic."""

from __future__ import annotations

import itertools
import math
import statistics
from decimal import Decimal, localcontext
from pathlib import Path

import exact
import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import polars as pl
import pytest
from builtin_bars import computed, findings, flat_bars, frame, random_bars, real_hours

BARS = random_bars(500, seed=14)
CLOSE = BARS["close"].to_numpy()
RETURNS = [math.nan, *(math.log(now / before) for before, now in itertools.pairwise(CLOSE))]
OTHER = {
    "rolling_volatility": {"period": 9},
    "ewma_volatility": {"decay": 0.8},
    "realized_semivariance": {"period": 9},
    "vol_of_vol": {"period": 7, "bars": 31},
}


@pytest.mark.parametrize("name", ["log_return", *OTHER])
def test_passes_the_checks_of_plugins(name: str) -> None:
    """First valid bar, settle, causality, scale, short segments, for two sets of parameters."""
    assert findings(name) == []
    assert findings(name, **OTHER.get(name, {})) == []


def closes(close: np.ndarray) -> pl.DataFrame:
    """Bars with these closes."""
    return frame(close, close, close, close, np.ones(close.size))


@pytest.mark.parametrize("prices", [exact.prices_in_half_ticks, exact.pips])
def test_log_return_keeps_all_digits(prices: object) -> None:
    """Against 50 decimal digits: a difference of logarithms of 60,000 would be 1e-10 off for half a tick."""
    close = prices(300)
    found = computed(closes(close), "log_return")["log_return"]
    with localcontext() as context:
        context.prec = 50
        for t in range(1, 300):
            expected = float((Decimal(float(close[t])) / Decimal(float(close[t - 1]))).ln())
            assert found[t] == pytest.approx(expected, rel=1e-15, abs=0)


def test_log_return_of_a_crash_and_a_jump() -> None:
    """Returns far from 0."""
    found = computed(closes(np.array([100.0, 1e-4, 1e4, 1e4])), "log_return")["log_return"]
    np.testing.assert_allclose(found[1:], [math.log(1e-6), math.log(1e8), 0.0], rtol=1e-11)


@pytest.mark.parametrize("period", [2, 20, 60])
def test_rolling_volatility_equals_talib_and_statistics(period: int) -> None:
    """TA-Lib's STDDEV is the population's: it takes the factor n / (n - 1)."""
    (found,) = computed(BARS, "rolling_volatility", period=period).values()
    population = exact.population_deviation(np.array(RETURNS[1:]), period)
    sample = np.concatenate(([np.nan], population * math.sqrt(period / (period - 1))))
    assert exact.difference(found, sample) <= 1e-9
    for t in range(period, 500, 7):
        assert found[t] == pytest.approx(statistics.stdev(RETURNS[t - period + 1 : t + 1]), rel=1e-12)


@pytest.mark.shared
def test_rolling_volatility_equals_talib_on_real_hours(shared_data: Path) -> None:
    """BTCUSDT."""
    bars = real_hours(shared_data, "BTCUSDT", 30_000, 3000).filter(pl.col("segment") == 0)
    close = bars["close"].to_numpy()
    population = exact.population_deviation(np.log(close[1:] / close[:-1]), 20)
    expected = np.concatenate(([np.nan], population * math.sqrt(20 / 19)))
    assert exact.difference(computed(bars, "rolling_volatility")["rolling_volatility"], expected) <= 1e-9


def test_rolling_volatility_equals_a_second_library() -> None:
    """pandas-ta-classic's historical volatility, annualised in per cent."""
    theirs = ta.hvol(pd.Series(CLOSE), length=20, annualization=1).to_numpy() / 100
    assert exact.difference(computed(BARS, "rolling_volatility")["rolling_volatility"], theirs) <= 1e-9


@pytest.mark.parametrize("decay", [0.94, 0.8])
def test_ewma_equals_pandas(decay: float) -> None:
    """RiskMetrics, seeded with the first squared return."""
    squared = pd.Series(RETURNS[1:]) ** 2
    expected = np.concatenate(([np.nan], np.sqrt(squared.ewm(alpha=1 - decay, adjust=False).mean())))
    (found,) = computed(BARS, "ewma_volatility", decay=decay).values()
    assert exact.difference(found, expected) <= 1e-12


def test_semivariance_against_a_loop() -> None:
    """Barndorff-Nielsen, Kinnebrock and Shephard (2010), per bar: down and up sum to the mean square."""
    found = computed(BARS, "realized_semivariance")
    for t in range(20, 500):
        window = RETURNS[t - 19 : t + 1]
        down = math.fsum(r * r for r in window if r < 0) / 20
        up = math.fsum(r * r for r in window if r > 0) / 20
        assert found["semivariance_down"][t] == pytest.approx(down, rel=1e-11)
        assert found["semivariance_up"][t] == pytest.approx(up, rel=1e-11)
        assert found["semivariance_balance"][t] == pytest.approx((up - down) / (up + down), rel=1e-10, abs=1e-11)


def test_semivariance_of_a_market_that_only_rises() -> None:
    """All of it is up."""
    found = computed(closes(np.exp(0.01 * np.arange(60))), "realized_semivariance")
    np.testing.assert_allclose(found["semivariance_up"][20:], 1e-4, rtol=1e-9)
    np.testing.assert_array_equal(found["semivariance_down"][20:], 0.0)
    np.testing.assert_array_equal(found["semivariance_balance"][20:], 1.0)


@pytest.mark.parametrize(("period", "bars"), [(20, 20), (5, 12)])
def test_vol_of_vol_against_a_loop(period: int, bars: int) -> None:
    """The deviation of deviations, and as a share of their mean."""
    found = computed(BARS, "vol_of_vol", period=period, bars=bars)
    deviation, relative = found.values()
    volatility = exact.by_loop(500, period, lambda t: statistics.stdev(RETURNS[t - period + 1 : t + 1]))
    for t in range(period + bars - 1, 500):
        window = volatility[t - bars + 1 : t + 1]
        assert deviation[t] == pytest.approx(statistics.stdev(window), rel=1e-10)
        assert relative[t] == pytest.approx(statistics.stdev(window) / statistics.fmean(window), rel=1e-10)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("realized_semivariance", [0.0, 0.0, math.nan]),
        ("vol_of_vol", [0.0, math.nan]),
        ("rolling_volatility", [0.0]),
        ("log_return", [0.0]),
    ],
)
def test_a_market_that_never_moves(name: str, expected: list[float]) -> None:
    """0, and null where it would be divided by 0; one bar has no value."""
    for values, value in zip(computed(flat_bars(60), name).values(), expected, strict=True):
        np.testing.assert_array_equal(values[-20:], value)
    for values in computed(flat_bars(1), name).values():
        assert np.isnan(values).tolist() == [True]
