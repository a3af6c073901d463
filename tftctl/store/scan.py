"""Reading segments as one sorted table: deltas over base rows, without what tombstones remove."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from tftctl.core.errors import StoreError, choices
from tftctl.core.names import KEY_COLUMNS
from tftctl.store.frames import SORT_KEY, polars_schema
from tftctl.store.manifest import Segment, Table
from tftctl.store.storage import Storage

_SEQUENCE, _DELETED = "_sequence", "_deleted"


def scan_segments(
    storage: Storage, segments: Iterable[Segment], columns: Mapping[str, str], symbols: Sequence[str] | None = None
) -> pl.LazyFrame:
    """Rows of one period's segments, sorted by (symbol, timestamp), with `columns`; one that a file lacks is null."""
    schema = polars_schema(columns)
    chosen = [item for item in segments if symbols is None or not item.groups.keys().isdisjoint(symbols)]
    base = _read(storage, (item for item in chosen if item.kind == "base"), schema, symbols)
    changes = [_change(storage, item, schema, symbols) for item in chosen if item.kind != "base"]
    # the empty frame gives tombstones, which hold keys only, the other columns
    return _merge(base, pl.concat([pl.LazyFrame(schema=schema), *changes], how="diagonal")) if changes else base


def with_key(columns: Iterable[str]) -> list[str]:
    """Columns with the key columns in front."""
    return [*KEY_COLUMNS, *(name for name in dict.fromkeys(columns) if name not in KEY_COLUMNS)]


def pick_columns(table: Table, name: str, columns: Iterable[str]) -> None:
    """Raise StoreError for a column that the table does not have."""
    known = table.columns
    for column in columns:
        if column not in known:
            raise StoreError(f"table {name!r} has no column {column!r}", choices(column, known, "columns"))


def _read(
    storage: Storage, segments: Iterable[Segment], schema: dict[str, pl.DataType], symbols: Sequence[str] | None
) -> pl.LazyFrame:
    paths = [storage.locate(segment.path) for segment in segments]
    if not paths:
        return pl.LazyFrame(schema=schema)
    frame = pl.scan_parquet(
        paths, schema=schema, missing_columns="insert", extra_columns="ignore", glob=False, hive_partitioning=False
    )
    return frame if symbols is None else frame.filter(_one_of(symbols))


def _one_of(symbols: Sequence[str]) -> pl.Expr:
    return pl.col("symbol") == symbols[0] if len(symbols) == 1 else pl.col("symbol").is_in(list(symbols))


def _change(
    storage: Storage, segment: Segment, schema: dict[str, pl.DataType], symbols: Sequence[str] | None
) -> pl.LazyFrame:
    deleted = segment.kind == "tombstone"
    own = {name: schema[name] for name in KEY_COLUMNS} if deleted else schema
    return _read(storage, [segment], own, symbols).with_columns(
        pl.lit(segment.sequence, pl.Int64).alias(_SEQUENCE), pl.lit(deleted).alias(_DELETED)
    )


def _merge(base: pl.LazyFrame, changes: pl.LazyFrame) -> pl.LazyFrame:
    """The highest sequence of each key wins (P4)."""
    latest = changes.sort(_SEQUENCE).unique(subset=SORT_KEY, keep="last", maintain_order=True)
    untouched = base.join(latest.select(SORT_KEY), on=SORT_KEY, how="anti")
    fresh = latest.filter(~pl.col(_DELETED)).drop(_SEQUENCE, _DELETED)
    return pl.concat([untouched, fresh]).sort(SORT_KEY)
