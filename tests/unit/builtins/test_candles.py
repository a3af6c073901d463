"""Candle shapes against a loop, candle patterns against TA-Lib called directly and bar by bar."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib
from builtin_bars import PRICES, computed, findings, flat_bars, frame, indicator, random_bars, real_hours
from talib import abstract

BARS = random_bars(3000, seed=21)
PATTERNS = {
    "candle_doji": ["CDLDOJI"],
    "candle_marubozu": ["CDLMARUBOZU"],
    "candle_hammer": ["CDLHAMMER"],
    "candle_hanging_man": ["CDLHANGINGMAN"],
    "candle_inverted_hammer": ["CDLINVERTEDHAMMER"],
    "candle_shooting_star": ["CDLSHOOTINGSTAR"],
    "candle_engulfing": ["CDLENGULFING"],
    "candle_harami": ["CDLHARAMI"],
    "candle_piercing": ["CDLPIERCING", "CDLDARKCLOUDCOVER"],
    "candle_star": ["CDLMORNINGSTAR", "CDLEVENINGSTAR"],
    "candle_soldiers": ["CDL3WHITESOLDIERS", "CDL3BLACKCROWS"],
}


def prices(bars: pl.DataFrame) -> list[np.ndarray]:
    """Open, high, low, close."""
    return [bars[name].to_numpy() for name in PRICES]


def whole_ticks(size: int, seed: int = 2, start: int = 1000) -> pl.DataFrame:
    """Prices of a coarse market in whole numbers: any sum of them is exact, bodies and averages are often equal."""
    rng = np.random.default_rng(seed)
    close = start + np.cumsum(rng.integers(-3, 4, size))
    opens = np.concatenate(([start], close[:-1])) + rng.integers(-1, 2, size)
    high, low = np.maximum(opens, close) + rng.integers(0, 3, size), np.minimum(opens, close) - rng.integers(0, 3, size)
    return frame(*(values.astype(float) for values in (opens, high, low, close)), np.ones(size))


def by_talib(bars: pl.DataFrame, column: str) -> np.ndarray:
    """The sum of TA-Lib's answers / 100, null where one of them has none yet."""
    functions = [abstract.Function(name) for name in PATTERNS[column]]
    found = sum(getattr(talib, name)(*prices(bars)) for name in PATTERNS[column]) / 100
    found[: max(function.lookback for function in functions)] = math.nan
    return found


@pytest.mark.parametrize("column", PATTERNS)
@pytest.mark.parametrize("bars", [BARS, whole_ticks(3000), random_bars(9)], ids=["random", "ticks", "short"])
def test_patterns_equal_talib(column: str, bars: pl.DataFrame) -> None:
    """F3: TA-Lib's numbers from its first answer on."""
    np.testing.assert_array_equal(computed(bars, "candle_patterns")[column], by_talib(bars, column))


@pytest.mark.shared
@pytest.mark.parametrize("column", PATTERNS)
def test_patterns_of_real_hours_equal_talib(shared_data: Path, column: str) -> None:
    """One segment of 3,163 hours of BTC."""
    bars = real_hours(shared_data, "BTCUSDT", 4190, 3163)
    assert bars["segment"].n_unique() == 1
    np.testing.assert_array_equal(computed(bars, "candle_patterns")[column], by_talib(bars, column))


def test_every_pattern_is_seen() -> None:
    """The comparison with TA-Lib is not one of zeros: all patterns occur, both ways where they have two."""
    bars = whole_ticks(60_000, start=100_000)
    made = computed(bars, "candle_patterns")
    assert list(made) == list(PATTERNS)
    seen = {name: set(values[~np.isnan(values)]) - {0.0} for name, values in made.items()}
    one = {"candle_doji": {1.0}, "candle_hammer": {1.0}, "candle_inverted_hammer": {1.0}}
    one |= {"candle_hanging_man": {-1.0}, "candle_shooting_star": {-1.0}}
    for name, values in seen.items():
        if name in ("candle_engulfing", "candle_harami"):
            assert values == {-1.0, -0.8, 0.8, 1.0}, name
        else:
            assert values == one.get(name, {-1.0, 1.0}), name


def test_first_valid_is_talibs_lookback() -> None:
    """F3: the committed numbers are those of the library."""
    for feature in indicator("candle_patterns").features:
        lookback = max(abstract.Function(name).lookback for name in PATTERNS[feature.column])
        assert (feature.first_valid, feature.settle) == (lookback, lookback), feature.column


def listed(bars: pl.DataFrame, tick: float, factor: float) -> pl.DataFrame:
    """The bars in ticks, the first of which trades up by a factor."""
    first = pl.int_range(pl.len()) == 0
    jump = [pl.when(first).then(pl.col(name) * factor).otherwise(name).alias(name) for name in ("high", "close")]
    return bars.with_columns(pl.col(*PRICES) * tick).with_columns(jump)


