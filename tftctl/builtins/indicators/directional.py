"""Direction of highs and lows: ADX and DI, as TA-Lib defines them, and TA-Lib's C functions for Aroon and Vortex.

Sources: Wilder, New Concepts in Technical Trading Systems (1978) for ADX and DI; Chande (1995) for Aroon; Botes and
Siepman, The Vortex Indicator (Stocks & Commodities, 2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.windows import Window, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class AdxParams(Params):
    """Wilder length."""

    period: Window = 14


class AroonParams(Params):
    """Bars before the current one in which the extremes are looked for."""

    period: Window = 14


class VortexParams(Params):
    """Bars in the sums."""

    period: Window = 14


def adx(columns: Mapping[str, Array], params: AdxParams) -> dict[str, Array]:
    """Average directional movement index and the directional indicators, 0..100."""
    from tftctl.builtins.indicators.kernels_recursions import directional_movement

    index, plus, minus = directional_movement(columns["high"], columns["low"], columns["close"], params.period)
    return {"adx": index, "plus_di": plus, "minus_di": minus}


def aroon(columns: Mapping[str, Array], params: AroonParams) -> dict[str, Array]:
    """100 (n - bars since the highest high, or lowest low, of n+1 bars) / n; of ties the latest counts."""
    import talib

    down, up = talib.AROON(columns["high"], columns["low"], timeperiod=params.period)
    return {"aroon_up": up, "aroon_down": down, "aroon_oscillator": up - down}


def vortex(columns: Mapping[str, Array], params: VortexParams) -> dict[str, Array]:
    """Sums over n bars of |high - low before| and |low - high before|, divided by that of true ranges."""
    import talib

    plus, minus = talib.VORTEX(columns["high"], columns["low"], columns["close"], timeperiod=params.period)
    return {"vortex_plus": plus, "vortex_minus": minus}


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """ADX with +DI and -DI, Aroon, Vortex."""
    yield Indicator(
        name="adx",
        summary="Wilder's average directional index with +DI and -DI, 0..100; 0 where the price never moves",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(
            Output("adx", first_valid=lambda p: 2 * p.period - 1, settle=lambda p: 2 * wilder_settle(p.period)),
            Output("plus_di"),
            Output("minus_di"),
        ),
        params=AdxParams,
        kernel=adx,
        first_valid=lambda p: p.period,
        settle=lambda p: wilder_settle(p.period),
        tolerance=1e-9,
    )
    yield Indicator(
        name="aroon",
        summary="how lately the highest high (up) and lowest low (down) were, 0..100, and up - down; flat: 100, 100, 0",
        inputs=lambda p: ("high", "low"),
        outputs=(Output("aroon_up"), Output("aroon_down"), Output("aroon_oscillator")),
        params=AroonParams,
        kernel=aroon,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
    )
    yield Indicator(
        name="vortex",
        summary="upward and downward movement between bars in true ranges, around 1; 0 where the price never moves",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("vortex_plus"), Output("vortex_minus")),
        params=VortexParams,
        kernel=vortex,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
        tolerance=1e-9,
    )
