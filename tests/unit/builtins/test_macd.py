"""MACD, PPO, TRIX: TA-Lib, pandas-ta-classic, loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import random_bars
from second_opinion import Array, after_standstill, agree, ema, in_flat_markets, outputs, series

SETS = [{}, {"fast": 8, "slow": 21, "signal": 5}]


def ppo_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """PPO with EMAs, and an EMA of it."""
    line = talib.PPO(b.close, p.fast, p.slow, talib.MA_Type.EMA)
    signal = talib.EMA(line, p.signal)
    return {"ppo": line, "ppo_signal": signal, "ppo_hist": line - signal}


def trix_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """TRIX, and an EMA of it."""
    line = talib.TRIX(b.close, p.period)
    return {"trix": line, "trix_signal": talib.EMA(line, p.signal)}


TALIB = {
    "macd": lambda b, p: dict(
        zip(("macd", "macd_signal", "macd_hist"), talib.MACD(b.close, p.fast, p.slow, p.signal), strict=True)
    ),
    "ppo": ppo_by_talib,
    "trix": trix_by_talib,
}


def macd_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Both EMAs begin on one bar with the mean of their last closes; all lines are blank until the signal."""
    fast, slow = ema(b.close, p.fast, first=p.slow - p.fast), ema(b.close, p.slow)
    line = fast - slow
    signal = ema(line, p.signal, first=p.slow - 1)
    line = np.where(np.isnan(signal), np.nan, line)
    return {"macd": line, "macd_signal": signal, "macd_hist": line - signal}


def ppo_by_pandas(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """pandas-ta-classic without TA-Lib; its columns are line, histogram, signal."""
    made = ta.ppo(series(b).close, p.fast, p.slow, p.signal, mamode="ema", talib=False).to_numpy().T
    return dict(zip(("ppo", "ppo_hist", "ppo_signal"), made, strict=True))


def trix_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Three EMAs, each of which begins when the one before has n values."""
    line = b.close
    for stage in range(3):
        line = ema(line, p.period, first=stage * (p.period - 1))
    change = np.concatenate(([np.nan], 100 * (line[1:] / line[:-1] - 1)))
    return {"trix": change, "trix_signal": ema(change, p.signal, first=3 * p.period - 2)}


@pytest.mark.parametrize(
    ("name", "params"),
    [
        *(("macd", params) for params in SETS),
        *(("ppo", params) for params in SETS),
        ("trix", {}),
        ("trix", {"period": 6}),
    ],
)
def test_equals_talib(market: pl.DataFrame, name: str, params: dict) -> None:
    """F3: with TA-Lib's first bars."""
    agree(market, name, params, TALIB[name])


@pytest.mark.parametrize("params", SETS)
def test_macd_and_ppo_against_a_second_implementation(market: pl.DataFrame, params: dict) -> None:
    """MACD against the recursion with TA-Lib's seeds, PPO against pandas-ta-classic."""
    agree(market, "macd", params, macd_loop)
    agree(market, "ppo", params, ppo_by_pandas)


@pytest.mark.parametrize("params", [{}, {"period": 6, "signal": 4}])
def test_trix_against_a_loop(market: pl.DataFrame, params: dict) -> None:
    """The recursions, one after the other."""
    agree(market, "trix", params, trix_loop)


def test_ppo_is_macd_in_percent_once_seeds_are_forgotten() -> None:
    """The two differ in the seed of the fast EMA only."""
    bars = random_bars(800)
    slow = talib.EMA(bars["close"].to_numpy(), 26)
    ppo, macd = outputs(bars, "ppo", {})["ppo"], outputs(bars, "macd", {})["macd"]
    np.testing.assert_allclose(ppo[500:], (100 * macd / slow)[500:], rtol=1e-9, atol=1e-12)
    assert abs(ppo[40] - 100 * macd[40] / slow[40]) > 1e-6


@pytest.mark.parametrize("name", ["macd", "ppo", "trix"])
def test_one_price(name: str) -> None:
    """Flat: 0 always, and towards it once the price has stopped."""
    columns = list(outputs(random_bars(60), name, {}))
    in_flat_markets(name, dict.fromkeys(columns, 0.0))
    price = 41234.56 if name == "macd" else 1.0
    for column, values in after_standstill(name).items():
        assert np.abs(values).max() < 1e-12 * price, column
