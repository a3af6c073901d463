"""Differences and changes of exponential means: MACD, PPO, TRIX. TA-Lib's C functions, every parameter explicit.

Sources: Appel, The Moving Average Convergence-Divergence Method (1979) for MACD and PPO; Hutson, Good TRIX (Stocks &
Commodities, 1983).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.windows import Window, ema_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class MacdParams(Params):
    """Fast, slow and signal EMA lengths."""

    fast: Window = 12
    slow: Window = 26
    signal: Window = 9


class TrixParams(Params):
    """Length of the three EMAs, and of the signal's."""

    period: Window = 15
    signal: Window = 9


def macd(columns: Mapping[str, Array], params: MacdParams) -> dict[str, Array]:
    """EMA(fast) - EMA(slow), its EMA(signal), and their difference."""
    import talib

    line, signal, hist = talib.MACD(
        columns["close"], fastperiod=params.fast, slowperiod=params.slow, signalperiod=params.signal
    )
    return {"macd": line, "macd_signal": signal, "macd_hist": hist}


def ppo(columns: Mapping[str, Array], params: MacdParams) -> dict[str, Array]:
    """100 (EMA(fast) - EMA(slow)) / EMA(slow), its EMA(signal), and their difference."""
    import talib

    line = talib.PPO(columns["close"], fastperiod=params.fast, slowperiod=params.slow, matype=talib.MA_Type.EMA)
    signal = talib.EMA(line, timeperiod=params.signal)
    return {"ppo": line, "ppo_signal": signal, "ppo_hist": line - signal}


def trix(columns: Mapping[str, Array], params: TrixParams) -> dict[str, Array]:
    """Percent change over one bar of EMA(EMA(EMA(close))), and its EMA(signal)."""
    import talib

    line = talib.TRIX(columns["close"], timeperiod=params.period)
    return {"trix": line, "trix_signal": talib.EMA(line, timeperiod=params.signal)}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """MACD, PPO, TRIX."""
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
        name="ppo",
        summary="MACD in percent of EMA(slow), with its signal line and histogram; the shorter length is the fast one",
        inputs=lambda p: ("close",),
        outputs=(
            Output("ppo", first_valid=lambda p: max(p.fast, p.slow) - 1),
            Output("ppo_signal"),
            Output("ppo_hist"),
        ),
        params=MacdParams,
        kernel=ppo,
        first_valid=lambda p: max(p.fast, p.slow) + p.signal - 2,
        settle=lambda p: ema_settle(max(p.fast, p.slow)) + ema_settle(p.signal),
        tolerance=1e-9,
    )
    yield Indicator(
        name="trix",
        summary="percent change of the triple exponential mean of the close over one bar, and its signal line",
        inputs=lambda p: ("close",),
        outputs=(
            Output("trix", first_valid=lambda p: 3 * p.period - 2, settle=lambda p: 3 * ema_settle(p.period)),
            Output("trix_signal"),
        ),
        params=TrixParams,
        kernel=trix,
        first_valid=lambda p: 3 * p.period + p.signal - 3,
        settle=lambda p: 3 * ema_settle(p.period) + ema_settle(p.signal),
        tolerance=1e-9,
    )
