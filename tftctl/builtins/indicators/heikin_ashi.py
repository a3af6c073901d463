"""Heikin-Ashi candles (Valcu, Stocks & Commodities, 2004): body, direction, and how long it has held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.relative import STANDSTILL
from tftctl.builtins.indicators.windows import decay_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

# The open halves its distance to the start with each bar: after so many it is the same number, and its sign with it
LAST_BIT = 60


class HeikinAshiParams(Params):
    """The length at which a run of candles of one direction is no longer counted on."""

    longest: Annotated[int, Field(ge=1, le=500)] = 20


def heikin_ashi(columns: Mapping[str, Array], params: HeikinAshiParams) -> dict[str, Array]:
    """Close = (open + high + low + close)/4, open = mean of the open and close before; begins at (open + close)/2.

    body = (close - open)/close of the bar; direction = its sign, 0 up to 1e-12; run = candles in a row of that
    direction, signed.
    """
    import numpy as np
    import talib

    start, _, _, end = talib.HA(columns["open"], columns["high"], columns["low"], columns["close"])
    body = ratio(end - start, columns["close"])
    direction = np.where(np.abs(body) > STANDSTILL, np.sign(body), 0.0)
    return {
        "heikin_ashi_body": body,
        "heikin_ashi_direction": direction,
        "heikin_ashi_run": direction * np.minimum(_run_lengths(direction), params.longest),
    }


def _run_lengths(signs: Array) -> Array:
    """How many values in a row, the current one among them, are equal."""
    import numpy as np

    bars = np.arange(signs.size, dtype=np.float64)
    turns = np.diff(signs, prepend=np.nan) != 0
    return bars - np.maximum.accumulate(np.where(turns, bars, 0.0)) + 1.0


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Heikin-Ashi trend."""
    yield Indicator(
        name="heikin_ashi",
        summary="Heikin-Ashi body / close, its direction 1, 0 or -1, and the signed length of the run of one direction",
        inputs=lambda p: ("open", "high", "low", "close"),
        outputs=(
            Output("heikin_ashi_body"),
            Output("heikin_ashi_direction", settle=lambda p: LAST_BIT),
            Output("heikin_ashi_run", settle=lambda p: LAST_BIT + p.longest),
        ),
        params=HeikinAshiParams,
        kernel=heikin_ashi,
        settle=lambda p: decay_settle(0.5),
        tolerance=1e-9,
    )
