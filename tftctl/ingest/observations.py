"""What the user should know about bars that were accepted all the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.calendars import Calendar
from tftctl.core.periods import period_ms
from tftctl.core.times import iso
from tftctl.ingest.bars import REASON, span_text
from tftctl.ingest.columns import ColumnMap

JUMP = math.log(2)
LONG_RUN = 24
THIN = 0.25
MANY_HOLES = 0.05
MANY_BESIDE = 5
LAST_MOMENT_MS = 1000


def observe_columns(columns: ColumnMap) -> list[str]:
    """Columns that nothing is made of."""
    if not columns.ignored:
        return []
    return [f"columns not used: {', '.join(columns.ignored)} (keep one with --extra NAME)"]


def observe_refusals(refused: pl.DataFrame, calendar: Calendar, period: str) -> list[str]:
    """Where most refused bars open as far beside the calendar's grid as each other."""
    stamps = refused.filter(pl.col(REASON).str.ends_with("opens then"))["timestamp"].to_numpy()
    if stamps.size < MANY_BESIDE or calendar.name != "24x7":
        return []
    late = stamps - (calendar.next_open(period, stamps) - period_ms(period))
    found, counts = np.unique(late, return_counts=True)
    usual = int(found[counts.argmax()])
    if period_ms(period) - usual <= LAST_MOMENT_MS:
        return [f"{counts.max():,} times stand at the end of a {period} bar; a bar is stamped with its open"]
    return [f"{counts.max():,} bars open {span_text(usual)} after the {period} grid of UTC; if they are an exchange's, "
            "name its calendar (--calendar XNYS); if they are local times, their zone (--timezone)"]  # fmt: skip


def observe(bars: pl.DataFrame, calendar: Calendar, period: str) -> list[str]:
    """Price jumps above a factor 2, long runs without volume, extras at or below zero, a calendar that hardly fits."""
    if bars.is_empty():
        return []
    return [note for note in (_jumps(bars), _still(bars), _adjusted(bars), _thin(bars, calendar, period)) if note]


def _jumps(bars: pl.DataFrame) -> str | None:
    steps = np.abs(np.diff(np.log(bars["close"].to_numpy())))
    at = np.flatnonzero(steps > JUMP)
    if not at.size:
        return None
    first = iso(bars["timestamp"][int(at[0]) + 1])
    return f"{at.size} price jumps above a factor 2, the first at {first}: a split, or another company?"


def _still(bars: pl.DataFrame) -> str | None:
    none = bars["volume"] == 0
    if not none.any():
        return None
    runs = none.rle().struct.unnest()
    longest = runs.filter(pl.col("value"))["len"].max()
    if not isinstance(longest, int) or longest < LONG_RUN:
        return None
    return f"{int(none.sum()):,} bars without volume, up to {longest:,} in a row"


def _adjusted(bars: pl.DataFrame) -> str | None:
    if "adj_close" not in bars.columns:
        return None
    count = int((bars["adj_close"] <= 0).sum())
    return f"adj_close is not above zero in {count:,} bars; prices of bars are not made from it" if count else None


def _thin(bars: pl.DataFrame, calendar: Calendar, period: str) -> str | None:
    if calendar.name != "24x7" or bars.height < 100:
        return None
    stamps: Any = bars["timestamp"]
    expected = calendar.slots(period, int(stamps.min()), int(stamps.max())).open_ms.size
    missing = 1 - bars.height / expected
    holes = int((stamps.diff() > period_ms(period)).sum())
    if missing < THIN or holes < MANY_HOLES * bars.height:
        return None
    return (
        f"{missing:.0%} of the bars that a market open day and night would have are missing; if this one is not, "
        "name its calendar: --calendar XNYS --prefer new"
    )
