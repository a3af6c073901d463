"""Built-in indicators against TA-Lib called directly, SciPy, or a naive loop (SEMANTICS F3, F6)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import scipy.stats
import talib
from builtin_bars import arrays, builtin_names, computed, first_value, flat_bars, indicator, random_bars, then

BARS = random_bars(400)
ALL = builtin_names("indicator")
RMA = 13  # Wilder


def longest_settle(name: str) -> int:
    """Bars that the slowest column needs; -1 when one never forgets."""
    settles = [feature.settle for feature in indicator(name).features]
    return -1 if min(settles) < 0 else max(settles)


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to rounding, with nulls in the same places."""
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "params", "columns", "reference"),
    [
        ("rsi", {}, ["rsi"], lambda h, lo, c, v: [talib.RSI(c, 14)]),
        ("rsi", {"period": 28}, ["rsi_28"], lambda h, lo, c, v: [talib.RSI(c, 28)]),
        ("macd", {}, ["macd", "macd_signal", "macd_hist"], lambda h, lo, c, v: talib.MACD(c, 12, 26, 9)),
        (
            "adx",
            {},
            ["adx", "plus_di", "minus_di"],
            lambda h, lo, c, v: [talib.ADX(h, lo, c, 14), talib.PLUS_DI(h, lo, c, 14), talib.MINUS_DI(h, lo, c, 14)],
        ),
        ("atr", {}, ["atr"], lambda h, lo, c, v: [talib.ATR(h, lo, c, 14)]),
        ("obv", {}, ["obv"], lambda h, lo, c, v: [talib.OBV(c, v)]),
        ("kdj", {}, ["kdj_k", "kdj_d", "kdj_j"], lambda h, lo, c, v: talib.KDJ(h, lo, c, 9, 3, RMA, 3, RMA)),
    ],
)
def test_equals_talib(name: str, params: dict, columns: list[str], reference: Callable) -> None:
    """F3: the default instance has the plain name and TA-Lib's numbers, null where TA-Lib has none."""
    found = computed(BARS, name, **params)
    assert list(found) == columns
    for column, expected in zip(columns, reference(*arrays(BARS)), strict=True):
        same(found[column], expected)


@pytest.mark.parametrize("name", ALL)
def test_first_valid_is_the_index_of_the_first_value(name: str) -> None:
    """F3: declared and measured agree for every column of every indicator, with default parameters."""
    found = computed(BARS, name)
    for feature in indicator(name).features:
        assert first_value(found[feature.column]) == feature.first_valid, feature.column
        assert not np.isnan(found[feature.column][feature.first_valid :]).any(), feature.column


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sma", {"period": 3}), ("ema", {"period": 50}), ("macd", {"fast": 30, "slow": 10, "signal": 4}),
        ("adx", {"period": 5}), ("rsi", {"period": 2}), ("kdj", {"period": 5, "k": 4, "d": 2}),
        ("atr", {"period": 7}), ("atr_slope", {"period": 7, "bars": 3}), ("bollinger", {"period": 11}),
        ("rolling_volatility", {"period": 9}), ("parkinson_volatility", {"period": 9}),
        ("vol_skewness", {"period": 31}), ("return_skewness", {"period": 31}),
    ],
)  # fmt: skip
def test_first_valid_follows_the_parameters(name: str, params: dict) -> None:
    """F3: also for other parameters than the default ones."""
    found = computed(BARS, name, **params)
    for feature in indicator(name, **params).features:
        assert first_value(found[feature.column]) == feature.first_valid, feature.column


@pytest.mark.parametrize("name", [name for name in ALL if longest_settle(name) >= 0])
def test_settle_is_enough_to_forget_the_start(name: str) -> None:
    """F3: `settle` bars after its start a series equals one that began long before, to 1e-9."""
    instance = indicator(name)
    cut = 300
    bars = random_bars(max(1400, cut + 200 + max(feature.settle for feature in instance.features)), seed=3)
    whole, late = computed(bars, name), computed(bars.slice(cut), name)
    for feature in instance.features:
        tail = late[feature.column][feature.settle :]
        assert tail.size > 100, feature.settle
        scale = np.nanmax(np.abs(whole[feature.column]))
        np.testing.assert_allclose(
            tail, whole[feature.column][cut + feature.settle :], rtol=1e-8, atol=2e-9 * scale, err_msg=feature.column
        )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 14, 15, 27, 28, 33])
def test_a_segment_of_any_length_is_computed(name: str, size: int) -> None:
    """T4: short segments give what the same first bars of a long one give."""
    short, long = computed(BARS.head(size), name), computed(BARS, name)
    for column in short:
        np.testing.assert_array_equal(short[column], long[column][:size])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [1, 60])
