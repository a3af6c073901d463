"""Ranges of bars: average true range (Wilder, New Concepts in Technical Trading Systems, 1978) and what is made of it.

ATR is TA-Lib's: the mean of the true ranges of bars 1..n, then Wilder's smoothing. Ratios to an ATR of 0 are null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.windows import Window, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]
    Columns = Mapping[str, Array]

TAIL_BIAS_ATR = 14


class AtrParams(Params):
    """Wilder length."""

    period: Window = 14


class AtrSlopeParams(Params):
    """Wilder length, and the bars over which the slope is taken."""

    period: Window = 14
    bars: Annotated[int, Field(ge=1, le=5000)] = 5


def average_true_range(columns: Columns, period: int) -> Array:
    """Wilder's mean of the true range."""
    import talib

    return talib.ATR(columns["high"], columns["low"], columns["close"], timeperiod=period)


def atr(columns: Columns, params: AtrParams) -> dict[str, Array]:
    """Wilder's mean of the true range, seeded with the mean of the first n true ranges."""
    return {"atr": average_true_range(columns, params.period)}


def natr(columns: Columns, params: AtrParams) -> dict[str, Array]:
    """100 ATR / close."""
    import talib

    return {"natr": talib.NATR(columns["high"], columns["low"], columns["close"], timeperiod=params.period)}


def atr_to_price(columns: Columns, params: AtrParams) -> dict[str, Array]:
    """ATR / close."""
    return {"atr_to_price": average_true_range(columns, params.period) / columns["close"]}


def range_to_atr(columns: Columns, params: AtrParams) -> dict[str, Array]:
    """(high - low) / ATR, the bar itself included in the ATR; undefined where the ATR is 0."""
    return {"range_to_atr": ratio(columns["high"] - columns["low"], average_true_range(columns, params.period))}


def atr_slope(columns: Columns, params: AtrSlopeParams) -> dict[str, Array]:
    """(ATR[t] - ATR[t-k]) / (k ATR[t-k]); undefined where ATR[t-k] is 0."""
    import numpy as np

    value = average_true_range(columns, params.period)
    slope = np.full(value.size, np.nan)
    before, now = value[: -params.bars], value[params.bars :]
    slope[params.bars :] = ratio(now - before, params.bars * before)
    return {"atr_slope": slope}


def tail_bias(columns: Columns, params: Params) -> dict[str, Array]:
    """((high - close) - (close - low)) / ATR(14): positive where the upper tail is the longer one."""
    high, low, close = columns["high"], columns["low"], columns["close"]
    return {"tail_bias": ratio((high - close) - (close - low), average_true_range(columns, TAIL_BIAS_ATR))}


def amplitude_range(params: Params) -> list[dict[str, pl.Expr]]:
    """(high - low) / close."""
    import polars as pl

    return [{"amplitude_range": (pl.col("high") - pl.col("low")) / pl.col("close")}]


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """ATR and its ratios, amplitude range, tail bias."""
    yield _of_atr("atr", "Wilder's average true range", atr, Output("atr", "price"))
    yield _of_atr("natr", "normalised average true range, 100 ATR / close", natr, Output("natr"))
    yield _of_atr("atr_to_price", "ATR / close", atr_to_price, Output("atr_to_price"))
    yield _of_atr("range_to_atr", "(high - low) / ATR", range_to_atr, Output("range_to_atr"))
    yield Indicator(
        name="atr_slope",
        summary="(ATR[t] - ATR[t-k]) / (k ATR[t-k])",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("atr_slope"),),
        params=AtrSlopeParams,
        kernel=atr_slope,
        first_valid=lambda p: p.period + p.bars,
        settle=lambda p: wilder_settle(p.period) + p.bars,
        tolerance=1e-9,
    )
    yield Indicator(
        name="tail_bias",
        summary="((high - close) - (close - low)) / ATR(14)",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("tail_bias"),),
        kernel=tail_bias,
        first_valid=lambda p: TAIL_BIAS_ATR,
        settle=lambda p: wilder_settle(TAIL_BIAS_ATR),
        tolerance=1e-9,
    )
    yield Indicator(
        name="amplitude_range",
        summary="(high - low) / close",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("amplitude_range"),),
        expr=amplitude_range,
    )


def _of_atr(
    name: str, summary: str, kernel: Callable[[Columns, AtrParams], dict[str, Array]], output: Output
) -> Indicator:
    return Indicator(
        name=name,
        summary=summary,
        inputs=lambda p: ("high", "low", "close"),
        outputs=(output,),
        params=AtrParams,
        kernel=kernel,
        first_valid=lambda p: p.period,
        settle=lambda p: wilder_settle(p.period),
        tolerance=1e-9,
    )
