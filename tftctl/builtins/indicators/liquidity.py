"""Price against volume: illiquidity (Amihud, Illiquidity and stock returns, 2002) and correlation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import model_validator

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import log_returns, ratio
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Columns = Mapping[str, Array]

PER_MILLION = 1e6


class AmihudParams(Params):
    """Bars in the mean, and in the longer mean that it is compared with."""

    period: Window = 20
    long: Window = 120

    @model_validator(mode="after")
    def _long_is_longer(self) -> AmihudParams:
        if self.long <= self.period:
            raise ValueError(f"long = {self.long} must be more than period = {self.period}")
        return self


class CorrelationParams(Params):
    """Bars in the window."""

    period: Window = 20


def amihud(columns: Columns, params: AmihudParams) -> dict[str, Array]:
    """Mean over n bars of 1e6 |log return| / (close * volume): return per million traded, in the quote currency.

    Bars without volume are left out of the mean. Relative: divided by the same mean over the long window, 1 where
    trading moves the price as usual. Undefined where nothing was traded, or (relative) the price never moved.
    """
    import numpy as np

    returns = np.abs(log_returns(columns["close"]))
    impact = PER_MILLION * ratio(returns, columns["close"] * columns["volume"])
    impact[np.isnan(impact) & ~np.isnan(returns)] = 0.0
    traded = np.where(columns["volume"] > 0, 1.0, 0.0)
    short, long = (_mean_where(impact, traded, n) for n in (params.period, params.long))
    return {"amihud": short, "amihud_relative": ratio(short, long)}


def price_volume_correlation(columns: Columns, params: CorrelationParams) -> dict[str, Array]:
    """Pearson's correlation over n bars of close and volume, and of log return and volume.

    Undefined where price, return or volume does not change.
    """
    close, volume = columns["close"], columns["volume"]
    return {
        "price_volume_correlation": _correlation(close, volume, params.period),
        "return_volume_correlation": _correlation(log_returns(close), volume, params.period),
    }


def _mean_where(values: Array, counted: Array, window: int) -> Array:
    from tftctl.core.rolling import rolling_sum

    return ratio(rolling_sum(values, window), rolling_sum(counted, window))


def _correlation(x: Array, y: Array, window: int) -> Array:
    import numpy as np

    from tftctl.core.rolling import rolling_covariance

    of_x, of_y, of_both = rolling_covariance(x, y, window)
    return np.clip(ratio(of_both, np.sqrt(of_x) * np.sqrt(of_y)), -1.0, 1.0)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Amihud's illiquidity; correlation of price and volume."""
    yield Indicator(
        name="amihud",
        summary="Amihud's illiquidity, |return| per million traded, and relative to its long mean",
        inputs=lambda p: ("close", "volume"),
        # a split leaves it alone, but its level belongs to the market's size: no input as it is
        outputs=(
            Output("amihud", "volume", first_valid=lambda p: p.period, settle=lambda p: p.period),
            Output("amihud_relative"),
        ),
        params=AmihudParams,
        kernel=amihud,
        first_valid=lambda p: p.long,
        settle=lambda p: p.long,
        tolerance=1e-9,
    )
    yield Indicator(
        name="price_volume_correlation",
        summary="correlation of close with volume and of log return with volume over n bars",
        inputs=lambda p: ("close", "volume"),
        outputs=(
            Output("price_volume_correlation", first_valid=lambda p: p.period - 1),
            Output("return_volume_correlation"),
        ),
        params=CorrelationParams,
        kernel=price_volume_correlation,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