def test_a_market_that_never_moves_gives_no_infinity(name: str, size: int) -> None:
    """F6: 0/0 is null; `computed` fails for NaN and infinity."""
    computed(flat_bars(size), name)
    computed(flat_bars(size, price=1e-8, volume=1e12), name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rsi", {"rsi": 0.0}),
        ("adx", {"adx": 0.0, "plus_di": 0.0, "minus_di": 0.0}),
        ("atr", {"atr": 0.0}),
        ("macd", {"macd": 0.0, "macd_signal": 0.0, "macd_hist": 0.0}),
        ("log_return", {"log_return": 0.0}),
        ("amplitude_range", {"amplitude_range": 0.0}),
        ("rolling_volatility", {"rolling_volatility": 0.0}),
        ("parkinson_volatility", {"parkinson_volatility": 0.0}),
        ("ewma_volatility", {"ewma_volatility": 0.0}),
        ("obv", {"obv": 0.0}),
        ("bollinger", {"bollinger_pctb": math.nan, "bollinger_bandwidth": 0.0}),
        ("tail_bias", {"tail_bias": math.nan}),
        ("atr_slope", {"atr_slope": math.nan}),
        ("return_skewness", {"return_skewness": math.nan}),
        ("vol_skewness", {"vol_skewness": math.nan}),
    ],
)
def test_value_in_a_market_that_never_moves(name: str, expected: dict[str, float]) -> None:
    """F6: what the docstrings promise for flat prices and no volume."""
    found = computed(flat_bars(60), name)
    assert found.keys() == expected.keys()
    for column, value in expected.items():
        np.testing.assert_array_equal(found[column][-20:], value)


@pytest.mark.parametrize("price", [0.37, 97.3, 41234.56])
def test_undefined_in_a_flat_window_after_a_lively_one(price: float) -> None:
    """F6: 0/0 is null also when rolling sums carry the rounding of earlier bars."""
    lively = random_bars(100)
    scale = price / lively["close"][-1]
    lively = lively.with_columns(pl.col("open", "high", "low", "close") * scale)
    bars = then(lively, flat_bars(40, lively["close"][-1], volume=3.3))
    assert np.isnan(computed(bars, "bollinger")["bollinger_pctb"][-15:]).all()
    assert np.isnan(computed(bars, "return_skewness")["return_skewness"][-15:]).all()
    assert np.isnan(computed(bars, "vol_skewness")["vol_skewness"][-15:]).all()


def test_bollinger_against_a_loop() -> None:
    """%b and bandwidth with the population standard deviation."""
    close = BARS["close"].to_numpy()
    found = computed(BARS, "bollinger")
    for t in range(19, 400):
        window = close[t - 19 : t + 1]
        middle, deviation = window.mean(), window.std()
        lower, upper = middle - 2 * deviation, middle + 2 * deviation
        assert found["bollinger_pctb"][t] == pytest.approx((close[t] - lower) / (upper - lower), rel=1e-8, abs=1e-9)
        assert found["bollinger_bandwidth"][t] == pytest.approx((upper - lower) / middle, rel=1e-8)


def test_kdj_against_a_loop() -> None:
    """Raw stochastic over 9 bars, K and D by Wilder's means seeded with a plain mean, J = 3K - 2D."""
    high, low, close, _ = arrays(BARS)
    raw = [
        100 * (close[t] - low[t - 8 : t + 1].min()) / (high[t - 8 : t + 1].max() - low[t - 8 : t + 1].min())
        for t in range(8, 400)
    ]
    k = wilder(raw, 3)
    d = wilder(k, 3)
    found = computed(BARS, "kdj")
    size = len(d)
    np.testing.assert_allclose(found["kdj_k"][-size:], k[-size:], rtol=1e-9)
    np.testing.assert_allclose(found["kdj_d"][-size:], d, rtol=1e-9)
    np.testing.assert_allclose(found["kdj_j"][-size:], 3 * np.array(k[-size:]) - 2 * np.array(d), rtol=1e-8, atol=1e-8)


def wilder(series: list[float], length: int) -> list[float]:
    """Mean of the first values, then (previous * (n - 1) + value) / n."""
    means = [sum(series[:length]) / length]
    for value in series[length:]:
        means.append((means[-1] * (length - 1) + value) / length)
    return means


def true_ranges(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> list[float]:
    """From the second bar on."""
    return [
        max(high[t] - low[t], abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1])) for t in range(1, close.size)
    ]


def test_rsi_against_a_loop() -> None:
    """Wilder's means of gains and losses, the first of them plain means."""
    change = np.diff(BARS["close"].to_numpy())
    gain, loss = wilder(list(np.maximum(change, 0)), 14), wilder(list(np.maximum(-change, 0)), 14)
    expected = [100 * g / (g + down) for g, down in zip(gain, loss, strict=True)]
    np.testing.assert_allclose(computed(BARS, "rsi")["rsi"][14:], expected, rtol=1e-9)


