"""Volume: on-balance volume (Granville 1963) and where a bar's volume stands among those before it.

No volume in the window leaves ratios undefined (null).
"""

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
    Columns = Mapping[str, Array]


class ObvTrendParams(Params):
    """Bars over which slope and change are taken."""

    period: Annotated[int, Field(ge=3, le=5000)] = 20


class RelativeParams(Params):
    """Bars before the current one in the mean."""

    period: Window = 20


class PercentileParams(Params):
    """Bars before the current one that it is compared with."""

    period: Window = 100


def obv(columns: Columns, params: Params) -> dict[str, Array]:
    """Running sum of volume with the sign of the price change; begins at volume[0] of the segment."""
    from tftctl.builtins.indicators.kernels_recursions import signed_volume_sum

    return {"obv": signed_volume_sum(columns["close"], columns["volume"])}


def obv_trend(columns: Columns, params: ObvTrendParams) -> dict[str, Array]:
    """Slope: least squares line through the last n values of OBV, per bar, over the mean volume of those bars.

    Change: OBV[t] - OBV[t-n] over the volume of those n bars, in -1..1. Both are sums of signed volume, so that they
    do not depend on where OBV began: the i-th of n values weighs 6 i (n - i) / (n (n^2 - 1)) in the slope.
    """
    import numpy as np

    from tftctl.core.rolling import rolling_dot, rolling_sum

    n, volume = params.period, columns["volume"]
    signed = np.sign(np.diff(columns["close"], prepend=np.nan)) * volume
    i = np.arange(1, n)
    slope = np.full(volume.size, np.nan)
    slope[1:] = rolling_dot(signed[1:], 6 * i * (n - i) / (n * (n**2 - 1)))
    total = rolling_sum(volume, n)
    return {"obv_slope": ratio(slope, total / n), "obv_change": ratio(rolling_sum(signed, n), total)}


def relative_volume(columns: Columns, params: RelativeParams) -> dict[str, Array]:
    """volume[t] / mean of volume[t-n..t-1], TA-Lib's RVOL; undefined when nothing was traded before."""
    import numpy as np

    from tftctl.core.rolling import rolling_sum

    volume = columns["volume"]
    before = np.full(volume.size, np.nan)
    before[1:] = rolling_sum(volume, params.period)[:-1] / params.period
    return {"relative_volume": ratio(volume, before)}


def volume_percentile(columns: Columns, params: PercentileParams) -> dict[str, Array]:
    """Per cent of the n volumes before that are smaller, 0..100, TA-Lib's PERCENTRANK; 0 for constant volume."""
    import talib

    return {"volume_percentile": talib.PERCENTRANK(columns["volume"], timeperiod=params.period)}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """OBV and its trend, volume relative to its past."""
    yield Indicator(
        name="obv",
        summary="on-balance volume, from the start of the segment (it never forgets its start)",
        inputs=lambda p: ("close", "volume"),
        outputs=(Output("obv", "volume"),),
        kernel=obv,
        settle=lambda p: -1,
    )
    yield Indicator(
        name="obv_trend",
        summary="slope of OBV per bar in mean volumes, and its change over n bars as a share of the volume traded",
        inputs=lambda p: ("close", "volume"),
        outputs=(Output("obv_slope", first_valid=lambda p: p.period - 1), Output("obv_change")),
        params=ObvTrendParams,
        kernel=obv_trend,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
    yield Indicator(
        name="relative_volume",
        summary="volume over the mean volume of the n bars before",
        inputs=lambda p: ("volume",),
        outputs=(Output("relative_volume"),),
        params=RelativeParams,
        kernel=relative_volume,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
    yield Indicator(
        name="volume_percentile",
        summary="per cent of the n volumes before that are smaller",
        inputs=lambda p: ("volume",),
        outputs=(Output("volume_percentile"),),
        params=PercentileParams,
        kernel=volume_percentile,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
    )
