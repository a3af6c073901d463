"""The straight line of least squares through the last n closes: its slope and R2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class LinregParams(Params):
    """Bars in the line."""

    period: Window = 14


def linreg(columns: Mapping[str, Array], params: LinregParams) -> dict[str, Array]:
    """Slope per bar, slope / close, and R2. TA-Lib's slope is off by 1e-8 on pips: it subtracts sums of prices."""
    import numpy as np

    from tftctl.core.rolling import rolling_covariance

    close = columns["close"]
    of_time, of_price, of_both = rolling_covariance(np.arange(close.size, dtype=np.float64), close, params.period)
    slope, r2 = of_both / of_time, np.minimum(ratio(of_both**2, of_time * of_price), 1.0)
    return {"linreg_slope": slope, "linreg_slope_relative": ratio(slope, close), "linreg_r2": r2}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Slope and R2 of the regression line."""
    yield Indicator(
        name="linreg",
        summary="slope per bar of the line through the last n closes, slope / close, and R2 (null where flat)",
        inputs=lambda p: ("close",),
        outputs=(Output("linreg_slope", "price"), Output("linreg_slope_relative"), Output("linreg_r2")),
        params=LinregParams,
        kernel=linreg,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
