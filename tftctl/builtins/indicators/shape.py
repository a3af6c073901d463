"""Shape of bars and returns: log return, skewness of returns, tail bias, range (SEMANTICS F6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]
    Stages = list[dict[str, pl.Expr]]

ATR_PERIOD = 14


class SkewnessParams(Params):
    """Returns in the window."""

    period: Annotated[int, Field(ge=3, le=5000)] = 20


def log_return(params: Params) -> Stages:
    """ln(close[t] / close[t-1])."""
    import polars as pl

    return [{"log_return": pl.col("close").log().diff()}]


def return_skewness(params: SkewnessParams) -> Stages:
    """Population skewness m3 / m2^1.5 of the last n log returns; null when they are all equal."""
    import polars as pl

    return [
        {"_r": pl.col("close").log().diff()},
        {"return_skewness": pl.col("_r").rolling_skew(params.period, bias=True)},
    ]


def amplitude_range(params: Params) -> Stages:
    """(high - low) / close."""
    import polars as pl

    return [{"amplitude_range": (pl.col("high") - pl.col("low")) / pl.col("close")}]


def tail_bias(columns: Mapping[str, Array], params: Params) -> dict[str, Array]:
    """((high - close) - (close - low)) / ATR(14): positive where the upper tail is the longer one."""
    import numpy as np
    import talib

    high, low, close = columns["high"], columns["low"], columns["close"]
    average_range = talib.ATR(high, low, close, timeperiod=ATR_PERIOD)
    bias = np.full(close.size, np.nan)
    np.divide((high - close) - (close - low), average_range, out=bias, where=average_range > 0)
    return {"tail_bias": bias}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Log return, return skewness, amplitude range, tail bias."""
    yield Indicator(
        name="log_return",
        summary="ln(close[t] / close[t-1])",
        inputs=lambda p: ("close",),
        outputs=(Output("log_return"),),
        expr=log_return,
        first_valid=lambda p: 1,
        settle=lambda p: 1,
    )
    yield Indicator(
        name="return_skewness",
        summary="population skewness of log returns over n bars",
        inputs=lambda p: ("close",),
        outputs=(Output("return_skewness"),),
        params=SkewnessParams,
        expr=return_skewness,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
    yield Indicator(
        name="amplitude_range",
        summary="(high - low) / close",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("amplitude_range"),),
        expr=amplitude_range,
    )
    yield Indicator(
        name="tail_bias",
        summary="((high - close) - (close - low)) / ATR(14)",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("tail_bias"),),
        kernel=tail_bias,
        first_valid=lambda p: ATR_PERIOD,
        settle=lambda p: 300,
        tolerance=1e-9,
    )
