"""Volatility: ATR (Wilder 1978), Bollinger (2001), rolling, EWMA (RiskMetrics 1996) and Parkinson (1980)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.windows import Window, decay_settle, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]
    Stages = list[dict[str, pl.Expr]]


class AtrParams(Params):
    """Wilder length."""

    period: Window = 14


class AtrSlopeParams(Params):
    """Wilder length, and the bars over which the slope is taken."""

    period: Window = 14
    bars: Annotated[int, Field(ge=1, le=5000)] = 5


class BollingerParams(Params):
    """Bars in the mean, and the half width in population standard deviations."""

    period: Window = 20
    k: Annotated[float, Field(gt=0)] = 2.0


class WindowParams(Params):
    """Bars in the window."""

    period: Window = 20


class EwmaParams(Params):
    """Decay of the variance per bar."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.94


def atr(columns: Mapping[str, Array], params: AtrParams) -> dict[str, Array]:
    """Wilder's mean of the true range, seeded with the mean of the first n true ranges."""
    import talib

    return {"atr": talib.ATR(columns["high"], columns["low"], columns["close"], timeperiod=params.period)}


def atr_slope(columns: Mapping[str, Array], params: AtrSlopeParams) -> dict[str, Array]:
    """(ATR[t] - ATR[t-k]) / (k ATR[t-k]); undefined where ATR[t-k] is 0."""
    import numpy as np

    value = atr(columns, AtrParams(period=params.period))["atr"]
    slope = np.full(value.size, np.nan)
    before, now = value[: -params.bars], value[params.bars :]
    np.divide(now - before, params.bars * before, out=slope[params.bars :], where=before > 0)
    return {"atr_slope": slope}


def bollinger(columns: Mapping[str, Array], params: BollingerParams) -> dict[str, Array]:
    """%b = (close - lower)/(upper - lower), bandwidth = (upper - lower)/middle; undefined for a flat window."""
    import numpy as np
    import talib

    close = columns["close"]
    upper, middle, lower = talib.BBANDS(
        close, timeperiod=params.period, nbdevup=params.k, nbdevdn=params.k, matype=talib.MA_Type.SMA
    )
    width = upper - lower
    position = np.full(close.size, np.nan)
    np.divide(close - lower, width, out=position, where=width > 0)
    return {"bollinger_pctb": position, "bollinger_bandwidth": width / middle}


def ewma_volatility(columns: Mapping[str, Array], params: EwmaParams) -> dict[str, Array]:
    """sqrt of v[t] = decay v[t-1] + (1 - decay) r[t]^2, seeded with the first squared log return."""
    import numpy as np
    import polars as pl

    squared = np.diff(np.log(columns["close"])) ** 2
    variance = pl.Series(squared).ewm_mean(alpha=1 - params.decay, adjust=False, ignore_nulls=False).to_numpy()
    return {"ewma_volatility": np.concatenate(([np.nan], np.sqrt(variance)))}


def rolling_volatility(params: WindowParams) -> Stages:
    """Standard deviation (ddof 1) of the last n log returns, per bar."""
    import polars as pl

    returns = pl.col("close").log().diff()
    return [{"_r": returns}, {"rolling_volatility": pl.col("_r").rolling_std(params.period, ddof=1)}]


def parkinson_volatility(params: WindowParams) -> Stages:
    """sqrt(mean of ln(high/low)^2 over n bars / (4 ln 2)), per bar."""
    import polars as pl

    squared = (pl.col("high") / pl.col("low")).log() ** 2
    mean = pl.col("_squared").rolling_mean(params.period)
    return [{"_squared": squared}, {"parkinson_volatility": (mean.clip(lower_bound=0.0) / (4 * math.log(2))).sqrt()}]


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """ATR and its slope, Bollinger, rolling, EWMA and Parkinson volatility."""
    yield Indicator(
        name="atr",
        summary="Wilder's average true range",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("atr", "price"),),
        params=AtrParams,
        kernel=atr,
        first_valid=lambda p: p.period,
        settle=lambda p: wilder_settle(p.period),
        tolerance=1e-9,
    )
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
        name="bollinger",
        summary="position in the Bollinger band (%b) and its relative width; population standard deviation",
        inputs=lambda p: ("close",),
        outputs=(Output("bollinger_pctb"), Output("bollinger_bandwidth")),
        params=BollingerParams,
        kernel=bollinger,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
    yield Indicator(
        name="ewma_volatility",
        summary="square root of the exponential mean of squared log returns, per bar",
        inputs=lambda p: ("close",),
        outputs=(Output("ewma_volatility"),),
        params=EwmaParams,
        kernel=ewma_volatility,
        first_valid=lambda p: 1,
        settle=lambda p: decay_settle(p.decay),
        tolerance=1e-9,
    )
    yield Indicator(
        name="rolling_volatility",
        summary="standard deviation (ddof 1) of the last n log returns, per bar",
        inputs=lambda p: ("close",),
        outputs=(Output("rolling_volatility"),),
        params=WindowParams,
        expr=rolling_volatility,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
    yield Indicator(
        name="parkinson_volatility",
        summary="Parkinson's range volatility over n bars, per bar",
        inputs=lambda p: ("high", "low"),
        outputs=(Output("parkinson_volatility"),),
        params=WindowParams,
        expr=parkinson_volatility,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
