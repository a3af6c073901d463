"""Conditional volatility by GARCH, EGARCH and APARCH, fitted on the past alone and filtered forward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING
from zlib import crc32

from tftctl.api import Indicator, Output, hookimpl
from tftctl_garch.settings import RefitParams, settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

MODELS = {
    "garch": "GARCH(1,1), Bollerslev 1986",
    "egarch": "EGARCH(1,1,1), Nelson 1991",
    "aparch": "APARCH(1,1,1), Ding, Granger and Engle 1993",
}


def volatility(name: str, columns: Mapping[str, Array], params: RefitParams) -> dict[str, Array]:
    """See `tftctl_garch.rolling.conditional_volatility`; `arch` and numba are imported here and not before."""
    from tftctl_garch.rolling import conditional_volatility

    return conditional_volatility(name, columns, params)


def fitted_by() -> int:
    """A number that changes with the libraries that fit: other versions may end at other parameters."""
    return crc32(" ".join(version(name) for name in ("arch", "scipy")).encode())


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """One indicator per model."""
    for name, model in MODELS.items():
        yield Indicator(
            name=f"{name}_volatility",
            summary=f"volatility of a bar's log return: forecast for t+1, of t, and standardised r[t] ({model})",
            inputs=lambda params: ("close", "bar_index"),
            outputs=(Output(f"{name}_volatility_next"), Output(f"{name}_volatility_now"), Output(f"{name}_residual")),
            params=RefitParams,
            kernel=partial(volatility, name),
            first_valid=lambda params: params.min_fit,
            settle=settle,
            revision=fitted_by(),
        )
