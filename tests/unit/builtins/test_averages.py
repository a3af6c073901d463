"""Moving averages and their distances: TA-Lib, pandas-ta-classic, loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, random_bars
from second_opinion import Array, after_standstill, agree, atr, ema, in_flat_markets, rolled, series

AVERAGES = ["sma", "ema", "wma", "dema", "tema", "kama"]
CROSSES = [{}, {"fast": 7, "slow": 30, "kind": "ema", "atr": 20}, {"fast": 40, "slow": 9}]


def with_distance(name: str, line: Array, close: Array) -> dict[str, Array]:
    """The line and the share of the close by which it is passed."""
    return {name: line, f"{name}_distance": (close - line) / close}


def by_talib(name: str) -> Any:
    """The C function of that name."""
    return lambda b, p: with_distance(name, getattr(talib, name.upper())(b.close, p.period), b.close)


def by_pandas(name: str) -> Any:
    """pandas-ta-classic without TA-Lib."""
    return lambda b, p: with_distance(
        name, getattr(ta, name)(series(b).close, length=p.period, talib=False).to_numpy(), b.close
    )


def cross(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Loops over the window or the recursion."""
    fast, slow = (ema(b.close, n) if p.kind == "ema" else rolled(b.close, n, np.mean) for n in (p.fast, p.slow))
    return {"ma_cross": fast / slow - 1, "ma_cross_atr": (fast - slow) / atr(b, p.atr)}


def cross_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Composed of three C functions."""
    kind = talib.MA_Type.EMA if p.kind == "ema" else talib.MA_Type.SMA
    fast, slow = (talib.MA(b.close, n, kind) for n in (p.fast, p.slow))
    return {"ma_cross": (fast - slow) / slow, "ma_cross_atr": (fast - slow) / talib.ATR(b.high, b.low, b.close, p.atr)}


TALIB = {name: by_talib(name) for name in AVERAGES} | {"ma_cross": cross_by_talib}


@pytest.mark.parametrize("params", [{}, {"period": 7}, {"period": 55}])
@pytest.mark.parametrize("name", AVERAGES)
def test_averages_equal_talib(market: pl.DataFrame, name: str, params: dict) -> None:
    """F3: with TA-Lib's first bar."""
    agree(market, name, params, TALIB[name])


@pytest.mark.parametrize("params", [{}, {"period": 7}])
@pytest.mark.parametrize("name", AVERAGES)
def test_averages_equal_pandas_ta(market: pl.DataFrame, name: str, params: dict) -> None:
    """A second implementation, which begins KAMA one bar earlier."""
    since = params.get("period", 10) if name == "kama" else -1
    agree(market, name, params, by_pandas(name), since)


@pytest.mark.parametrize("params", CROSSES)
def test_cross_against_loops_and_talib(market: pl.DataFrame, params: dict) -> None:
    """Means of windows, or the recursion, and Wilder's ATR."""
    agree(market, "ma_cross", params, cross)
    agree(market, "ma_cross", params, cross_by_talib)


def test_the_cross_changes_its_sign_with_the_averages() -> None:
    """Fast above slow is positive, and the other order of lengths turns the sign."""
    rising = random_bars(300).with_columns(close=pl.Series(np.linspace(50, 150, 300)))
    assert (computed(rising, "ma_cross")["ma_cross"][60:] > 0).all()
    assert (computed(rising, "ma_cross", fast=50, slow=10)["ma_cross_50_10_sma_14"][60:] < 0).all()


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_of_one_price_are_that_price(name: str) -> None:
    """Flat: distance 0."""
    in_flat_markets(name, {name: "price", f"{name}_distance": 0.0})


def test_cross_of_one_price() -> None:
    """Flat: no distance, and none in units of an ATR of 0."""
    in_flat_markets("ma_cross", {"ma_cross": 0.0, "ma_cross_atr": np.nan})


def test_cross_in_a_market_that_stopped() -> None:
    """An ATR that has decayed to rounding divides nothing."""
    found = after_standstill("ma_cross")
    assert np.isnan(found["ma_cross_atr"]).all()
    assert np.abs(found["ma_cross"]).max() < 1e-14
