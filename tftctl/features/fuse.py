"""Fusion of periods and macro series by what was available when (SEMANTICS F4, F5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tftctl.core.calendars import Calendar
from tftctl.core.frequencies import advance, period_end
from tftctl.core.names import age_column, context_column
from tftctl.core.periods import HOUR_MS


@dataclass(frozen=True, slots=True)
class Context:
    """Feature rows of one symbol at a slower period; `columns` are what faster rows shall see."""

    period: str
    rows: pl.DataFrame
    columns: tuple[str, ...]
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class MacroSeries:
    """One series: rows timestamp, available_at, value, in order of available_at. `stamp` dates start or end (T6)."""

    name: str
    rows: pl.DataFrame
    frequency: str
    stamp: str = "start"


def fuse_context(rows: pl.DataFrame, context: Context, max_stale: int) -> pl.DataFrame:
    """Add `<column>__<q>` and `age__<q>` (hours) to one symbol's rows.

    Each row sees the last real q bar with available_at <= its own; at equal available_at the latest timestamp.
    The values are null once more than `max_stale` expected q bars have become due since that bar; the age stays.
    """
    real = context.rows.filter(~pl.col("is_filled")).select("timestamp", "available_at", *context.columns)
    joined = _last_known(rows, real, context.columns)
    stale = _bars_due_since(joined, context) > max_stale
    names = {column: context_column(column, context.period) for column in context.columns}
    return rows.with_columns(_visible(joined, names, stale, age_column(context.period)))


def fuse_macro(rows: pl.DataFrame, series: MacroSeries, max_stale: int) -> pl.DataFrame:
    """Add `<series>` and `age__<series>`: the last value published at or before each row.

    Null once more than `max_stale` later releases should have come out (one reference period apart).
    """
    joined = _last_known(rows, series.rows, ("value",))
    due = _due(joined, series, max_stale + 1)
    stale = joined["available_at"].to_numpy() >= due
    return rows.with_columns(_visible(joined, {"value": series.name}, stale, age_column(series.name)))


def _due(joined: pl.DataFrame, series: MacroSeries, periods: int) -> np.ndarray:
    """When the value of `periods` reference periods later should come out, as late after its period as this one did."""
    stamps = joined["__timestamp"].to_numpy()
    lag = joined["__available_at"].to_numpy() - period_end(stamps, series.frequency, series.stamp)
    return period_end(advance(stamps, series.frequency, periods), series.frequency, series.stamp) + lag


def _last_known(rows: pl.DataFrame, known: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """rows' available_at, whether there is a match (`__known`), its __timestamp, __available_at and columns."""
    left = rows.select("available_at").with_row_index("__row").sort("available_at", maintain_order=True)
    right = known.sort("available_at", "timestamp").select(
        pl.col("timestamp").alias("__timestamp"),
        pl.col("available_at").alias("__available_at"),
        pl.col("available_at").alias("__key"),
        *(pl.col(name).alias(f"__v_{name}") for name in columns),
    )
    right = right.unique(subset="__key", keep="last", maintain_order=True)
    joined = left.join_asof(right, left_on="available_at", right_on="__key", strategy="backward")
    instants = pl.col("__timestamp", "__available_at")
    matched = pl.col("__timestamp").is_not_null().alias("__known")
    return joined.sort("__row").with_columns(matched, instants.fill_null(0))


def _bars_due_since(joined: pl.DataFrame, context: Context) -> np.ndarray:
    """Expected q bars that have become due after the matched bar, up to the row's own instant."""
    at, seen = joined["available_at"].to_numpy(), joined["__timestamp"].to_numpy()
    known = joined["__known"].to_numpy()
    if not known.any():
        return np.zeros(at.size, np.int64)
    first = int(seen[known].min())
    slots = context.calendar.slots(context.period, first, int(at.max()))
    due = np.searchsorted(slots.due_ms, at, side="right")
    used = np.searchsorted(slots.open_ms, seen, side="right")
    return due - used


def _visible(joined: pl.DataFrame, names: dict[str, str], stale: np.ndarray, age: str) -> list[pl.Series]:
    known = joined["__known"].to_numpy()
    hours = (joined["available_at"].to_numpy() - joined["__available_at"].to_numpy()) / HOUR_MS
    shown = joined.with_columns(__keep=pl.Series(known & ~stale)).select(
        *(pl.when("__keep").then(pl.col(f"__v_{column}")).alias(name) for column, name in names.items())
    )
    return [*shown.get_columns(), pl.Series(age, np.where(known, hours, np.nan)).fill_nan(None)]
