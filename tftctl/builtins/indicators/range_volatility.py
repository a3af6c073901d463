"""Volatility from open, high, low and close, per bar. 0 for flat prices.

Sources: Parkinson, The extreme value method (1980); Garman and Klass, On the estimation of security price
volatilities from historical data (1980); Rogers and Satchell, Estimating variance from high, low and closing prices
(1991); Yang and Zhang, Drift-independent volatility estimation (2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import log_ratio
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Columns = Mapping[str, Array]


class RangeParams(Params):
    """Bars in the window."""

    period: Window = 20


def parkinson_volatility(columns: Columns, params: RangeParams) -> dict[str, Array]:
    """sqrt(mean of ln(high/low)^2 over n bars / (4 ln 2))."""
    variance = log_ratio(columns["high"], columns["low"]) ** 2 / (4 * math.log(2))
    return {"parkinson_volatility": _root_of_mean(variance, params.period)}


def garman_klass_volatility(columns: Columns, params: RangeParams) -> dict[str, Array]:
    """sqrt(mean over n bars of ln(high/low)^2 / 2 - (2 ln 2 - 1) ln(close/open)^2)."""
    spread = log_ratio(columns["high"], columns["low"])
    move = log_ratio(columns["close"], columns["open"])
    variance = 0.5 * spread**2 - (2 * math.log(2) - 1) * move**2
    return {"garman_klass_volatility": _root_of_mean(variance, params.period)}


def rogers_satchell_volatility(columns: Columns, params: RangeParams) -> dict[str, Array]:
    """sqrt(mean over n bars of ln(high/close) ln(high/open) + ln(low/close) ln(low/open)); any drift."""
    return {"rogers_satchell_volatility": _root_of_mean(_rogers_satchell(columns), params.period)}


def yang_zhang_volatility(columns: Columns, params: RangeParams) -> dict[str, Array]:
    """sqrt(V_open + k V_close + (1 - k) V_rs), k = 0.34 / (1.34 + (n+1)/(n-1)); any drift, gaps between bars counted.

    V_open: sample variance (ddof 1) of ln(open[t]/close[t-1]) over n bars; V_close: of ln(close/open); V_rs: the mean
    of Rogers and Satchell.
    """
    import numpy as np

    n = params.period
    opened, close = columns["open"], columns["close"]
    jump = np.full(close.size, np.nan)
    jump[1:] = log_ratio(opened[1:], close[:-1])
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    variance = _sample_variance(jump, n) + k * _sample_variance(log_ratio(close, opened), n)
    return {"yang_zhang_volatility": np.sqrt(variance + (1 - k) * _mean(_rogers_satchell(columns), n))}


def _rogers_satchell(columns: Columns) -> Array:
    opened, high, low, close = (columns[name] for name in ("open", "high", "low", "close"))
    return log_ratio(high, close) * log_ratio(high, opened) + log_ratio(low, close) * log_ratio(low, opened)


def _root_of_mean(variance: Array, window: int) -> Array:
    import numpy as np

    return np.sqrt(_mean(variance, window))


def _mean(values: Array, window: int) -> Array:
    from tftctl.core.rolling import rolling_sum

    return rolling_sum(values, window) / window


def _sample_variance(values: Array, window: int) -> Array:
    from tftctl.core.rolling import rolling_mean_variance

    return rolling_mean_variance(values, window)[1] * (window / (window - 1))


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Parkinson, Garman-Klass, Rogers-Satchell, Yang-Zhang."""
    bars = ("open", "high", "low", "close")
    yield _record("parkinson_volatility", "Parkinson's range", parkinson_volatility, ("high", "low"), revision=2)
    yield _record("garman_klass_volatility", "Garman and Klass's", garman_klass_volatility, bars)
    yield _record("rogers_satchell_volatility", "Rogers and Satchell's", rogers_satchell_volatility, bars)
    yield _record("yang_zhang_volatility", "Yang and Zhang's", yang_zhang_volatility, bars, previous=1)


def _record(
    name: str,
    whose: str,
    kernel: Callable[[Columns, RangeParams], dict[str, Array]],
    inputs: tuple[str, ...],
    previous: int = 0,
    revision: int = 1,
) -> Indicator:
    """`previous`: bars that are read before the window."""
    return Indicator(
        name=name,
        summary=f"{whose} volatility over n bars, per bar",
        inputs=lambda p: inputs,
        outputs=(Output(name),),
        params=RangeParams,
        kernel=kernel,
        first_valid=lambda p: p.period - 1 + previous,
        settle=lambda p: p.period - 1 + previous,
        tolerance=1e-9,
        revision=revision,
    )
