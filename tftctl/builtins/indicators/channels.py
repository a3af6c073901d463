"""Channels around the price: Donchian and Keltner. TA-Lib's C functions, every parameter explicit.

Sources: Donchian's rule of n-day highs and lows (1960); Keltner, How to Make Money in Commodities (1960), with Wilder's
ATR for the width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.relative import position
from tftctl.builtins.indicators.windows import Window, ema_settle, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class DonchianParams(Params):
    """Bars in the window, the current one among them."""

    period: Window = 20


class KeltnerParams(Params):
    """Length of the EMA, Wilder length of the ATR, and the half width in ATR."""

    period: Window = 20
    atr: Window = 10
    k: Annotated[float, Field(gt=0)] = 2.0


def donchian(columns: Mapping[str, Array], params: DonchianParams) -> dict[str, Array]:
    """Highest high and lowest low of n bars, their middle, the close's place between them, and the width."""
    import talib

    upper, middle, lower = talib.DONCHIAN(columns["high"], columns["low"], timeperiod=params.period)
    return _channel("donchian", columns["close"], (upper, middle, lower))


def keltner(columns: Mapping[str, Array], params: KeltnerParams) -> dict[str, Array]:
    """EMA of (high + low + close)/3 with k ATR on both sides, the close's place between them, and the width."""
    import talib

    upper, middle, lower = talib.KC(
        columns["high"],
        columns["low"],
        columns["close"],
        timeperiod=params.period,
        atrperiod=params.atr,
        nbdev=params.k,
    )
    return _channel("keltner", columns["close"], (upper, middle, lower))


def _channel(name: str, close: Array, lines: tuple[Array, Array, Array]) -> dict[str, Array]:
    upper, middle, lower = lines
    return {
        f"{name}_upper": upper,
        f"{name}_middle": middle,
        f"{name}_lower": lower,
        f"{name}_position": position(close, lower, upper),
        f"{name}_width": ratio(upper - lower, close),
    }


def _outputs(name: str) -> tuple[Output, ...]:
    lines = tuple(Output(f"{name}_{line}", "price") for line in ("upper", "middle", "lower"))
    return (*lines, Output(f"{name}_position"), Output(f"{name}_width"))


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Donchian and Keltner channels."""
    yield Indicator(
        name="donchian",
        summary="channel of the highest high and lowest low; position 0..1 (null where flat), width / close",
        inputs=lambda p: ("high", "low", "close"),
        outputs=_outputs("donchian"),
        params=DonchianParams,
        kernel=donchian,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
    )
    yield Indicator(
        name="keltner",
        summary="channel of k ATR around an EMA of the typical price; position (null for ATR 0), width / close",
        inputs=lambda p: ("high", "low", "close"),
        outputs=_outputs("keltner"),
        params=KeltnerParams,
        kernel=keltner,
        first_valid=lambda p: max(p.period - 1, p.atr),
        settle=lambda p: max(ema_settle(p.period), wilder_settle(p.atr)),
        tolerance=1e-9,
    )