def test_atr_its_slope_and_tail_bias_against_a_loop() -> None:
    """F6: ATR is Wilder's; the slope is relative and per bar; the tail bias is in units of ATR."""
    high, low, close, _ = arrays(BARS)
    atr = np.concatenate((np.full(14, np.nan), wilder(true_ranges(high, low, close), 14)))
    np.testing.assert_allclose(computed(BARS, "atr")["atr"], atr, rtol=1e-9)
    slope, bias = computed(BARS, "atr_slope")["atr_slope"], computed(BARS, "tail_bias")["tail_bias"]
    for t in range(19, 400):
        assert slope[t] == pytest.approx((atr[t] - atr[t - 5]) / (5 * atr[t - 5]), rel=1e-7, abs=1e-12)
        assert bias[t] == pytest.approx(((high[t] - close[t]) - (close[t] - low[t])) / atr[t], rel=1e-7, abs=1e-12)


def test_volatilities_against_loops() -> None:
    """Standard deviation of returns (ddof 1), Parkinson's range and the RiskMetrics mean, all per bar."""
    high, low, close, _ = arrays(BARS)
    r = np.concatenate(([np.nan], np.log(close[1:] / close[:-1])))
    rolling = computed(BARS, "rolling_volatility")["rolling_volatility"]
    parkinson = computed(BARS, "parkinson_volatility")["parkinson_volatility"]
    ewma = computed(BARS, "ewma_volatility")["ewma_volatility"]
    variance = r[1] ** 2
    for t in range(1, 400):
        if t > 1:
            variance = 0.94 * variance + 0.06 * r[t] ** 2
        assert ewma[t] == pytest.approx(math.sqrt(variance), rel=1e-9)
        if t >= 20:
            assert rolling[t] == pytest.approx(np.std(r[t - 19 : t + 1], ddof=1), rel=1e-8)
            ranges = np.log(high[t - 19 : t + 1] / low[t - 19 : t + 1])
            assert parkinson[t] == pytest.approx(math.sqrt(np.mean(ranges**2) / (4 * math.log(2))), rel=1e-9)


@pytest.mark.parametrize("period", [3, 20])
def test_skewness_against_scipy(period: int) -> None:
    """F6: population skewness of log returns, and of volume, over W bars."""
    r = np.diff(np.log(BARS["close"].to_numpy()), prepend=np.nan)
    volume = BARS["volume"].to_numpy()
    (of_returns,) = computed(BARS, "return_skewness", period=period).values()
    (of_volume,) = computed(BARS, "vol_skewness", period=period).values()
    for t in range(period, 400):
        window = slice(t - period + 1, t + 1)
        assert of_returns[t] == pytest.approx(scipy.stats.skew(r[window], bias=True), rel=1e-6, abs=1e-8)
        assert of_volume[t] == pytest.approx(scipy.stats.skew(volume[window], bias=True), rel=1e-6, abs=1e-8)


def test_log_return_and_amplitude_against_a_loop() -> None:
    """F6: (high - low) / close."""
    high, low, close, _ = arrays(BARS)
    returns = [math.nan, *(math.log(close[t] / close[t - 1]) for t in range(1, 400))]
    np.testing.assert_allclose(computed(BARS, "log_return")["log_return"], returns, rtol=1e-9, atol=1e-15)
    expected = [(high[t] - low[t]) / close[t] for t in range(400)]
    np.testing.assert_array_equal(computed(BARS, "amplitude_range")["amplitude_range"], expected)


def test_clocks_are_points_on_a_circle() -> None:
    """Hour 6 is a quarter of the day; Monday (1970-01-05) is angle 0, Thursday 3/7 of the circle."""
    stamps = pl.Series([0, 6, 4 * 24, 4 * 24 + 23, -3 * 24], dtype=pl.Int64) * 3_600_000
    bars = flat_bars(5).with_columns(timestamp=stamps)
    day, week = computed(bars, "day_clock"), computed(bars, "week_clock")
    np.testing.assert_allclose(day["hour_sin"][:3], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(day["hour_cos"][3], math.cos(2 * math.pi * 23 / 24))
    weekdays = [3, 3, 0, 0, 0]
    np.testing.assert_allclose(week["weekday_sin"], np.sin(2 * np.pi * np.array(weekdays) / 7), atol=1e-12)
    np.testing.assert_allclose(week["weekday_cos"], np.cos(2 * np.pi * np.array(weekdays) / 7), atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_free_columns_do_not_see_the_price_level(name: str) -> None:
    """T5: f(c price, volume / c) = f(price, volume) for every column of scale free."""
    c = 3.7
    scaled = BARS.with_columns(pl.col("open", "high", "low", "close") * c, pl.col("volume", "taker_buy_volume") / c)
    found, moved = computed(BARS, name), computed(scaled, name)
    for feature in indicator(name).features:
        factor = {"free": 1.0, "price": c, "volume": 1 / c}[feature.scale]
        if feature.column == "amihud":  # per traded value: a split leaves it alone, another market does not
            factor = 1.0
        np.testing.assert_allclose(moved[feature.column], factor * found[feature.column], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_later_bars_change_no_bit(name: str) -> None:
    """A1: the value of a bar is a function of the bars up to it."""
    other = then(BARS.head(250), random_bars(150, seed=9))
    found, moved = computed(BARS, name), computed(other, name)
    for column in found:
        np.testing.assert_array_equal(found[column][:250], moved[column][:250])
