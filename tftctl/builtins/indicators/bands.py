"""Bollinger bands (Bollinger on Bollinger Bands, 2001): mean -+ k population standard deviations of the close."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class BollingerParams(Params):
    """Bars in the mean, and the half width in population standard deviations."""

    period: Window = 20
    k: Annotated[float, Field(gt=0)] = 2.0


def bollinger(columns: Mapping[str, Array], params: BollingerParams) -> dict[str, Array]:
    """%b = (close - lower)/(upper - lower), undefined for a flat window; bandwidth = (upper - lower)/middle."""
    close = columns["close"]
    middle, half = _middle_and_half_width(close, params)
    return {
        "bollinger_pctb": 0.5 + ratio(close - middle, 2 * half),
        "bollinger_bandwidth": 2 * half / middle,
    }


def bollinger_bands(columns: Mapping[str, Array], params: BollingerParams) -> dict[str, Array]:
    """middle = mean of n closes, upper and lower = middle +- k standard deviations; all equal for a flat window."""
    middle, half = _middle_and_half_width(columns["close"], params)
    return {"bollinger_upper": middle + half, "bollinger_middle": middle, "bollinger_lower": middle - half}


def _middle_and_half_width(close: Array, params: BollingerParams) -> tuple[Array, Array]:
    import numpy as np

    from tftctl.core.rolling import rolling_mean_variance

    mean, variance = rolling_mean_variance(close, params.period)
    return mean, params.k * np.sqrt(variance)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Position in the bands and their width; the bands themselves."""
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
        revision=2,
    )
    yield Indicator(
        name="bollinger_bands",
        summary="upper, middle and lower Bollinger band; population standard deviation",
        inputs=lambda p: ("close",),
        outputs=(
            Output("bollinger_upper", "price"),
            Output("bollinger_middle", "price"),
            Output("bollinger_lower", "price"),
        ),
        params=BollingerParams,
        kernel=bollinger_bands,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
