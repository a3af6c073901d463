"""New rows against those that are there already (SEMANTICS T7)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import polars as pl

from tftctl.core.errors import DataError
from tftctl.ingest.bars import REASON
from tftctl.ingest.reading import LINE

Prefer = Literal["new", "old"]
# as many contradictions, when they are most of what a file shares with the store, are no slips
_MANY = 20
_NOT_VALUES = frozenset({"symbol", "period", "timestamp", "available_at", "ingested_at", LINE, REASON})


@dataclass(frozen=True, slots=True)
class Merged:
    """`bars`: all of the group afterwards. `changed`: rows to write. `refused`: `__line`, timestamp and `__reason`.

    `unchanged` rows say the same as stored ones, `enriched` ones add columns to them.
    """

    bars: pl.DataFrame
    changed: pl.DataFrame
    refused: pl.DataFrame
    unchanged: int
    enriched: int
    corrections: tuple[int, ...]
    replaced: int


def merge_bars(
    stored: pl.DataFrame | None, coming: pl.DataFrame, ends: Collection[int], prefer: Prefer | None
) -> Merged:
    """Merge one group's bars, or one series' values.

    `coming`: unique timestamps, with available_at and ingested_at. `ends`: last timestamps of earlier imports, where a
    difference is a correction; elsewhere it is a conflict, which `prefer` resolves. A column that was null before or
    is not in the new file takes the other's value.
    """
    if stored is None:
        rows = coming.drop(LINE, REASON)
        return Merged(rows, rows, _no_refusals(), 0, 0, (), 0)
    values = [name for name in coming.columns if name not in _NOT_VALUES]
    stored = stored.with_columns(pl.lit(None, pl.Float64).alias(name) for name in values if name not in stored.columns)
    joined = coming.join(stored.with_columns(__known=True), on="timestamp", how="left", suffix="__old")
    known = pl.col("__known").fill_null(False)
    differs = pl.any_horizontal((pl.col(name) != pl.col(f"{name}__old")).fill_null(False) for name in values)
    richer = pl.any_horizontal(pl.col(name).is_not_null() & pl.col(f"{name}__old").is_null() for name in values)
    last = pl.col("timestamp").is_in(list(ends))
    state = joined.with_columns(
        __state=pl.when(~known).then(pl.lit("new")).when(~differs & ~richer).then(pl.lit("same"))
        .when(~differs).then(pl.lit("richer")).when(last).then(pl.lit("correction")).otherwise(pl.lit("conflict"))
    )  # fmt: skip
    taken = ["new", "richer", "correction"] + (["conflict"] if prefer == "new" else [])
    changed = _rows(state.filter(pl.col("__state").is_in(taken)), coming, stored, values)
    bars = pl.concat([stored.join(changed, on="timestamp", how="anti"), changed], how="diagonal").sort("timestamp")
    conflicts = state.filter(pl.col("__state") == "conflict")
    why = "differs from the stored bar" + (", which is kept" if prefer == "old" else "")
    refused = conflicts.select(LINE, "timestamp", pl.lit(why).alias(REASON)) if prefer != "new" else _no_refusals()
    return Merged(
        bars,
        changed,
        refused,
        state.filter(pl.col("__state") == "same").height,
        state.filter(pl.col("__state") == "richer").height,
        tuple(state.filter(pl.col("__state") == "correction")["timestamp"]),
        conflicts.height if prefer == "new" else 0,
    )


def check_continues(merged: Merged, name: str, hint: str) -> None:
    """Where most rows of a file contradict the stored ones, its new rows do not continue them. Raises DataError."""
    both = merged.refused.height + merged.unchanged + merged.enriched
    if merged.refused.height >= _MANY and merged.refused.height > both / 2:
        raise DataError(f"{merged.refused.height:,} of the {both:,} times that it shares with {name} differ", hint)


def _rows(taken: pl.DataFrame, coming: pl.DataFrame, stored: pl.DataFrame, values: list[str]) -> pl.DataFrame:
    kept = [name for name in stored.columns if name not in _NOT_VALUES and name not in values]
    key = [name for name in coming.columns if name in _NOT_VALUES and name not in (LINE, REASON)]
    return taken.select(*key, *(pl.coalesce(name, f"{name}__old").alias(name) for name in values), *kept)


def _no_refusals() -> pl.DataFrame:
    return pl.DataFrame(schema={LINE: pl.Int64, "timestamp": pl.Int64, REASON: pl.String})
