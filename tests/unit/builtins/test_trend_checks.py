"""What every indicator of trend and momentum keeps: the checks of `tftctl.testing`, short segments, thin markets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builtin_bars import PRICES, UNBROKEN, family_names, findings, frame, indicator, random_bars, real_hours
from second_opinion import apart, outputs

NAMES = family_names(
    "indicator", "averages", "macd", "directional", "channels", "ichimoku", "stops", "regression", "heikin_ashi",
    "momentum", "oscillators", "money_flow",
)  # fmt: skip
OTHER = {
    "sma": {"period": 3},
    "ema": {"period": 50},
    "wma": {"period": 9},
    "dema": {"period": 12},
    "tema": {"period": 9},
    "kama": {"period": 21},
    "ma_cross": {"fast": 21, "slow": 8, "kind": "ema", "atr": 5},
    "macd": {"fast": 30, "slow": 10, "signal": 4},
    "ppo": {"fast": 30, "slow": 10, "signal": 4},
    "trix": {"period": 6, "signal": 3},
    "adx": {"period": 5},
    "aroon": {"period": 31},
    "vortex": {"period": 3},
    "donchian": {"period": 55},
    "keltner": {"period": 8, "atr": 21, "k": 1.25},
    "ichimoku": {"tenkan": 20, "kijun": 10, "senkou": 15, "displacement": 3},
    "psar": {"acceleration": 0.01, "maximum": 0.15},
    "supertrend": {"period": 7, "k": 2.0},
    "linreg": {"period": 37},
    "heikin_ashi": {"longest": 3},
    "rsi": {"period": 2},
    "stochrsi": {"period": 21, "stochastic": 7, "d": 1},
    "tsi": {"slow": 9, "fast": 20, "signal": 5},
    "roc": {"period": 3},
    "momentum": {"period": 40, "atr": 7},
    "kdj": {"period": 5, "k": 4, "d": 2},
    "stochastic": {"period": 21, "k": 5, "d": 1},
    "cci": {"period": 7},
    "williams_r": {"period": 2},
    "ultimate_oscillator": {"short": 20, "medium": 3, "long": 9},
    "awesome_oscillator": {"fast": 12, "slow": 4, "atr": 30},
    "mfi": {"period": 30},
}


def test_the_list_is_complete() -> None:
    """No indicator of these families is left out of this file."""
    assert sorted(NAMES) == sorted(OTHER)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", [False, True], ids=["defaults", "others"])
def test_passes_the_checks_of_plugins(name: str, other: bool) -> None:
    """Causality, first valid bar, settle, flat prices, scale and the rest."""
    assert findings(name, **(OTHER[name] if other else {})) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_symbol_with_one_bar(name: str) -> None:
    """Null, but for what needs no other bar."""
    for column, values in outputs(random_bars(1), name, {}).items():
        assert np.isnan(values).all() != column.startswith("heikin_ashi"), column


def thin_market(size: int, seed: int) -> pl.DataFrame:
    """Prices of few ticks that often stand still, without volume when they do."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-3, 4, size) * (rng.random(size) > 0.6)
    close = 50 + 0.01 * np.cumsum(steps)
    opens = np.concatenate(([50.0], close[:-1]))
    high, low = np.maximum(opens, close), np.minimum(opens, close)
    return frame(opens, high, low, close, np.where(steps != 0, np.exp(rng.standard_normal(size)), 0.0))


@pytest.mark.parametrize("name", NAMES)
def test_a_thin_market_forgets_its_start_in_time(name: str) -> None:
    """F3, F8: standstills within windows do not keep the rounding of what was before; null in the same places."""
    features = [feature for feature in indicator(name).features if feature.settle >= 0]
    bars = thin_market(300 + max((feature.settle for feature in features), default=0) + 300, seed=6)
    whole = outputs(bars, name, {})
    for start in (1, 300):
        late = outputs(bars.slice(start), name, {})
        for feature in features:
            before = whole[feature.output][start + feature.settle :]
            after = late[feature.output][feature.settle :]
            np.testing.assert_array_equal(np.isnan(before), np.isnan(after), err_msg=feature.output)
            assert np.nanmax(apart(after, before)) <= 1e-8, feature.output


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_real_hours_forget_their_start_in_time(shared_data: Path, name: str) -> None:
    """F3: to 1e-9 on BTCUSDT, whose starts are less even than those of a random walk."""
    bars = real_hours(shared_data, "BTCUSDT", UNBROKEN, 9000)
    whole = outputs(bars, name, {})
    for start in (1, 37, 1000, 2345):
        late = outputs(bars.slice(start), name, {})
        for feature in indicator(name).features:
            if feature.settle >= 0:
                settled = late[feature.output][feature.settle :]
                assert settled.size > 500
                assert np.nanmax(apart(settled, whole[feature.output][start + feature.settle :])) <= 1e-9, feature


@pytest.mark.parametrize("name", [name for name in NAMES if indicator(name).record.tolerance == 0])
def test_without_a_tolerance_equal_bit_for_bit(name: str) -> None:
    """F8: extremes and differences of single bars, from any start; the two stops only from the same one."""
    bars = random_bars(900, seed=9)
    whole, late = outputs(bars, name, {}), outputs(bars.slice(333), name, {})
    for feature in indicator(name).features:
        if feature.settle >= 0:
            settled = late[feature.output][feature.settle :]
            np.testing.assert_array_equal(settled, whole[feature.output][333 + feature.settle :])


@pytest.mark.parametrize("name", NAMES)
def test_scale_free_over_twenty_orders_of_magnitude(name: str) -> None:
    """T5: TA-Lib has no threshold of its own that a price in satoshis would fall under."""
    bars = random_bars(400)
    free = [feature.output for feature in indicator(name).features if feature.scale == "free"]
    usual = outputs(bars, name, {})
    for factor in (1e-12, 1e8):
        scaled = bars.with_columns(pl.col(*PRICES) * factor, pl.col("volume") / factor)
        found = outputs(scaled, name, {})
        for column in free:
            np.testing.assert_array_equal(np.isnan(found[column]), np.isnan(usual[column]), err_msg=column)
            assert np.nanmax(apart(found[column], usual[column])) <= 1e-9, column
