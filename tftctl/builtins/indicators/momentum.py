"""Momentum: RSI (Wilder 1978) and KDJ (Lane's stochastic with J = 3K - 2D)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.windows import Window, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class RsiParams(Params):
    """Wilder length."""

    period: Window = 14


class KdjParams(Params):
    """Length of the raw stochastic, and of the Wilder means that make K and D."""

    period: Window = 9
    k: Annotated[int, Field(ge=2, le=500)] = 3
    d: Annotated[int, Field(ge=2, le=500)] = 3


def rsi(columns: Mapping[str, Array], params: RsiParams) -> dict[str, Array]:
    """100 * mean gain / (mean gain + mean loss), Wilder's means; 0 where the price never moved."""
    import talib

    return {"rsi": talib.RSI(columns["close"], timeperiod=params.period)}


def kdj(columns: Mapping[str, Array], params: KdjParams) -> dict[str, Array]:
    """RSV = 100 (close - low_n)/(high_n - low_n); K = RMA_k(RSV); D = RMA_d(K); J = 3K - 2D."""
    import talib

    k, d, j = talib.KDJ(
        columns["high"],
        columns["low"],
        columns["close"],
        fastk_period=params.period,
        slowk_period=params.k,
        slowk_matype=talib.MA_Type.RMA,
        slowd_period=params.d,
        slowd_matype=talib.MA_Type.RMA,
    )
    return {"kdj_k": k, "kdj_d": d, "kdj_j": j}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """RSI and KDJ."""
    yield Indicator(
        name="rsi",
        summary="Wilder's relative strength index, 0..100; 0 where the price never moved",
        inputs=lambda p: ("close",),
        outputs=(Output("rsi"),),
        params=RsiParams,
        kernel=rsi,
        first_valid=lambda p: p.period,
        settle=lambda p: wilder_settle(p.period),
        tolerance=1e-9,
    )
    yield Indicator(
        name="kdj",
        summary="stochastic K and D by Wilder's means, and J = 3K - 2D",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("kdj_k"), Output("kdj_d"), Output("kdj_j")),
        params=KdjParams,
        kernel=kdj,
        first_valid=lambda p: p.period + p.k + p.d - 3,
        settle=lambda p: p.period + wilder_settle(p.k) + wilder_settle(p.d),
        tolerance=1e-9,
    )
