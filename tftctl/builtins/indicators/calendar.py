"""Calendar: what the open time alone says, and is therefore known for any bar in advance. All times are UTC."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl, period_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]
    Stages = list[dict[str, pl.Expr]]

HOUR_MS = period_ms("1h")
DAY_MS = period_ms("1d")
WEEK_MS = period_ms("1w")
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05 was a Monday

Hour = Annotated[int, Field(ge=0, le=24)]


class SessionParams(Params):
    """First hour of each session and the hour after its last; an end below the start runs over midnight.

    The defaults are business hours in Tokyo (09-18), London (07-16 in winter, 08-17 in summer) and New York
    (08-17 in winter, 09-18 in summer), the usual division of the day in markets that never close.
    """

    asia_start: Hour = 0
    asia_end: Hour = 9
    europe_start: Hour = 7
    europe_end: Hour = 16
    us_start: Hour = 13
    us_end: Hour = 22


class WeekCloseParams(Params):
    """When the week closes: weekday (Monday 0 .. Sunday 6) and hour. Sunday 24:00; Friday 21:00 is 4, 21."""

    weekday: Annotated[int, Field(ge=0, le=6)] = 6
    hour: Hour = 24


def day_clock(params: Params) -> Stages:
    """Sine and cosine of the open time within the UTC day."""
    import polars as pl

    angle = (pl.col("timestamp") % DAY_MS) * (2 * math.pi / DAY_MS)
    return [{"hour_sin": angle.sin(), "hour_cos": angle.cos()}]


def week_clock(params: Params) -> Stages:
    """Sine and cosine of the UTC weekday, Monday first."""
    import polars as pl

    weekday = ((pl.col("timestamp") - _MONDAY_MS) % WEEK_MS) // DAY_MS
    angle = weekday * (2 * math.pi / 7)
    return [{"weekday_sin": angle.sin(), "weekday_cos": angle.cos()}]


def year_clock(params: Params) -> Stages:
    """Sine and cosine of the UTC month, January first."""
    import polars as pl

    month = pl.from_epoch("timestamp", time_unit="ms").dt.month().cast(pl.Float64)
    angle = (month - 1) * (2 * math.pi / 12)
    return [{"month_sin": angle.sin(), "month_cos": angle.cos()}]


def trading_sessions(params: SessionParams) -> Stages:
    """1 where the bar opens within the session's hours, else 0. Bars of a day or more all open at midnight."""
    import polars as pl

    sessions = {
        "session_asia": (params.asia_start, params.asia_end),
        "session_europe": (params.europe_start, params.europe_end),
        "session_us": (params.us_start, params.us_end),
    }
    return [{name: _within(start * HOUR_MS, end * HOUR_MS).cast(pl.Float64) for name, (start, end) in sessions.items()}]


def week_close(columns: Mapping[str, Array], params: WeekCloseParams) -> dict[str, Array]:
    """Hours from the bar's open to the next close of the week, above 0 and up to 168."""
    close_ms = params.weekday * DAY_MS + params.hour * HOUR_MS
    since_close = (columns["timestamp"] - _MONDAY_MS - close_ms) % WEEK_MS
    return {"hours_to_week_close": (WEEK_MS - since_close) / HOUR_MS}


def month_end(columns: Mapping[str, Array], params: Params) -> dict[str, Array]:
    """Days from the bar's open to the end of its UTC month, above 0 and up to 31."""
    import numpy as np

    opened = columns["timestamp"]
    next_month = opened.astype("datetime64[ms]").astype("datetime64[M]") + 1
    end = next_month.astype("datetime64[ms]").astype(np.int64)
    return {"days_to_month_end": (end - opened) / DAY_MS}


def _within(start: int, end: int) -> pl.Expr:
    """Whether a bar opens in start <= milliseconds of the day < end, on the circle of the day."""
    import polars as pl

    opened = pl.col("timestamp") % DAY_MS
    if start <= end:
        return (opened >= start) & (opened < end)
    return (opened >= start) | (opened < end)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Hour, weekday and month, sessions, and what is left of the week and the month."""
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
    yield Indicator(
        name="year_clock",
        summary="sine and cosine of the UTC month of the bar's open time",
        inputs=lambda p: ("timestamp",),
        outputs=(Output("month_sin"), Output("month_cos")),
        expr=year_clock,
        known=True,
    )
    yield Indicator(
        name="trading_sessions",
        summary="whether the bar opens within business hours in Asia (0-9 UTC), Europe (7-16) and the US (13-22)",
        inputs=lambda p: ("timestamp",),
        outputs=(Output("session_asia"), Output("session_europe"), Output("session_us")),
        params=SessionParams,
        expr=trading_sessions,
        known=True,
    )
    yield Indicator(
        name="week_close",
        summary="hours from the bar's open to the close of the week (Sunday 24:00 UTC)",
        inputs=lambda p: ("timestamp",),
        outputs=(Output("hours_to_week_close"),),
        params=WeekCloseParams,
        kernel=week_close,
        known=True,
    )
    yield Indicator(
        name="month_end",
        summary="days from the bar's open to the end of its UTC month",
        inputs=lambda p: ("timestamp",),
        outputs=(Output("days_to_month_end"),),
        kernel=month_end,
        known=True,
    )
