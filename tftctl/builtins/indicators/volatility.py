"""Returns of closes and their volatility, per bar (multiply by the root of the bars per year to annualise).

Sources: RiskMetrics Technical Document (J.P. Morgan 1996) for the exponential mean; Barndorff-Nielsen, Kinnebrock and
Shephard, Measuring downside risk: realised semivariance (2010). Flat prices have volatility 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import log_returns, ratio
from tftctl.builtins.indicators.windows import Window, decay_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Columns = Mapping[str, Array]


# what is left of a seed that is one squared return: it may be a thousand times their mean
ONE_RETURN = 1e-12


class WindowParams(Params):
    """Returns in the window."""

    period: Window = 20


class EwmaParams(Params):
    """Decay of the variance per bar."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.94


class VolOfVolParams(Params):
    """Returns in each volatility, and volatilities in the window."""

    period: Window = 20
    bars: Window = 20


def log_return(columns: Columns, params: Params) -> dict[str, Array]:
    """ln(close[t] / close[t-1])."""
    return {"log_return": log_returns(columns["close"])}


def rolling_volatility(columns: Columns, params: WindowParams) -> dict[str, Array]:
    """Standard deviation (ddof 1) of the last n log returns."""
    return {"rolling_volatility": rolling_deviation(log_returns(columns["close"]), params.period)}


def ewma_volatility(columns: Columns, params: EwmaParams) -> dict[str, Array]:
    """sqrt of v[t] = decay v[t-1] + (1 - decay) r[t]^2, seeded with the first squared log return."""
    import numpy as np
    import polars as pl

    squared = log_returns(columns["close"])[1:] ** 2
    variance = pl.Series(squared).ewm_mean(alpha=1 - params.decay, adjust=False, ignore_nulls=False).to_numpy()
    return {"ewma_volatility": np.concatenate(([np.nan], np.sqrt(variance)))}


def realized_semivariance(columns: Columns, params: WindowParams) -> dict[str, Array]:
    """Means over n returns of r^2 where r < 0, and of r^2 where r > 0; they sum to the mean of r^2.

    balance = (up - down) / (up + down) in -1..1, undefined for flat prices.
    """
    import numpy as np

    from tftctl.core.rolling import rolling_sum

    r = log_returns(columns["close"])
    down = rolling_sum(np.minimum(r, 0.0) ** 2, params.period) / params.period
    up = rolling_sum(np.maximum(r, 0.0) ** 2, params.period) / params.period
    return {"semivariance_down": down, "semivariance_up": up, "semivariance_balance": ratio(up - down, up + down)}


def vol_of_vol(columns: Columns, params: VolOfVolParams) -> dict[str, Array]:
    """Standard deviation (ddof 1) of the last m rolling volatilities of n returns; relative: divided by their mean.

    The relative form is undefined for flat prices.
    """
    from tftctl.core.rolling import rolling_sum

    volatility = rolling_deviation(log_returns(columns["close"]), params.period)
    deviation = rolling_deviation(volatility, params.bars)
    mean = rolling_sum(volatility, params.bars) / params.bars
    return {"vol_of_vol": deviation, "vol_of_vol_relative": ratio(deviation, mean)}


def rolling_deviation(values: Array, window: int) -> Array:
    """Sample standard deviation (ddof 1) of the last `window` values."""
    import numpy as np

    from tftctl.core.rolling import rolling_mean_variance

    _, variance = rolling_mean_variance(values, window)
    return np.sqrt(variance * (window / (window - 1)))


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Log return; rolling and exponential volatility, semivariance, volatility of volatility."""
    yield Indicator(
        name="log_return",
        summary="ln(close[t] / close[t-1])",
        inputs=lambda p: ("close",),
        outputs=(Output("log_return"),),
        kernel=log_return,
        first_valid=lambda p: 1,
        settle=lambda p: 1,
        revision=2,
    )
    yield Indicator(
        name="rolling_volatility",
        summary="standard deviation (ddof 1) of the last n log returns, per bar",
        inputs=lambda p: ("close",),
        outputs=(Output("rolling_volatility"),),
        params=WindowParams,
        kernel=rolling_volatility,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
        revision=2,
    )
    yield Indicator(
        name="ewma_volatility",
        summary="square root of the exponential mean of squared log returns, per bar",
        inputs=lambda p: ("close",),
        outputs=(Output("ewma_volatility"),),
        params=EwmaParams,
        kernel=ewma_volatility,
        first_valid=lambda p: 1,
        settle=lambda p: decay_settle(p.decay, ONE_RETURN),
        tolerance=1e-9,
        revision=2,
    )
    yield Indicator(
        name="realized_semivariance",
        summary="mean squared log return of falling and of rising bars over n bars, and their balance",
        inputs=lambda p: ("close",),
        outputs=(Output("semivariance_down"), Output("semivariance_up"), Output("semivariance_balance")),
        params=WindowParams,
        kernel=realized_semivariance,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
    yield Indicator(
        name="vol_of_vol",
        summary="standard deviation of the rolling volatility, as it is and relative to the volatility's mean",
        inputs=lambda p: ("close",),
        outputs=(Output("vol_of_vol"), Output("vol_of_vol_relative")),
        params=VolOfVolParams,
        kernel=vol_of_vol,
        first_valid=lambda p: p.period + p.bars - 1,
        settle=lambda p: p.period + p.bars - 1,
        tolerance=1e-9,
    )
