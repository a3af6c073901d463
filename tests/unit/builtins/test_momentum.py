"""RSI, StochRSI, TSI, ROC, momentum: TA-Lib, pandas-ta-classic, loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, flat_bars, frame, random_bars, then
from second_opinion import Array, after_standstill, agree, atr, in_flat_markets, rolled, series, wilder

CASES = [
    ("rsi", {}),
    ("rsi", {"period": 5}),
    ("stochrsi", {}),
    ("stochrsi", {"period": 9, "stochastic": 20, "d": 5}),
    ("tsi", {}),
    ("tsi", {"slow": 12, "fast": 7, "signal": 4}),
    ("roc", {}),
    ("roc", {"period": 1}),
    ("momentum", {}),
    ("momentum", {"period": 25, "atr": 7}),
]


def tsi_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """TSI, and an EMA of it."""
    line = talib.TSI(b.close, p.slow, p.fast)
    return {"tsi": line, "tsi_signal": talib.EMA(line, p.signal)}


def momentum_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """In ATR: the quotient of two functions."""
    move = talib.MOM(b.close, p.period)
    return {"momentum": move, "momentum_atr": move / talib.ATR(b.high, b.low, b.close, p.atr)}


TALIB = {
    "rsi": lambda b, p: {"rsi": talib.RSI(b.close, p.period)},
    "stochrsi": lambda b, p: dict(
        zip(
            ("stochrsi_k", "stochrsi_d"),
            talib.STOCHRSI(b.close, p.period, p.stochastic, p.d, talib.MA_Type.SMA),
            strict=True,
        )
    ),
    "tsi": tsi_by_talib,
    "roc": lambda b, p: {"roc": talib.ROC(b.close, p.period)},
    "momentum": momentum_by_talib,
}


def stochrsi_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Wilder's means of gains and losses; both lines begin with D."""
    change = np.diff(b.close, prepend=np.nan)
    gain, loss = (wilder(list(np.maximum(side, 0)), p.period, first=1) for side in (change, -change))
    rsi = 100 * gain / (gain + loss)
    raw = rolled(rsi, p.stochastic, lambda w: 100 * (w[-1] - w.min()) / (w.max() - w.min()))
    d = rolled(raw, p.d, np.mean)
    return {"stochrsi_k": np.where(np.isnan(d), np.nan, raw), "stochrsi_d": d}


def pandas_tsi(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """pandas-ta-classic, which has no TA-Lib here."""
    made = ta.tsi(series(b).close, p.fast, p.slow, p.signal).to_numpy().T
    return dict(zip(("tsi", "tsi_signal"), made, strict=True))


def momentum_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Differences, and Wilder's ATR."""
    move = np.array([np.nan] * p.period + [b.close[t] - b.close[t - p.period] for t in range(p.period, b.close.size)])
    return {"momentum": move, "momentum_atr": move / atr(b, p.atr)}


SECOND = {
    "rsi": lambda b, p: {"rsi": ta.rsi(series(b).close, p.period, talib=False)},
    "stochrsi": stochrsi_loop,
    "tsi": pandas_tsi,
    "roc": lambda b, p: {"roc": ta.roc(series(b).close, p.period, talib=False)},
    "momentum": momentum_loop,
}


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_talib(market: pl.DataFrame, name: str, params: dict) -> None:
    """F3: with TA-Lib's first bars."""
    agree(market, name, params, TALIB[name])


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_a_second_implementation(market: pl.DataFrame, name: str, params: dict) -> None:
    """pandas-ta-classic without TA-Lib, or a loop."""
    agree(market, name, params, SECOND[name])


def test_one_price() -> None:
    """Flat: TA-Lib's 0, and no move in units of an ATR of 0."""
    in_flat_markets("rsi", {"rsi": 0.0})
    in_flat_markets("stochrsi", {"stochrsi_k": 0.0, "stochrsi_d": 0.0})
    in_flat_markets("tsi", {"tsi": 0.0, "tsi_signal": 0.0})
    in_flat_markets("roc", {"roc": 0.0})
    in_flat_markets("momentum", {"momentum": 0.0, "momentum_atr": np.nan})


def test_a_market_that_stopped() -> None:
    """A stochastic of an RSI that stands still is 0; ratios of two means that decay alike stay where they are."""
    assert np.abs(after_standstill("stochrsi")["stochrsi_k"]).max() == 0
    assert np.abs(after_standstill("stochrsi")["stochrsi_d"]).max() < 1e-12
    assert np.isnan(after_standstill("momentum")["momentum_atr"]).all()
    lively = random_bars(150)
    stopped = then(lively, flat_bars(700, lively["close"][-1]))
    for name in ("rsi", "tsi"):
        values = computed(stopped, name)[name]
        np.testing.assert_allclose(values[-100:], values[-1], rtol=1e-9)


def test_extremes() -> None:
    """A price that only rises: RSI and TSI 100, only falls: 0 and -100."""
    rise = np.linspace(50, 150, 200)
    up, down = (frame(c, c + 1, c - 1, c, np.ones(200)) for c in (rise, rise[::-1].copy()))
    assert computed(up, "rsi")["rsi"][20:] == pytest.approx(100)
    assert computed(down, "rsi")["rsi"][20:] == pytest.approx(0)
    assert computed(up, "tsi")["tsi"][40:] == pytest.approx(100)
    assert computed(down, "tsi")["tsi"][40:] == pytest.approx(-100)
    assert computed(up, "roc", period=1)["roc_1"][1] == pytest.approx(100 * (rise[1] / rise[0] - 1))
