"""Momentum of the close: RSI, StochRSI, TSI, ROC and plain momentum. TA-Lib's C functions, every parameter explicit.

Sources: Wilder, New Concepts in Technical Trading Systems (1978) for RSI; Chande and Kroll, The New Technical Trader
(1994) for StochRSI; Blau, True Strength Index (Stocks & Commodities, 1991).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.relative import in_ranges
from tftctl.builtins.indicators.windows import Window, ema_settle, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Bars = Annotated[int, Field(ge=1, le=5000)]


class RsiParams(Params):
    """Wilder length."""

    period: Window = 14


class StochRsiParams(Params):
    """Wilder length of the RSI, bars of the stochastic, and bars of the mean that makes D."""

    period: Window = 14
    stochastic: Window = 14
    d: Bars = 3

    @property
    def k_valid(self) -> int:
        """Index of the first bar with K; TA-Lib blanks it until D is there."""
        return self.period + self.stochastic + self.d - 2


class TsiParams(Params):
    """Lengths of the first and second EMA of the price change, and of the signal's."""

    slow: Window = 25
    fast: Window = 13
    signal: Window = 13


class RocParams(Params):
    """Bars back."""

    period: Bars = 10


class MomentumParams(Params):
    """Bars back, and Wilder length of the ATR."""

    period: Bars = 10
    atr: Window = 14


def rsi(columns: Mapping[str, Array], params: RsiParams) -> dict[str, Array]:
    """100 * mean gain / (mean gain + mean loss), Wilder's means; 0 where the price never moved."""
    import talib

    return {"rsi": talib.RSI(columns["close"], timeperiod=params.period)}


def stochrsi(columns: Mapping[str, Array], params: StochRsiParams) -> dict[str, Array]:
    """K = 100 (RSI - lowest RSI)/(highest - lowest RSI) of n bars, 0 for 0/0; D = mean of the last d K."""
    import talib

    k, d = talib.STOCHRSI(
        columns["close"],
        timeperiod=params.period,
        fastk_period=params.stochastic,
        fastd_period=params.d,
        fastd_matype=talib.MA_Type.SMA,
    )
    return {"stochrsi_k": k, "stochrsi_d": d}


def tsi(columns: Mapping[str, Array], params: TsiParams) -> dict[str, Array]:
    """100 EMA(EMA(change)) / EMA(EMA(|change|)) of the close, 0 for 0/0; signal = its EMA."""
    import talib

    line = talib.TSI(columns["close"], firstperiod=params.slow, secondperiod=params.fast)
    return {"tsi": line, "tsi_signal": talib.EMA(line, timeperiod=params.signal)}


def roc(columns: Mapping[str, Array], params: RocParams) -> dict[str, Array]:
    """100 (close[t] / close[t-n] - 1)."""
    import talib

    return {"roc": talib.ROC(columns["close"], timeperiod=params.period)}


def momentum(columns: Mapping[str, Array], params: MomentumParams) -> dict[str, Array]:
    """close[t] - close[t-n], and the same in units of the ATR."""
    import talib

    close = columns["close"]
    move = talib.MOM(close, timeperiod=params.period)
    average_range = talib.ATR(columns["high"], columns["low"], close, timeperiod=params.atr)
    return {"momentum": move, "momentum_atr": in_ranges(move, average_range, close)}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """RSI, StochRSI, TSI, ROC, momentum."""
    yield Indicator(
        name="rsi",
        summary="Wilder's relative strength index, 0..100; 0 where the price never moved",
        inputs=lambda p: ("close",),
        outputs=(Output("rsi"),),
        params=RsiParams,
        kernel=rsi,
        first_valid=lambda p: p.period,
        settle=lambda p: wilder_settle(p.period),
        tolerance=1e-9,
    )
    yield Indicator(
        name="stochrsi",
        summary="stochastic K of the RSI and its mean D, 0..100; 0 where the RSI stands still",
        inputs=lambda p: ("close",),
        outputs=(Output("stochrsi_k"), Output("stochrsi_d")),
        params=StochRsiParams,
        kernel=stochrsi,
        first_valid=lambda p: p.k_valid,
        settle=lambda p: p.k_valid + 2 * wilder_settle(p.period),
        tolerance=1e-9,
    )
    yield Indicator(
        name="tsi",
        summary="true strength index -100..100 and its signal line; 0 where the price never moved",
        inputs=lambda p: ("close",),
        outputs=(
            Output("tsi", first_valid=lambda p: p.slow + p.fast - 1, settle=_tsi_settle),
            Output("tsi_signal"),
        ),
        params=TsiParams,
        kernel=tsi,
        first_valid=lambda p: p.slow + p.fast + p.signal - 2,
        settle=lambda p: _tsi_settle(p) + ema_settle(p.signal),
        tolerance=1e-9,
    )
    yield Indicator(
        name="roc",
        summary="change of the close over n bars in percent",
        inputs=lambda p: ("close",),
        outputs=(Output("roc"),),
        params=RocParams,
        kernel=roc,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
    )
    yield Indicator(
        name="momentum",
        summary="change of the close over n bars, in units of price and of the ATR (null for ATR 0)",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(
            Output("momentum", "price", settle=lambda p: p.period),
            Output("momentum_atr", first_valid=lambda p: max(p.period, p.atr)),
        ),
        params=MomentumParams,
        kernel=momentum,
        first_valid=lambda p: p.period,
        settle=lambda p: max(p.period, wilder_settle(p.atr)),
        tolerance=1e-9,
    )


def _tsi_settle(params: TsiParams) -> int:
    return ema_settle(params.slow) + ema_settle(params.fast)
