"""Reading segments as one sorted table: deltas over base rows, without what tombstones remove."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tftctl.core.errors import StoreError, choices
from tftctl.core.names import KEY_COLUMNS
from tftctl.store.damage import reading
from tftctl.store.frames import SORT_KEY, polars_schema
from tftctl.store.manifest import Segment, Table
from tftctl.store.storage import Storage

_SEQUENCE = "_sequence"
DELETED = "_deleted"


@dataclass(frozen=True, slots=True)
class Range:
    """Which keys to read: these symbols, and since <= timestamp < until (ms UTC); None means all."""

    symbols: Sequence[str] | None = None
    since: int | None = None
    until: int | None = None

    def may_hold(self, segment: Segment) -> bool:
        """Whether a segment can have a row of the range. A change has the key of the row it changes, so it may go."""
        if self.symbols is not None and segment.groups.keys().isdisjoint(self.symbols):
            return False
        if segment.first is None or segment.last is None:
            return self.since is None and self.until is None
        return (self.since is None or segment.last >= self.since) and (self.until is None or segment.first < self.until)

    def filter(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Rows of the range; the conditions are such that Parquet's statistics spare whole row groups."""
        if self.symbols is not None:
            rows = rows.filter(_one_of(self.symbols))
        if self.since is not None:
            rows = rows.filter(pl.col("timestamp") >= self.since)
        if self.until is not None:
            rows = rows.filter(pl.col("timestamp") < self.until)
        return rows


EVERYTHING = Range()


def scan_segments(
    storage: Storage, segments: Iterable[Segment], columns: Mapping[str, str], within: Range = EVERYTHING
) -> pl.LazyFrame:
    """Rows of one period's segments, sorted by (symbol, timestamp), with `columns`; one that a file lacks is null."""
    chosen = [item for item in segments if within.may_hold(item)]
    base = _read(storage, (item for item in chosen if item.kind == "base"), polars_schema(columns), within)
    changes = [item for item in chosen if item.kind != "base"]
    return _merge(base, latest_changes(storage, changes, columns, within)) if changes else base


def latest_changes(
    storage: Storage, changes: Iterable[Segment], columns: Mapping[str, str], within: Range = EVERYTHING
) -> pl.LazyFrame:
    """The last change of each key: the highest sequence wins (P4). Sorted, with a column more: is the row deleted?"""
    schema = polars_schema(columns)
    every = [_change(storage, item, schema, within) for item in changes]
    # the empty frame gives tombstones, which hold keys only, the other columns
    rows = pl.concat([pl.LazyFrame(schema=schema), *every], how="diagonal").sort(*SORT_KEY, _SEQUENCE)
    return rows.unique(subset=SORT_KEY, keep="last", maintain_order=True).drop(_SEQUENCE)


def rows_at(
    storage: Storage, segments: Sequence[Segment], columns: Mapping[str, str], keys: pl.DataFrame
) -> pl.DataFrame:
    """The stored rows that have one of these keys, sorted; `keys` is not empty.

    The keys are looked up first, in two narrow columns: most writes append, and then no other column is read at all.
    """
    narrow = {name: columns[name] for name in KEY_COLUMNS}
    looked_up = scan_segments(storage, segments, narrow, _range_of(keys))
    there = collected(_among(looked_up, keys).select(SORT_KEY), storage, segments)
    if there.is_empty():
        return pl.DataFrame(schema=polars_schema(columns))
    rows = _among(scan_segments(storage, segments, columns, _range_of(there)), there)
    return collected(rows, storage, segments)


def collected(rows: pl.LazyFrame, storage: Storage, segments: Iterable[Segment]) -> pl.DataFrame:
    """Run a query over segments. Raises StoreError when one of their files is damaged."""
    with reading(storage, segments):
        return rows.collect()


def unreadable(error: Exception) -> StoreError:
    """What to say when reading segments failed."""
    text = " ".join(str(error).split("\n\n")[0].split())
    return StoreError(f"a file of the store cannot be read: {text}", "see: tftctl store verify")


def with_key(columns: Iterable[str]) -> list[str]:
    """Columns with the key columns in front."""
    return [*KEY_COLUMNS, *(name for name in dict.fromkeys(columns) if name not in KEY_COLUMNS)]


def pick_columns(table: Table, name: str, columns: Iterable[str]) -> None:
    """Raise StoreError for a column that the table does not have."""
    known = table.columns
    for column in columns:
        if column not in known:
            raise StoreError(f"table {name!r} has no column {column!r}", choices(column, known, "columns"))


def _read(storage: Storage, segments: Iterable[Segment], schema: dict[str, pl.DataType], within: Range) -> pl.LazyFrame:
    paths = [storage.locate(segment.path) for segment in segments]
    if not paths:
        return pl.LazyFrame(schema=schema)
    frame = pl.scan_parquet(
        paths, schema=schema, missing_columns="insert", extra_columns="ignore", glob=False, hive_partitioning=False
    )
    return within.filter(frame)


def _one_of(symbols: Sequence[str]) -> pl.Expr:
    return pl.col("symbol") == symbols[0] if len(symbols) == 1 else pl.col("symbol").is_in(list(symbols))


def _range_of(keys: pl.DataFrame) -> Range:
    times = keys.get_column("timestamp").to_numpy()
    return Range(keys.get_column("symbol").unique().to_list(), int(times.min()), int(times.max()) + 1)


def _among(rows: pl.LazyFrame, keys: pl.DataFrame) -> pl.LazyFrame:
    """Rows of these keys. The list of times is a filter that the reader applies before it decodes other columns."""
    times = keys.get_column("timestamp").unique()
    rows = rows.filter(pl.col("timestamp").is_in(times.implode()))
    return rows.join(keys.lazy().select(SORT_KEY), on=SORT_KEY, how="semi", maintain_order="left")


def _change(storage: Storage, segment: Segment, schema: dict[str, pl.DataType], within: Range) -> pl.LazyFrame:
    deleted = segment.kind == "tombstone"
    own = {name: schema[name] for name in KEY_COLUMNS} if deleted else schema
    return _read(storage, [segment], own, within).with_columns(
        pl.lit(segment.sequence, pl.Int64).alias(_SEQUENCE), pl.lit(deleted).alias(DELETED)
    )


def _merge(base: pl.LazyFrame, latest: pl.LazyFrame) -> pl.LazyFrame:
    """Changes over base rows. Both sides are sorted already, so merging them holds neither."""
    untouched = base.join(latest.select(SORT_KEY), on=SORT_KEY, how="anti", maintain_order="left")
    return untouched.merge_sorted(latest.filter(~pl.col(DELETED)).drop(DELETED), key=SORT_KEY)
