"""Donchian, Keltner, Ichimoku: TA-Lib, pandas-ta-classic, loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, first_value, random_bars
from second_opinion import Array, after_standstill, agree, ema, in_flat_markets, rolled, series, true_range, wilder

CASES = [
    ("donchian", {}),
    ("donchian", {"period": 6}),
    ("keltner", {}),
    ("keltner", {"period": 9, "atr": 15, "k": 1.5}),
    ("ichimoku", {}),
    ("ichimoku", {"tenkan": 7, "kijun": 22, "senkou": 44, "displacement": 22}),
    ("ichimoku", {"tenkan": 30, "kijun": 10, "senkou": 20, "displacement": 5}),
]


def channel(name: str, upper: Array, middle: Array, lower: Array, close: Array) -> dict[str, Array]:
    """The lines, the place of the close between them, and the width."""
    return {
        f"{name}_upper": upper,
        f"{name}_middle": middle,
        f"{name}_lower": lower,
        f"{name}_position": (close - lower) / (upper - lower),
        f"{name}_width": (upper - lower) / close,
    }


def cloud(tenkan: Array, kijun: Array, wide: Array, b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Bar by bar from the three lines as they are made."""
    names = ("senkou_a", "senkou_b", "cross", "kijun_distance", "cloud_distance", "cloud_width")
    made = {name: np.full(b.close.size, np.nan) for name in names}
    for t, close in enumerate(b.close):
        made["cross"][t] = (tenkan[t] - kijun[t]) / close
        made["kijun_distance"][t] = (close - kijun[t]) / close
        if (then := t - p.displacement) < 0:
            continue
        a, other = (tenkan[then] + kijun[then]) / 2, wide[then]
        made["senkou_a"][t], made["senkou_b"][t], made["cloud_width"][t] = a, other, (a - other) / close
        if not np.isnan(a + other):
            above, below = close - max(a, other), close - min(a, other)
            made["cloud_distance"][t] = (above if above > 0 else min(below, 0)) / close
    return {"ichimoku_tenkan": tenkan, "ichimoku_kijun": kijun} | {f"ichimoku_{k}": v for k, v in made.items()}


TALIB = {
    "donchian": lambda b, p: channel("donchian", *talib.DONCHIAN(b.high, b.low, p.period), b.close),
    "keltner": lambda b, p: channel("keltner", *talib.KC(b.high, b.low, b.close, p.period, p.atr, p.k), b.close),
    "ichimoku": lambda b, p: cloud(*(talib.MIDPRICE(b.high, b.low, n) for n in (p.tenkan, p.kijun, p.senkou)), b, p),
}


def donchian_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Extremes of each window."""
    upper, lower = rolled(b.high, p.period, max), rolled(b.low, p.period, min)
    return channel("donchian", upper, (upper + lower) / 2, lower, b.close)


def keltner_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """EMA of the typical price and Wilder's ATR, which begin on one bar with the mean of their last values."""
    start = max(p.period - 1, p.atr)
    middle = ema((b.high + b.low + b.close) / 3, p.period, first=start - p.period + 1)
    half = p.k * wilder(true_range(b), p.atr, first=start - p.atr + 1)
    return channel("keltner", middle + half, middle, middle - half, b.close)


def ichimoku_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Middles of each window's range."""
    lines = ((rolled(b.high, n, max) + rolled(b.low, n, min)) / 2 for n in (p.tenkan, p.kijun, p.senkou))
    return cloud(*lines, b, p)


SECOND = {"donchian": donchian_loop, "keltner": keltner_loop, "ichimoku": ichimoku_loop}


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_talib(market: pl.DataFrame, name: str, params: dict) -> None:
    """F3: with TA-Lib's first bars; it has the middles of the Ichimoku lines."""
    agree(market, name, params, TALIB[name])


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_loops(market: pl.DataFrame, name: str, params: dict) -> None:
    """Windows and recursions, one bar after the other."""
    agree(market, name, params, SECOND[name])


def test_ichimoku_equals_pandas_ta(market: pl.DataFrame) -> None:
    """Which draws the cloud `kijun` bars ahead."""

    def reference(b: SimpleNamespace, p: Any) -> dict[str, Array]:
        s = series(b)
        made = ta.ichimoku(s.high, s.low, s.close, include_chikou=False, as_dataframe=True).to_numpy().T
        return dict(zip([f"ichimoku_{x}" for x in ("senkou_a", "senkou_b", "tenkan", "kijun")], made, strict=True))

    agree(market, "ichimoku", {}, reference)


def test_the_cloud_at_a_bar_was_known_26_bars_before() -> None:
    """F: nothing that happened since moves it, and what happened just before does."""
    bars = random_bars(200)

    def moved_from(bar: int) -> Array:
        factor = pl.when(pl.int_range(pl.len()) >= bar).then(2.0).otherwise(1.0)
        return computed(bars.with_columns(pl.col("high", "close") * factor), "ichimoku")["ichimoku_senkou_b"]

    before = computed(bars, "ichimoku")["ichimoku_senkou_b"]
    np.testing.assert_array_equal(moved_from(151 - 26 + 0)[:151], before[:151])
    assert moved_from(150 - 26)[150] != before[150]


def test_each_line_begins_on_its_own_bar() -> None:
    """F3: a line waits for its own window only."""
    found = computed(random_bars(200), "ichimoku")
    starts = {column.removeprefix("ichimoku_"): first_value(values) for column, values in found.items()}
    assert starts == {
        "tenkan": 8, "kijun": 25, "senkou_a": 51, "senkou_b": 77,
        "cross": 25, "kijun_distance": 25, "cloud_distance": 77, "cloud_width": 77,
    }  # fmt: skip


def test_one_price() -> None:
    """Flat: the lines are the price; there is no place between two lines that are one."""
    for name in ("donchian", "keltner"):
        lines = {f"{name}_{line}": "price" for line in ("upper", "middle", "lower")}
        in_flat_markets(name, lines | {f"{name}_position": np.nan, f"{name}_width": 0.0})
    lines = {f"ichimoku_{line}": "price" for line in ("tenkan", "kijun", "senkou_a", "senkou_b")}
    ratios = ("cross", "kijun_distance", "cloud_distance", "cloud_width")
    in_flat_markets("ichimoku", lines | {f"ichimoku_{name}": 0.0 for name in ratios})


@pytest.mark.parametrize("name", ["donchian", "keltner"])
def test_a_market_that_stopped_has_no_place_in_its_channel(name: str) -> None:
    """A width that has decayed to rounding is none."""
    assert np.isnan(after_standstill(name)[f"{name}_position"]).all()
