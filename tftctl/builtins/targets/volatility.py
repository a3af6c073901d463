"""Labels of whether the next bars are quiet or wild, against those before (SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import LabelSpan, Params, Target, Yardstick, hookimpl
from tftctl.builtins.targets.returns import past_volatility, volatility_yardstick
from tftctl.builtins.targets.windows import HORIZON, Factor, ahead, highest, known_where, lowest, window_sum

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]


class SidewayParams(Params):
    """Half width of the corridor in past volatilities over the horizon."""

    k: Factor = 0.5


class VolJumpParams(Params):
    """Ratio of the realised volatility ahead to that behind."""

    tau: Factor = 1.5


def sideway_label(columns: Mapping[str, Array], params: SidewayParams, span: LabelSpan) -> Array:
    """1 where max |ln(C[t+i]/C[t])| over i <= h is below k vol sqrt(h)."""
    import numpy as np

    farthest, limit = _distances(columns["close"], params, span.horizon)
    return known_where(~np.isnan(farthest) & ~np.isnan(limit), farthest < limit)


def sideway_ties(columns: Mapping[str, Array], params: SidewayParams, span: LabelSpan) -> Mask:
    """Rows whose farthest close is exactly k vol sqrt(h) away."""
    farthest, limit = _distances(columns["close"], params, span.horizon)
    return farthest == limit


def _distances(close: Array, params: SidewayParams, horizon: int) -> tuple[Array, Array]:
    """max |ln(C[t+i]/C[t])| over i <= h, and k vol sqrt(h)."""
    import numpy as np

    top, bottom = (ahead(extreme(close, horizon), horizon) for extreme in (highest, lowest))
    farthest = np.maximum(np.log(top / close), -np.log(bottom / close))
    return farthest, params.k * past_volatility(close) * horizon**0.5


def vol_jump_label(columns: Mapping[str, Array], params: VolJumpParams, span: LabelSpan) -> Array:
    """1 where the realised volatility of t+1..t+h is at least tau times that of t-h+1..t, which must not be 0."""
    import numpy as np

    later, behind = _realised(columns["close"], span.horizon)
    return known_where(~np.isnan(later) & (behind > 0), later >= params.tau * behind)


def vol_jump_ties(columns: Mapping[str, Array], params: VolJumpParams, span: LabelSpan) -> Mask:
    """Rows whose realised volatility ahead is exactly tau times that behind."""
    later, behind = _realised(columns["close"], span.horizon)
    return later == params.tau * behind


def _realised(close: Array, horizon: int) -> tuple[Array, Array]:
    """Square root of the sum of r^2 over t+1..t+h, and over t-h+1..t."""
    import numpy as np

    squared = np.diff(np.log(close), prepend=np.nan) ** 2
    behind = np.sqrt(window_sum(squared, horizon))
    return ahead(behind, horizon), behind


def sideway_yardstick(params: SidewayParams, span: LabelSpan) -> Yardstick:
    """The past volatility."""
    return volatility_yardstick(params, span)


def vol_jump_yardstick(params: VolJumpParams, span: LabelSpan) -> Yardstick:
    """h returns need h + 1 closes."""
    return Yardstick(("close",), span.horizon + 1)


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """Sideways movement and jumps of volatility."""
    yield Target(
        name="target_sideway_detect",
        summary="no close of the next h bars is k vol sqrt(h) or more away, in log terms",
        kind="binary",
        horizon=HORIZON,
        inputs=("close",),
        unit="probability",
        params=SidewayParams,
        yardstick=sideway_yardstick,
        kernel=sideway_label,
        ties=sideway_ties,
    )
    yield Target(
        name="target_vol_jump_prob",
        summary="realised volatility of the next h bars is at least tau times that of the last h",
        kind="binary",
        horizon=HORIZON,
        inputs=("close",),
        unit="probability",
        params=VolJumpParams,
        yardstick=vol_jump_yardstick,
        kernel=vol_jump_label,
        ties=vol_jump_ties,
    )
