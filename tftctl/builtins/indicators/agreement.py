"""Agreement of a trend over bar sizes, read off the fused row (SEMANTICS F7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class AgreementParams(Params):
    """The column whose sign is the trend; it has to be among context_features."""

    column: str = "ema_distance"


def trend_agreement(columns: Mapping[str, Array], params: AgreementParams) -> dict[str, Array]:
    """Mean sign of the column at the row's own period and its context periods, -1..1; null where the own is."""
    import numpy as np

    signs = np.sign(np.stack(list(columns.values())))
    count = np.isfinite(signs).sum(axis=0)
    mean = np.where(np.isfinite(signs), signs, 0.0).sum(axis=0) / np.maximum(count, 1)
    return {"trend_agreement": np.where(np.isfinite(columns[params.column]), mean, np.nan)}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Trend agreement."""
    yield Indicator(
        name="trend_agreement",
        summary="mean sign of a trend at the row's own period and its context periods, -1 all down, 1 all up",
        inputs=lambda p: (p.column,),
        outputs=(Output("trend_agreement"),),
        params=AgreementParams,
        kernel=trend_agreement,
        scope="context",
    )
