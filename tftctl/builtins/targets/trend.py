"""Labels of how long the next move lasts (SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import LabelSpan, Params, Target, hookimpl
from tftctl.builtins.targets.returns import close_yardstick
from tftctl.builtins.targets.windows import HORIZON, complete, known_where

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


def trend_persistence_label(columns: Mapping[str, Array], params: Params, span: LabelSpan) -> Array:
    """Leading bars i of t+1..t+h with sign(r[t+i]) = sign(r[t+1]), 1 to h; undefined where r[t+1] = 0."""
    import numpy as np

    close, horizon = columns["close"], span.horizon
    sign = np.sign(np.diff(close, append=np.nan))  # of the return into the next bar
    run_ends = np.append(np.flatnonzero(sign[1:] != sign[:-1]) + 1, sign.size)
    rows = np.arange(sign.size)
    run = run_ends[np.searchsorted(run_ends, rows, side="right")] - rows
    return known_where(complete(close.size, horizon) & (sign != 0), np.minimum(run, horizon))


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """Persistence of the trend."""
    yield Target(
        name="target_trend_persistence",
        summary="leading bars of the next h whose return has the sign of the first; null where the first is 0",
        kind="regression",
        horizon=HORIZON,
        inputs=("close",),
        unit="bars",
        yardstick=close_yardstick,
        kernel=trend_persistence_label,
        tail="fat",
    )
