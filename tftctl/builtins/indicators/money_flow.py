"""Money flow index (Quong and Soudack, Stocks & Commodities, 1989)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.relative import STANDSTILL
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class MfiParams(Params):
    """Bars in the sums."""

    period: Window = 14


def mfi(columns: Mapping[str, Array], params: MfiParams) -> dict[str, Array]:
    """100 * flow of rising bars / flow of rising and falling bars over n bars, 0 for 0/0.

    Flow = typical price * volume; a bar rises where its typical price (high + low + close)/3 does, by more than
    rounding. TA-Lib's running sums keep the rounding of every volume spike; these do not.
    """
    import numpy as np

    from tftctl.core.rolling import rolling_sum

    typical = (columns["high"] + columns["low"] + columns["close"]) / 3
    flow = typical * columns["volume"]
    change, rounding = np.diff(typical), STANDSTILL * typical[1:]
    up = rolling_sum(np.where(change > rounding, flow[1:], 0.0), params.period)
    down = rolling_sum(np.where(change < -rounding, flow[1:], 0.0), params.period)
    share = np.divide(up, up + down, out=np.where(np.isnan(up), np.nan, 0.0), where=up + down > 0)
    return {"mfi": 100 * np.concatenate(([np.nan], share))}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """MFI."""
    yield Indicator(
        name="mfi",
        summary="money flow index, 0..100: the share of traded value in rising bars; 0 without volume or movement",
        inputs=lambda p: ("high", "low", "close", "volume"),
        outputs=(Output("mfi"),),
        params=MfiParams,
        kernel=mfi,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
