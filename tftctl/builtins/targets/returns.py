"""Labels made of the return over the next h bars (SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import LabelSpan, Params, Target, Yardstick, hookimpl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

VOLATILITY_BARS = 100


def forward_return(close: Array, horizon: int) -> Array:
    """ln(C[t+h] / C[t]); NaN in the last h bars."""
    import numpy as np

    ahead = np.full(close.size, np.nan)
    if close.size > horizon:
        ahead[:-horizon] = np.log(close[horizon:] / close[:-horizon])
    return ahead


def past_volatility(close: Array) -> Array:
    """Standard deviation (ddof 1) of the last 100 log returns r[t-99..t]; NaN where it is missing or 0."""
    import numpy as np
    import polars as pl

    returns = np.diff(np.log(close), prepend=np.nan)
    series = pl.Series(returns).fill_nan(None)
    volatility = series.rolling_std(VOLATILITY_BARS, ddof=1).fill_null(float("nan")).to_numpy()
    moved = series.ne(0.0).cast(pl.UInt32).rolling_sum(VOLATILITY_BARS).fill_null(0).to_numpy() > 0
    return np.where(moved & (volatility > 0), volatility, np.nan)


def volatility_yardstick(params: Params, span: LabelSpan) -> Yardstick:
    """100 returns need 101 closes."""
    return Yardstick(("close",), VOLATILITY_BARS + 1)


def close_yardstick(params: Params, span: LabelSpan) -> Yardstick:
    """The close of bar t, from which the return is counted."""
    return Yardstick(("close",), 1)


def log_return_label(columns: Mapping[str, Array], params: Params, span: LabelSpan) -> Array:
    """ln(C[t+h] / C[t])."""
    return forward_return(columns["close"], span.horizon)


def binary_trend_label(columns: Mapping[str, Array], params: Params, span: LabelSpan) -> Array:
    """1 where ln(C[t+h] / C[t]) > 0, a tie is 0."""
    import numpy as np

    ahead = forward_return(columns["close"], span.horizon)
    return np.where(np.isnan(ahead), np.nan, ahead > 0)


def equal_closes(columns: Mapping[str, Array], params: Params, span: LabelSpan) -> npt.NDArray[np.bool_]:
    """Rows with C[t+h] = C[t]."""
    return forward_return(columns["close"], span.horizon) == 0


def log_sharpe_label(columns: Mapping[str, Array], params: Params, span: LabelSpan) -> Array:
    """ln(C[t+h] / C[t]) / (vol sqrt(h))."""
    close = columns["close"]
    return forward_return(close, span.horizon) / (past_volatility(close) * span.horizon**0.5)


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """Log return, its sign, and its size in units of past volatility."""
    yield Target(
        name="target_logreturn",
        summary="ln(C[t+h] / C[t])",
        kind="regression",
        horizon={"1h": 1, "4h": 1, "1d": 1, "*": 1},
        inputs=("close",),
        unit="log return",
        yardstick=close_yardstick,
        kernel=log_return_label,
        tail="fat",
        ties=equal_closes,
    )
    yield Target(
        name="target_binarytrend",
        summary="ln(C[t+h] / C[t]) > 0; a tie is 0",
        kind="binary",
        horizon={"1h": 1, "4h": 1, "1d": 1, "*": 1},
        inputs=("close",),
        unit="probability",
        yardstick=close_yardstick,
        kernel=binary_trend_label,
        ties=equal_closes,
    )
    yield Target(
        name="target_logsharpe_ratio",
        summary="ln(C[t+h] / C[t]) / (vol sqrt(h)), vol the standard deviation of the last 100 log returns",
        kind="regression",
        horizon={"1h": 1, "4h": 1, "1d": 1, "*": 1},
        inputs=("close",),
        unit="past volatilities",
        yardstick=volatility_yardstick,
        kernel=log_sharpe_label,
        tail="fat",
    )
