"""Moments and tails of returns and volume over a window (SEMANTICS F6).

Moments are population moments (divided by n); equal values have none (null). Tail index: Hill, A simple general
approach to inference about the tail of a distribution (1975).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import log_returns, ratio

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Columns = Mapping[str, Array]


class SkewnessParams(Params):
    """Values in the window."""

    period: Annotated[int, Field(ge=3, le=5000)] = 20


class KurtosisParams(Params):
    """Returns in the window."""

    period: Annotated[int, Field(ge=4, le=5000)] = 20


class TailParams(Params):
    """Returns in the window; the k largest are the tail (5 % by default).

    `tail`: of absolute returns, or of losses (`lower`), where gains count as no loss.
    """

    period: Annotated[int, Field(ge=10, le=5000)] = 250
    k: Annotated[int, Field(ge=2)] = 12
    tail: Literal["absolute", "lower"] = "absolute"

    @model_validator(mode="after")
    def _tail_is_part_of_window(self) -> TailParams:
        if self.k >= self.period:
            raise ValueError(f"k = {self.k} must be less than period = {self.period}")
        return self


def return_skewness(columns: Columns, params: SkewnessParams) -> dict[str, Array]:
    """Population skewness m3 / m2^1.5 of the last n log returns; undefined when they are all equal."""
    from tftctl.core.rolling import rolling_skewness

    return {"return_skewness": rolling_skewness(log_returns(columns["close"]), params.period)}


def vol_skewness(columns: Columns, params: SkewnessParams) -> dict[str, Array]:
    """Population skewness m3 / m2^1.5 of the last n volumes; undefined for constant volume."""
    from tftctl.core.rolling import rolling_skewness

    return {"vol_skewness": rolling_skewness(columns["volume"], params.period)}


def return_kurtosis(columns: Columns, params: KurtosisParams) -> dict[str, Array]:
    """Population excess kurtosis m4 / m2^2 - 3 of the last n log returns; undefined when they are all equal."""
    from tftctl.core.rolling import rolling_moments

    _, m2, _, m4 = rolling_moments(log_returns(columns["close"]), params.period)
    return {"return_kurtosis": ratio(m4, m2 * m2) - 3}


def tail_index(columns: Columns, params: TailParams) -> dict[str, Array]:
    """alpha = 1 / H, H = mean of ln(X_i / X_(k+1)) over the k largest X of the last n; small where tails are fat.

    X: absolute log returns, or losses. Undefined where X_(k+1) is 0 or the k + 1 largest are equal.
    """
    import numpy as np

    from tftctl.core.rolling import rolling_hill

    r = log_returns(columns["close"])
    size = np.abs(r) if params.tail == "absolute" else np.maximum(-r, 0.0)
    with np.errstate(divide="ignore"):
        hill = rolling_hill(np.log(size[1:]), params.period, params.k)
    return {"tail_index": np.concatenate(([np.nan], ratio(np.ones(hill.size), hill)))}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Skewness of returns and volume, kurtosis of returns, tail index."""
    yield _of_returns("return_skewness", "population skewness of log returns over n bars", return_skewness, revision=2)
    yield _of_returns(
        "return_kurtosis", "population excess kurtosis of log returns over n bars", return_kurtosis, KurtosisParams
    )
    yield Indicator(
        name="vol_skewness",
        summary="population skewness of volume over n bars",
        inputs=lambda p: ("volume",),
        outputs=(Output("vol_skewness"),),
        params=SkewnessParams,
        kernel=vol_skewness,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
        revision=2,
    )
    yield _of_returns(
        "tail_index", "Hill's tail index of log returns over n bars, of the k largest", tail_index, TailParams, 0.0
    )


def _of_returns(
    name: str,
    summary: str,
    kernel: Callable[[Columns, Any], dict[str, Array]],
    params: type[Params] = SkewnessParams,
    tolerance: float = 1e-9,
    revision: int = 1,
) -> Indicator:
    return Indicator(
        name=name,
        summary=summary,
        inputs=lambda p: ("close",),
        outputs=(Output(name),),
        params=params,
        kernel=kernel,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=tolerance,
        revision=revision,
    )
