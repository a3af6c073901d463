"""Labels of whether the price leaves its recent range, or falls back against its trend (SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import LabelSpan, Params, Target, Yardstick, hookimpl
from tftctl.builtins.targets.windows import (
    HORIZON,
    Bars,
    Factor,
    ahead,
    complete,
    highest,
    known_where,
    lowest,
    window_mean,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Compare = Callable[[Array, Array], Mask]


class BreakoutCountParams(Params):
    """Bars of the recent high, the current one included."""

    n: Bars = 48


class BreakoutProbParams(Params):
    """Bars of the recent range and of the mean volume, and the share by which a close must leave the range."""

    n: Bars = 48
    epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.0015


class PullbackParams(Params):
    """Depth in ATR, bars of the moving average that tells the trend, and bars of the ATR."""

    k: Factor = 1.0
    n: Bars = 48
    atr: Bars = 14


def breakout_count_label(columns: Mapping[str, Array], params: BreakoutCountParams, span: LabelSpan) -> Array:
    """Longest run of consecutive closes in t+1..t+h above H = max(high[t-n+1..t])."""
    import numpy as np

    close, limit = columns["close"], highest(columns["high"], params.n)
    run, longest = np.zeros(close.size), np.zeros(close.size)
    for step in range(1, span.horizon + 1):
        run = np.where(ahead(close, step) > limit, run + 1, 0)
        longest = np.maximum(longest, run)
    return known_where(complete(close.size, span.horizon) & ~np.isnan(limit), longest)


def breakout_label(columns: Mapping[str, Array], params: BreakoutProbParams, span: LabelSpan) -> Array:
    """1 where some close of t+1..t+h leaves the range of the last n bars on more than their mean volume."""
    import numpy as np

    broke = _leaves(columns, params, span, np.greater)
    return known_where(complete(broke.size, span.horizon) & ~np.isnan(window_mean(columns["volume"], params.n)), broke)


def breakout_ties(columns: Mapping[str, Array], params: BreakoutProbParams, span: LabelSpan) -> Mask:
    """Rows without a breakout that a close on the edge of the range, or the mean volume itself, would make."""
    import numpy as np

    return _leaves(columns, params, span, np.greater_equal) & ~_leaves(columns, params, span, np.greater)


def _leaves(columns: Mapping[str, Array], params: BreakoutProbParams, span: LabelSpan, above: Compare) -> Mask:
    """Whether some close of t+1..t+h is beyond the range, on a volume beyond the mean."""
    import numpy as np

    close, volume = columns["close"], columns["volume"]
    upper = highest(columns["high"], params.n) * (1 + params.epsilon)
    lower = lowest(columns["low"], params.n) * (1 - params.epsilon)
    usual = window_mean(volume, params.n)
    broke = np.zeros(close.size, bool)
    for step in range(1, span.horizon + 1):
        now = ahead(close, step)
        broke |= (above(now, upper) | above(lower, now)) & above(ahead(volume, step), usual)
    return broke


def pullback_label(columns: Mapping[str, Array], params: PullbackParams, span: LabelSpan) -> Array:
    """1 where a bar of t+1..t+h reaches k ATR[t] against d = sign(C[t] - SMA_n[t]); undefined where either is 0."""
    import numpy as np

    trend, far, reach = _pullbacks(columns, params, span.horizon)
    known = complete(far.size, span.horizon) & (np.abs(trend) == 1) & (reach > 0)
    return known_where(known, far >= reach)


def pullback_ties(columns: Mapping[str, Array], params: PullbackParams, span: LabelSpan) -> Mask:
    """Rows whose farthest price against the trend is exactly k ATR[t] away."""
    _, far, reach = _pullbacks(columns, params, span.horizon)
    return far == reach


def _pullbacks(columns: Mapping[str, Array], params: PullbackParams, horizon: int) -> tuple[Array, Array, Array]:
    """d, the farthest price of t+1..t+h against it, as a distance from C[t], and k ATR[t]."""
    import numpy as np

    close = columns["close"]
    trend = np.sign(close - window_mean(close, params.n))
    reach = params.k * average_true_range(columns, params.atr)
    fall = close - ahead(lowest(columns["low"], horizon), horizon)
    rise = ahead(highest(columns["high"], horizon), horizon) - close
    return trend, np.where(trend > 0, fall, rise), reach


def average_true_range(columns: Mapping[str, Array], bars: int) -> Array:
    """Plain mean of the true ranges of t-n+1..t; NaN where one of them lacks the close before."""
    import numpy as np

    high, low = columns["high"], columns["low"]
    before = np.append(np.nan, columns["close"][:-1])
    true_range = np.maximum(high, before) - np.minimum(low, before)
    return window_mean(true_range, bars)


def breakout_count_yardstick(params: BreakoutCountParams, span: LabelSpan) -> Yardstick:
    """The recent high."""
    return Yardstick(("high",), params.n)


def breakout_yardstick(params: BreakoutProbParams, span: LabelSpan) -> Yardstick:
    """The recent range and volume."""
    return Yardstick(("high", "low", "volume"), params.n)


def pullback_yardstick(params: PullbackParams, span: LabelSpan) -> Yardstick:
    """The moving average; the true range of the first bar of the ATR needs the close before it."""
    return Yardstick(("high", "low", "close"), max(params.n, params.atr + 1))


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """How long the price stays above its range, whether it leaves it, whether it falls back."""
    yield Target(
        name="target_breakout_count",
        summary="longest run of closes in the next h bars above the high of the last n",
        kind="regression",
        horizon=HORIZON,
        inputs=("high", "close"),
        unit="bars",
        params=BreakoutCountParams,
        yardstick=breakout_count_yardstick,
        kernel=breakout_count_label,
        tail="fat",
    )
    yield Target(
        name="target_breakout_prob",
        summary="a close of the next h bars leaves the range of the last n by epsilon, on more than their mean volume",
        kind="binary",
        horizon=HORIZON,
        inputs=("high", "low", "close", "volume"),
        unit="probability",
        params=BreakoutProbParams,
        yardstick=breakout_yardstick,
        kernel=breakout_label,
        ties=breakout_ties,
    )
    yield Target(
        name="target_pullback_prob",
        summary="a bar of the next h reaches k ATR from the close against the trend of the n-bar mean",
        kind="binary",
        horizon=HORIZON,
        inputs=("high", "low", "close"),
        unit="probability",
        params=PullbackParams,
        yardstick=pullback_yardstick,
        kernel=pullback_label,
        ties=pullback_ties,
    )
