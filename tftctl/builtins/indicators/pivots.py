"""Pivot points of the previous day, week or month, and where the close stands between them.

Source: the floor traders' formulas as in Murphy, Technical Analysis of the Financial Markets (1999).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from tftctl.api import Indicator, Output, Params, hookimpl, period_ms
from tftctl.builtins.indicators.ratios import ratio

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Anchor = Literal["1d", "1w", "1mo"]

LEVELS = ("pivot", "pivot_r1", "pivot_r2", "pivot_s1", "pivot_s2")
_MONDAY_MS = 4 * period_ms("1d")  # 1970-01-05 was a Monday
_LONGEST_DAYS = {"1d": 2, "1w": 14, "1mo": 62}  # two periods in a row


class PivotParams(Params):
    """The period that gives the levels: UTC days, weeks from Monday, or calendar months."""

    anchor: Anchor = "1d"


def pivot_points(columns: Mapping[str, Array], params: PivotParams) -> dict[str, Array]:
    """P = (H + L + C)/3, R1 = 2P - L, R2 = P + (H - L), S1 = 2P - H, S2 = P - (H - L) of the period before.

    A bar as long as the anchor, or longer, has the bar before as its period. In the first period of a segment the
    bars of the segment before the current one stand in for it, and the next period sees only those bars of it.
    Distances are (close - level)/close, the position is (close - P)/(H - L), undefined where H = L.
    """
    close = columns["close"]
    high, low, last = _previous(columns, params.anchor)
    middle, width = (high + low + last) / 3, high - low
    levels = (middle, 2 * middle - low, middle + width, 2 * middle - high, middle - width)
    made = dict(zip(LEVELS, levels, strict=True))
    made |= {f"{name}_distance": (close - level) / close for name, level in made.items()}
    return made | {"pivot_position": ratio(close - middle, width)}


def _previous(columns: Mapping[str, Array], anchor: Anchor) -> tuple[Array, Array, Array]:
    """High, low and close of the period before each bar's own; NaN at the first bar."""
    import numpy as np

    high, low, close = columns["high"], columns["low"], columns["close"]
    number = _period_number(columns["timestamp"], anchor)
    starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    before = np.repeat(np.arange(starts.size), np.diff(starts, append=number.size)) - 1
    ends = np.append(starts[1:], number.size) - 1
    of_period = (np.maximum.reduceat(high, starts), np.minimum.reduceat(low, starts), close[ends])
    so_far = (np.maximum.accumulate(high), np.minimum.accumulate(low), close)
    first, second, third = (
        np.where(before < 0, np.append(np.nan, stand_in[:-1]), whole[before])
        for whole, stand_in in zip(of_period, so_far, strict=True)
    )
    return first, second, third


def _period_number(timestamps: Array, anchor: Anchor) -> npt.NDArray[np.int64]:
    """Days, weeks or months since 1970 of the open times."""
    import numpy as np

    stamps = timestamps.astype(np.int64)
    if anchor == "1mo":
        return stamps.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    return (stamps - _MONDAY_MS) // period_ms(anchor)


def _settle(params: PivotParams, period: str) -> int:
    """As many bars as open within two of the anchor's periods, less one; the bar before at least."""
    longest = _LONGEST_DAYS[params.anchor] * period_ms("1d")
    return max(-(-longest // period_ms(period)) - 1, 1)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Pivot points."""
    yield Indicator(
        name="pivot_points",
        summary="floor traders' pivots of the previous UTC day, week or month, and the close's distance from each",
        inputs=lambda p: ("timestamp", "high", "low", "close"),
        outputs=(
            *(Output(name, "price") for name in LEVELS),
            *(Output(f"{name}_distance") for name in LEVELS),
            Output("pivot_position"),
        ),
        params=PivotParams,
        kernel=pivot_points,
        first_valid=lambda p: 1,
        settle=_settle,
    )
