"""Moving averages of the close, the distance of the close to each, and the distance of two of them.

Sources: Mulloy, Smoothing Data with Faster Moving Averages (Stocks & Commodities, 1994) for DEMA and TEMA; Kaufman,
Trading Systems and Methods (1995) for KAMA. TA-Lib's C functions, every parameter explicit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.relative import distance, in_ranges
from tftctl.builtins.indicators.windows import Window, decay_settle, ema_settle, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

# KAMA never moves slower than an EMA of 30 bars, the smoothing of which is squared
KAMA_SLOWEST = 1 - (2 / 31) ** 2


class SmaParams(Params):
    """Bars in the mean."""

    period: Window = 20


class EmaParams(Params):
    """alpha = 2 / (period + 1)."""

    period: Window = 20


class WmaParams(Params):
    """Bars in the mean."""

    period: Window = 20


class KamaParams(Params):
    """Bars of the efficiency ratio; the smoothing moves between EMAs of 2 and 30 bars."""

    period: Window = 10


class MaCrossParams(Params):
    """Lengths and kind of the two averages of the close, and Wilder length of the ATR."""

    fast: Window = 10
    slow: Window = 50
    kind: Literal["sma", "ema"] = "sma"
    atr: Window = 14

    @property
    def longest(self) -> int:
        """The longer of the two averages."""
        return max(self.fast, self.slow)


def ma_cross(columns: Mapping[str, Array], params: MaCrossParams) -> dict[str, Array]:
    """Fast average minus slow average, relative to the slow one and in units of the ATR."""
    import talib

    high, low, close = columns["high"], columns["low"], columns["close"]
    average = talib.EMA if params.kind == "ema" else talib.SMA
    slow = average(close, timeperiod=params.slow)
    apart = average(close, timeperiod=params.fast) - slow
    average_range = talib.ATR(high, low, close, timeperiod=params.atr)
    return {"ma_cross": ratio(apart, slow), "ma_cross_atr": in_ranges(apart, average_range, close)}


def _average(
    name: str, summary: str, params: type[Params], first_valid: Callable[[Any], int], settle: Callable[[Any], int]
) -> Indicator:
    """TA-Lib's average of the close under that name, and the distance of the close to it."""

    def kernel(columns: Mapping[str, Array], params: Any) -> dict[str, Array]:
        import talib

        line = getattr(talib, name.upper())(columns["close"], timeperiod=params.period)
        return {name: line, f"{name}_distance": distance(columns["close"], line)}

    return Indicator(
        name=name,
        summary=f"{summary}; distance is (close - {name}) / close",
        inputs=lambda p: ("close",),
        outputs=(Output(name, "price"), Output(f"{name}_distance")),
        params=params,
        kernel=kernel,
        first_valid=first_valid,
        settle=settle,
        tolerance=1e-9,
    )


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """SMA, EMA, WMA, DEMA, TEMA, KAMA, and the distance of two averages."""
    yield _average("sma", "mean of the last n closes", SmaParams, lambda p: p.period - 1, lambda p: p.period - 1)
    yield _average(
        "ema",
        "exponential mean of the close, alpha = 2/(n+1), seeded with the mean of the first n",
        EmaParams,
        lambda p: p.period - 1,
        lambda p: ema_settle(p.period),
    )
    yield _average(
        "wma",
        "mean of the last n closes with weights 1..n, the latest the heaviest",
        WmaParams,
        lambda p: p.period - 1,
        lambda p: p.period - 1,
    )
    yield _average(
        "dema",
        "2 EMA - EMA(EMA) of the close",
        EmaParams,
        lambda p: 2 * (p.period - 1),
        lambda p: 2 * ema_settle(p.period),
    )
    yield _average(
        "tema",
        "3 EMA - 3 EMA(EMA) + EMA(EMA(EMA)) of the close",
        EmaParams,
        lambda p: 3 * (p.period - 1),
        lambda p: 3 * ema_settle(p.period),
    )
    yield _average(
        "kama",
        "Kaufman's adaptive mean of the close: fast where it moves one way, and where it stands still",
        KamaParams,
        lambda p: p.period,
        lambda p: p.period + decay_settle(KAMA_SLOWEST),
    )
    yield Indicator(
        name="ma_cross",
        summary="distance of a fast to a slow average of the close: (fast - slow)/slow, and in ATR (null for ATR 0)",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(
            Output("ma_cross", settle=_ma_cross_settle),
            Output("ma_cross_atr", first_valid=lambda p: max(p.longest - 1, p.atr)),
        ),
        params=MaCrossParams,
        kernel=ma_cross,
        first_valid=lambda p: p.longest - 1,
        settle=lambda p: max(_ma_cross_settle(p), wilder_settle(p.atr)),
        tolerance=1e-9,
    )


def _ma_cross_settle(params: MaCrossParams) -> int:
    return ema_settle(params.longest) if params.kind == "ema" else params.longest - 1
