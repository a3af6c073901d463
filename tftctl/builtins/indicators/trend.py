"""Trend: moving averages, MACD, directional movement. TA-Lib's C functions, every parameter explicit.

Sources: Wilder, New Concepts in Technical Trading Systems (1978) for ADX and DI; Appel (1979) for MACD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.windows import Window, ema_settle, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class SmaParams(Params):
    """Bars in the mean."""

    period: Window = 20


class EmaParams(Params):
    """alpha = 2 / (period + 1)."""

    period: Window = 20


class MacdParams(Params):
    """Fast, slow and signal EMA lengths."""

    fast: Window = 12
    slow: Window = 26
    signal: Window = 9


class AdxParams(Params):
    """Wilder length."""

    period: Window = 14


def sma(columns: Mapping[str, Array], params: SmaParams) -> dict[str, Array]:
    """Mean of the last n closes."""
    import talib

    return {"sma": talib.SMA(columns["close"], timeperiod=params.period)}


def ema(columns: Mapping[str, Array], params: EmaParams) -> dict[str, Array]:
    """EMA of the close, seeded with the mean of the first n closes."""
    import talib

    return {"ema": talib.EMA(columns["close"], timeperiod=params.period)}


def macd(columns: Mapping[str, Array], params: MacdParams) -> dict[str, Array]:
    """EMA(fast) - EMA(slow), its EMA(signal), and their difference."""
    import talib

    line, signal, hist = talib.MACD(
        columns["close"], fastperiod=params.fast, slowperiod=params.slow, signalperiod=params.signal
    )
    return {"macd": line, "macd_signal": signal, "macd_hist": hist}


def adx(columns: Mapping[str, Array], params: AdxParams) -> dict[str, Array]:
    """Average directional movement index and the directional indicators, 0..100."""
    import talib

    bars = (columns["high"], columns["low"], columns["close"])
    return {
        "adx": talib.ADX(*bars, timeperiod=params.period),
        "plus_di": talib.PLUS_DI(*bars, timeperiod=params.period),
        "minus_di": talib.MINUS_DI(*bars, timeperiod=params.period),
    }


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Moving averages, MACD, ADX."""
    yield Indicator(
        name="sma",
        summary="mean of the last n closes",
        inputs=lambda p: ("close",),
        outputs=(Output("sma", "price"),),
        params=SmaParams,
        kernel=sma,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
    yield Indicator(
        name="ema",
        summary="exponential mean of the close, alpha = 2/(n+1), seeded with the mean of the first n",
        inputs=lambda p: ("close",),
        outputs=(Output("ema", "price"),),
        params=EmaParams,
        kernel=ema,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: ema_settle(p.period),
        tolerance=1e-9,
    )
    yield Indicator(
        name="macd",
        summary="EMA(fast) - EMA(slow) of the close, its signal line EMA(signal), and the histogram",
        inputs=lambda p: ("close",),
        outputs=(Output("macd", "price"), Output("macd_signal", "price"), Output("macd_hist", "price")),
        params=MacdParams,
        kernel=macd,
        first_valid=lambda p: max(p.fast, p.slow) + p.signal - 2,
        settle=lambda p: ema_settle(max(p.fast, p.slow)) + ema_settle(p.signal),
        tolerance=1e-9,
    )
    yield Indicator(
        name="adx",
        summary="Wilder's average directional index with +DI and -DI, 0..100; 0 where the price never moves",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(
            Output("adx", first_valid=lambda p: 2 * p.period - 1, settle=lambda p: 2 * wilder_settle(p.period)),
            Output("plus_di"),
            Output("minus_di"),
        ),
        params=AdxParams,
        kernel=adx,
        first_valid=lambda p: p.period,
        settle=lambda p: wilder_settle(p.period),
        tolerance=1e-9,
    )
