"""Labels made of the path over the next h bars (SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import LabelSpan, Params, Target, Yardstick, hookimpl
from tftctl.builtins.targets.returns import close_yardstick, past_volatility, volatility_yardstick
from tftctl.builtins.targets.windows import HORIZON, ahead

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class DrawdownParams(Params):
    """Threshold in past volatilities over the horizon."""

    k: Annotated[float, Field(gt=0)] = 1.0


def realized_vol_label(columns: Mapping[str, Array], params: Params, span: LabelSpan) -> Array:
    """sqrt(B/h sum of r^2 over t+1..t+h), B bars per year."""
    import numpy as np

    close = columns["close"]
    squared = np.diff(np.log(close), prepend=np.nan) ** 2
    total = np.zeros(close.size)
    for step in range(1, span.horizon + 1):
        total += ahead(squared, step)
    return np.sqrt(span.bars_per_year / span.horizon * total)


def max_drawdown(close: Array, horizon: int) -> Array:
    """Deepest fall from a running peak along ln C[t..t+h], closes only, >= 0; NaN past the end."""
    import numpy as np

    log_close = np.log(close)
    peak, deepest = log_close.copy(), np.zeros(close.size)
    for step in range(1, horizon + 1):
        now = ahead(log_close, step)
        peak = np.maximum(peak, now)
        deepest = np.maximum(deepest, peak - now)
    return deepest


def max_drawdown_label(columns: Mapping[str, Array], params: Params, span: LabelSpan) -> Array:
    """Deepest fall from a running peak over the horizon."""
    return max_drawdown(columns["close"], span.horizon)


def drawdown_label(columns: Mapping[str, Array], params: DrawdownParams, span: LabelSpan) -> Array:
    """1 where the deepest fall reaches k vol sqrt(h)."""
    import numpy as np

    deepest, limit = _depths(columns["close"], params, span.horizon)
    return np.where(np.isnan(deepest) | np.isnan(limit), np.nan, deepest >= limit)


def drawdown_ties(columns: Mapping[str, Array], params: DrawdownParams, span: LabelSpan) -> npt.NDArray[np.bool_]:
    """Rows whose deepest fall is exactly k vol sqrt(h)."""
    deepest, limit = _depths(columns["close"], params, span.horizon)
    return deepest == limit


def _depths(close: Array, params: DrawdownParams, horizon: int) -> tuple[Array, Array]:
    """The deepest fall, and k vol sqrt(h)."""
    return max_drawdown(close, horizon), params.k * past_volatility(close) * horizon**0.5


def drawdown_yardstick(params: DrawdownParams, span: LabelSpan) -> Yardstick:
    """The past volatility."""
    return volatility_yardstick(params, span)


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """Realised volatility, drawdown, and whether the drawdown is a large one."""
    yield Target(
        name="target_realized_vol",
        summary="sqrt(B/h sum of r^2 over the next h bars), annualised by B bars per year",
        kind="regression",
        horizon=HORIZON,
        inputs=("close",),
        unit="volatility per year",
        yardstick=close_yardstick,
        kernel=realized_vol_label,
        tail="fat",
    )
    yield Target(
        name="target_max_drawdown",
        summary="deepest fall from a running peak along the next h closes, in log terms",
        kind="regression",
        horizon=HORIZON,
        inputs=("close",),
        unit="log price ratio",
        yardstick=close_yardstick,
        kernel=max_drawdown_label,
        tail="fat",
    )
    yield Target(
        name="target_drawdown_prob",
        summary="target_max_drawdown >= k vol sqrt(h)",
        kind="binary",
        horizon=HORIZON,
        inputs=("close",),
        unit="probability",
        params=DrawdownParams,
        yardstick=drawdown_yardstick,
        kernel=drawdown_label,
        ties=drawdown_ties,
    )
