"""Volume: on-balance volume (Granville 1963) and the skewness of volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]


class SkewnessParams(Params):
    """Bars in the window."""

    period: Annotated[int, Field(ge=3, le=5000)] = 20


def obv(columns: Mapping[str, Array], params: Params) -> dict[str, Array]:
    """Running sum of volume with the sign of the price change; begins at volume[0] of the segment."""
    import talib

    return {"obv": talib.OBV(columns["close"], columns["volume"])}


def vol_skewness(params: SkewnessParams) -> list[dict[str, pl.Expr]]:
    """Population skewness m3 / m2^1.5 of the last n volumes; null for constant volume."""
    import polars as pl

    return [{"vol_skewness": pl.col("volume").rolling_skew(params.period, bias=True)}]


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """OBV and volume skewness."""
    yield Indicator(
        name="obv",
        summary="on-balance volume, from the start of the segment (it never forgets its start)",
        inputs=lambda p: ("close", "volume"),
        outputs=(Output("obv", "volume"),),
        kernel=obv,
        settle=lambda p: -1,
    )
    yield Indicator(
        name="vol_skewness",
        summary="population skewness of volume over n bars",
        inputs=lambda p: ("volume",),
        outputs=(Output("vol_skewness"),),
        params=SkewnessParams,
        expr=vol_skewness,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
