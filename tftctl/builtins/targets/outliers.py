"""Labels of whether the next return is an extreme one (SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import LabelSpan, Params, Target, Yardstick, hookimpl
from tftctl.builtins.targets.windows import Bars, ahead, complete, known_where

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

NEXT_BAR = {"1h": 1, "4h": 1, "1d": 1, "*": 1}


class OutlierParams(Params):
    """Returns that the quantile is taken of."""

    n: Bars = 96


def lower_outlier_label(columns: Mapping[str, Array], params: OutlierParams, span: LabelSpan) -> Array:
    """1 where r[t+1] is below the 10 % quantile of r[t-n+1..t]."""
    following, limit, known = _returns(columns["close"], 0.1, params.n, span.horizon)
    return known_where(known, following < limit)


def upper_outlier_label(columns: Mapping[str, Array], params: OutlierParams, span: LabelSpan) -> Array:
    """1 where r[t+1] is above the 90 % quantile of r[t-n+1..t]."""
    following, limit, known = _returns(columns["close"], 0.9, params.n, span.horizon)
    return known_where(known, following > limit)


def lower_outlier_ties(columns: Mapping[str, Array], params: OutlierParams, span: LabelSpan) -> Mask:
    """Rows with r[t+1] at the 10 % quantile."""
    following, limit, _ = _returns(columns["close"], 0.1, params.n, span.horizon)
    return following == limit


def upper_outlier_ties(columns: Mapping[str, Array], params: OutlierParams, span: LabelSpan) -> Mask:
    """Rows with r[t+1] at the 90 % quantile."""
    following, limit, _ = _returns(columns["close"], 0.9, params.n, span.horizon)
    return following == limit


def _returns(close: Array, share: float, bars: int, horizon: int) -> tuple[Array, Array, Mask]:
    """The next return (whatever the horizon), the quantile (linear) of the last n, and where the label is known."""
    import numpy as np
    import polars as pl

    returns = np.diff(np.log(close), prepend=np.nan)
    series = pl.Series(returns).fill_nan(None)
    limit = series.rolling_quantile(share, "linear", bars).fill_null(float("nan")).to_numpy()
    return ahead(returns, 1), limit, complete(close.size, horizon) & ~np.isnan(limit)


def outlier_yardstick(params: OutlierParams, span: LabelSpan) -> Yardstick:
    """n returns need n + 1 closes."""
    return Yardstick(("close",), params.n + 1)


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """Returns below and above those of the last n bars."""
    yield Target(
        name="target_return_outlier_lower_10",
        summary="the next return is strictly below the 10 % quantile of the last n",
        kind="binary",
        horizon=NEXT_BAR,
        inputs=("close",),
        unit="probability",
        params=OutlierParams,
        yardstick=outlier_yardstick,
        kernel=lower_outlier_label,
        ties=lower_outlier_ties,
    )
    yield Target(
        name="target_return_outlier_upper_90",
        summary="the next return is strictly above the 90 % quantile of the last n",
        kind="binary",
        horizon=NEXT_BAR,
        inputs=("close",),
        unit="probability",
        params=OutlierParams,
        yardstick=outlier_yardstick,
        kernel=upper_outlier_label,
        ties=upper_outlier_ties,
    )
