"""Stops that trail the price and turn with it: parabolic SAR and SuperTrend. TA-Lib's C functions.

Sources: Wilder, New Concepts in Technical Trading Systems (1978) for the parabolic; Seban, SuperTrend (2009). Neither
ever forgets its start for certain: the side it is on is a matter of the whole segment, until it next turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.relative import distance
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Positive = Annotated[float, Field(gt=0)]


class PsarParams(Params):
    """Acceleration at the start and per new extreme, and its maximum."""

    acceleration: Positive = 0.02
    maximum: Positive = 0.2


class SupertrendParams(Params):
    """Wilder length of the ATR, and the distance of the bands from the bar's middle in ATR."""

    period: Window = 10
    k: Positive = 3.0


def psar(columns: Mapping[str, Array], params: PsarParams) -> dict[str, Array]:
    """Wilder's stop and reverse; direction 1 where the bar lies above it, -1 below, 0 on it (a flat price)."""
    import numpy as np
    import talib

    high, low, close = columns["high"], columns["low"], columns["close"]
    stop = talib.SAR(high, low, acceleration=params.acceleration, maximum=params.maximum)
    side = np.sign((high - stop) + (low - stop))
    return {"psar": stop, "psar_direction": side, "psar_distance": distance(close, stop)}


def supertrend(columns: Mapping[str, Array], params: SupertrendParams) -> dict[str, Array]:
    """Bands (high + low)/2 +- k ATR that only tighten; the close turns the direction by crossing one. Begins at 1."""
    import numpy as np
    import talib

    close = columns["close"]
    stop, direction = talib.SUPERTREND(
        columns["high"], columns["low"], close, timeperiod=params.period, multiplier=params.k
    )
    return {
        "supertrend": stop,
        "supertrend_direction": np.where(np.isnan(stop), np.nan, direction),
        "supertrend_distance": distance(close, stop),
    }


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Parabolic SAR and SuperTrend."""
    yield Indicator(
        name="psar",
        summary="parabolic stop and reverse, its direction, and its distance (close - psar) / close",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("psar", "price"), Output("psar_direction"), Output("psar_distance")),
        params=PsarParams,
        kernel=psar,
        first_valid=lambda p: 1,
        settle=lambda p: -1,
    )
    yield Indicator(
        name="supertrend",
        summary="band of k ATR that trails the price, its direction 1 or -1, and its distance relative to the close",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("supertrend", "price"), Output("supertrend_direction"), Output("supertrend_distance")),
        params=SupertrendParams,
        kernel=supertrend,
        first_valid=lambda p: p.period,
        settle=lambda p: -1,
    )