@pytest.mark.parametrize("tick", [1e-4, 0.01])
@pytest.mark.parametrize("factor", [3, 300])
def test_patterns_forget_the_start(tick: float, factor: float) -> None:
    """F3, F8: to the last bit, where TA-Lib on the prices as they are keeps the rounding of a huge first bar."""
    whole = listed(whole_ticks(4000, start=3000), tick, factor)
    made, raw_differs = computed(whole, "candle_patterns"), 0
    for start in range(1, 3900, 400):
        late = computed(whole.slice(start), "candle_patterns")
        for feature in indicator("candle_patterns").features:
            name, settle = feature.column, feature.settle
            np.testing.assert_array_equal(late[name][settle:], made[name][start + settle :], err_msg=name)
        raw = by_talib(whole, "candle_harami")[start + 11 :] != by_talib(whole.slice(start), "candle_harami")[11:]
        raw_differs += np.count_nonzero(raw)
    assert raw_differs > 20


@pytest.mark.shared
@pytest.mark.parametrize("symbol", ["XRPUSDT", "DOGEUSDT"])
def test_patterns_of_coarse_ticks_equal_talib_but_for_ties(shared_data: Path, symbol: str) -> None:
    """A body that equals the mean of others in ticks is on either side by rounding: fewer than one bar in 1,000."""
    bars = pl.read_parquet(shared_data / "crypto" / "1h" / f"{symbol}.parquet").head(30_000)
    whole = frame(*prices(bars), bars["volume"].to_numpy())
    for column, values in computed(whole, "candle_patterns").items():
        expected = by_talib(whole, column)
        apart = np.flatnonzero(~((values == expected) | np.isnan(expected)))
        assert apart.size < 30, column


def test_penetration_changes_stars_and_clouds_only() -> None:
    """The two parameters reach TA-Lib."""
    bars = whole_ticks(60_000)
    default, strict = computed(bars, "candle_patterns"), computed(bars, "candle_patterns", star=0.9, cloud=0.9)
    expected = (talib.CDLMORNINGSTAR(*prices(bars), 0.9) + talib.CDLEVENINGSTAR(*prices(bars), 0.9))[12:] / 100
    np.testing.assert_array_equal(strict["candle_star_0p9_0p9"][12:], expected)
    expected = (talib.CDLPIERCING(*prices(bars)) + talib.CDLDARKCLOUDCOVER(*prices(bars), 0.9))[11:] / 100
    np.testing.assert_array_equal(strict["candle_piercing_0p9_0p9"][11:], expected)
    moved = [name for name in default if not np.array_equal(default[name], strict[f"{name}_0p9_0p9"], equal_nan=True)]
    assert moved == ["candle_piercing", "candle_star"]


def test_shape_against_a_loop() -> None:
    """Shares of the range; the gap to the close before; the sign of the body."""
    for bars in (BARS.head(500), whole_ticks(500)):
        opens, high, low, close = (values.tolist() for values in prices(bars))
        body, upper, lower, gap, direction = computed(bars, "candle_shape").values()
        for t in range(500):
            width = high[t] - low[t]
            shares = (close[t] - opens[t], high[t] - max(opens[t], close[t]), min(opens[t], close[t]) - low[t])
            expected = [part / width if width else 0.0 for part in shares]
            np.testing.assert_allclose([body[t], upper[t], lower[t]], expected, rtol=1e-9, atol=1e-12)
            assert direction[t] == (close[t] > opens[t]) - (close[t] < opens[t])
            assert abs(body[t]) + upper[t] + lower[t] == pytest.approx(1 if width else 0)
            if t:
                assert gap[t] == pytest.approx(opens[t] / close[t - 1] - 1, rel=1e-9, abs=1e-12)
        assert math.isnan(gap[0]) and not np.isnan(gap[1:]).any()


def test_flat_prices() -> None:
    """A bar without range has no body and no wicks; TA-Lib calls it a doji, and finds no other pattern."""
    made = computed(flat_bars(60), "candle_shape")
    assert all((values[1:] == 0).all() for values in made.values())
    patterns = computed(flat_bars(60), "candle_patterns")
    assert (patterns.pop("candle_doji")[10:] == 1).all()
    assert (np.array([values[13:] for values in patterns.values()]) == 0).all()


def test_one_bar() -> None:
    """It has a shape, no gap and no pattern."""
    made = computed(random_bars(1), "candle_shape")
    assert [name for name, values in made.items() if np.isnan(values[0])] == ["candle_gap"]
    assert all(np.isnan(values).all() for values in computed(random_bars(1), "candle_patterns").values())


def test_other_parameters_pass_the_checks() -> None:
    """The defaults are checked with all built-ins."""
    assert findings("candle_patterns", star=0.1, cloud=0.2) == []
