"""Volume weighted average price: mean of (high + low + close) / 3 weighted by volume, and the close's distance to it.

Undefined (null) as long as nothing was traded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl, period_ms
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Columns = Mapping[str, Array]

BARS = ("high", "low", "close", "volume")
DAY_MS = period_ms("1d")


class VwapParams(Params):
    """Bars in the window."""

    period: Window = 20


def rolling_vwap(columns: Columns, params: VwapParams) -> dict[str, Array]:
    """VWAP of the last n bars; distance = (close - VWAP) / VWAP."""
    from tftctl.core.rolling import rolling_sum

    volume = columns["volume"]
    traded = rolling_sum(_typical_price(columns) * volume, params.period)
    vwap = ratio(traded, rolling_sum(volume, params.period))
    return {"rolling_vwap": vwap, "rolling_vwap_distance": ratio(columns["close"] - vwap, vwap)}


def daily_vwap(columns: Columns, params: Params) -> dict[str, Array]:
    """VWAP since 00:00 UTC of the bar's open time (or the start of the segment); distance = (close - VWAP) / VWAP.

    For bars of a day and longer it is the bar's typical price.
    """
    import numpy as np

    from tftctl.core.rolling import cumulative_by

    volume, day = columns["volume"], np.floor(columns["timestamp"] / DAY_MS)
    traded = cumulative_by(_typical_price(columns) * volume, day)
    vwap = ratio(traded, cumulative_by(volume, day))
    return {"daily_vwap": vwap, "daily_vwap_distance": ratio(columns["close"] - vwap, vwap)}


def _typical_price(columns: Columns) -> Array:
    return (columns["high"] + columns["low"] + columns["close"]) / 3


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """VWAP of a window and of the UTC day."""
    yield Indicator(
        name="rolling_vwap",
        summary="volume weighted average price of n bars, and the close's relative distance to it",
        inputs=lambda p: BARS,
        outputs=(Output("rolling_vwap", "price"), Output("rolling_vwap_distance")),
        params=VwapParams,
        kernel=rolling_vwap,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
    yield Indicator(
        name="daily_vwap",
        summary="volume weighted average price since 00:00 UTC, and the close's relative distance to it",
        inputs=lambda p: ("timestamp", *BARS),
        outputs=(Output("daily_vwap", "price"), Output("daily_vwap_distance")),
        kernel=daily_vwap,
        settle=lambda p, period: -(-DAY_MS // period_ms(period)) - 1,
        tolerance=1e-9,
    )
