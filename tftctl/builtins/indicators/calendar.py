"""Calendar: hour of the day and day of the week as points on a circle, known for any bar in advance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl, period_ms

if TYPE_CHECKING:
    import polars as pl

DAY_MS = period_ms("1d")
WEEK_MS = period_ms("1w")
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05 was a Monday


def day_clock(params: Params) -> list[dict[str, pl.Expr]]:
    """Sine and cosine of the open time within the UTC day."""
    import polars as pl

    angle = (pl.col("timestamp") % DAY_MS) * (2 * math.pi / DAY_MS)
    return [{"hour_sin": angle.sin(), "hour_cos": angle.cos()}]


def week_clock(params: Params) -> list[dict[str, pl.Expr]]:
    """Sine and cosine of the UTC weekday, Monday first."""
    import polars as pl

    weekday = ((pl.col("timestamp") - _MONDAY_MS) % WEEK_MS) // DAY_MS
    angle = weekday * (2 * math.pi / 7)
    return [{"weekday_sin": angle.sin(), "weekday_cos": angle.cos()}]


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Hour and weekday."""
    yield Indicator(
        name="day_clock",
        summary="sine and cosine of the bar's open time within the UTC day",
        inputs=lambda p: ("timestamp",),
        outputs=(Output("hour_sin"), Output("hour_cos")),
        expr=day_clock,
        known=True,
    )
    yield Indicator(
        name="week_clock",
        summary="sine and cosine of the UTC weekday of the bar's open time",
        inputs=lambda p: ("timestamp",),
        outputs=(Output("weekday_sin"), Output("weekday_cos")),
        expr=week_clock,
        known=True,
    )
