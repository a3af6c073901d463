"""The triple-barrier label (Lopez de Prado, Advances in Financial Machine Learning, 2018; SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import LabelSpan, Params, Target, Yardstick, hookimpl
from tftctl.builtins.targets.returns import past_volatility, volatility_yardstick
from tftctl.builtins.targets.windows import HORIZON, Factor, ahead, complete, known_where

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]


class BarrierParams(Params):
    """Distance of the barriers in past volatilities over the horizon."""

    k: Factor = 1.0


def triple_barrier_label(columns: Mapping[str, Array], params: BarrierParams, span: LabelSpan) -> Array:
    """1 where bars t+1..t+h reach C[t] exp(k vol sqrt(h)) before C[t] exp(-k vol sqrt(h)), else 0.

    A bar that opens at or beyond a barrier hits that one; one that reaches both later on hits the lower.
    """
    return _barriers(columns, params, span)[0]


def both_barriers(columns: Mapping[str, Array], params: BarrierParams, span: LabelSpan) -> Mask:
    """Rows whose first bar to reach a barrier opens between both and reaches both."""
    return _barriers(columns, params, span)[1]


def _barriers(columns: Mapping[str, Array], params: BarrierParams, span: LabelSpan) -> tuple[Array, Mask]:
    """The label, and where the order of prices inside one bar decides it."""
    import numpy as np

    close = columns["close"]
    width = params.k * past_volatility(close) * span.horizon**0.5
    upper, lower = close * np.exp(width), close * np.exp(-width)
    undecided, label, unsure = np.ones(close.size, bool), np.zeros(close.size), np.zeros(close.size, bool)
    for step in range(1, span.horizon + 1):
        opened, high, low = (ahead(columns[name], step) for name in ("open", "high", "low"))
        hits_lower = low <= lower
        hits_upper = (opened >= upper) | ((high >= upper) & ~hits_lower)
        label[undecided & hits_upper] = 1
        unsure |= undecided & (high >= upper) & hits_lower & (lower < opened) & (opened < upper)
        undecided &= ~(hits_upper | hits_lower)
    return known_where(complete(close.size, span.horizon) & ~np.isnan(width), label), unsure


def barrier_yardstick(params: BarrierParams, span: LabelSpan) -> Yardstick:
    """The past volatility."""
    return volatility_yardstick(params, span)


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """Which of two barriers is reached first."""
    yield Target(
        name="target_triple_barrier",
        summary="the barrier k vol sqrt(h) above the close is reached before the one below, within h bars",
        kind="binary",
        horizon=HORIZON,
        inputs=("open", "high", "low", "close"),
        unit="probability",
        params=BarrierParams,
        yardstick=barrier_yardstick,
        kernel=triple_barrier_label,
        inside_bar=both_barriers,
    )
