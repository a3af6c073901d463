"""Folding deltas and tombstones into new base segments, or many of them into few (P4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.core.names import KEY_COLUMNS
from tftctl.store.manifest import Part, Segment, Table
from tftctl.store.rowhash import RowHash, hash_rows, total
from tftctl.store.scan import DELETED, Range, collected, latest_changes, scan_segments
from tftctl.store.segments import part_of, write_segments
from tftctl.store.storage import Storage
from tftctl.store.writer import Place

LARGEST_SHARE = 0.1
# every reader opens each of them
MOST_CHANGES = 8
_BATCH_ROWS = 500_000


def is_due(table: Table, period: str) -> bool:
    """Whether deltas and tombstones hold more than a tenth as many rows as the base."""
    base_rows = sum(segment.rows for segment in table.of(period) if segment.kind == "base")
    return sum(segment.rows for segment in _changes(table, period)) > LARGEST_SHARE * base_rows


def is_crowded(table: Table, period: str) -> bool:
    """Whether deltas and tombstones are many files."""
    return len(_changes(table, period)) > MOST_CHANGES


def compact(storage: Storage, name: str, table: Table, period: str) -> Iterator[Segment]:
    """Yield new base segments with the rows that readers of this period see.

    Raises StoreError when their number or their hash is not what the manifest says; the caller then keeps the old.
    """
    part = table.parts[period]
    written = []
    for segment in write_segments(storage, Place(name, period), _batches(storage, table, period)):
        written.append(segment)
        yield segment
    found = part_of(part.columns, written)
    if (found.rows, found.row_hash) != (part.rows, part.row_hash):
        raise StoreError(
            f"{name} {period}: compaction would give {found.rows} rows for {part.rows}, or others",
            "nothing was changed; see: tftctl store verify",
        )


def fold(storage: Storage, name: str, table: Table, period: str) -> Iterator[Segment]:
    """Yield a delta and a tombstone that do what all deltas and tombstones of this period do together.

    Raises StoreError when they do not; the caller then keeps the old.
    """
    changes, part = _changes(table, period), table.parts[period]
    place = Place(name, period, sequence=1 + max(item.sequence for item in changes))
    written = []
    for kind in ("delta", "tombstone"):
        frames = _latest(storage, changes, part, deleted=kind == "tombstone")
        for segment in write_segments(storage, replace(place, kind=kind), frames):
            written.append(segment)
            yield segment
    for deleted in (False, True):
        if _hashed(storage, changes, part, deleted) != _hashed(storage, written, part, deleted):
            raise StoreError(
                f"{name} {period}: folding its changes would change its rows",
                "nothing was changed; see: tftctl store verify",
            )


def untouched(part: Part, before: Part | None) -> bool:
    """Whether two parts hold the same rows in the same columns."""
    return before is not None and (part, list(part.columns)) == (before, list(before.columns))


def _changes(table: Table, period: str) -> list[Segment]:
    return [segment for segment in table.of(period) if segment.kind != "base"]


def _batches(storage: Storage, table: Table, period: str) -> Iterator[pl.DataFrame]:
    part = table.parts[period]
    for symbols in _symbol_batches(part.groups) or [[]]:
        rows = scan_segments(storage, table.of(period), part.columns, Range(symbols))
        yield collected(rows, storage, table.of(period))


def _latest(storage: Storage, changes: list[Segment], part: Part, *, deleted: bool) -> Iterator[pl.DataFrame]:
    """Rows that the changes put, or keys of those that they delete; frames with rows only."""
    groups: Counter[str] = Counter()
    for segment in changes:
        groups.update(segment.groups)
    for symbols in _symbol_batches(groups):
        latest = latest_changes(storage, changes, part.columns, Range(symbols))
        chosen = latest.filter(pl.col(DELETED) == deleted).drop(DELETED)
        frame = collected(chosen.select(KEY_COLUMNS) if deleted else chosen, storage, changes)
        if frame.height:
            yield frame


def _hashed(storage: Storage, changes: list[Segment], part: Part, deleted: bool) -> tuple[int, RowHash]:
    rows, row_hash = 0, RowHash()
    for frame in _latest(storage, changes, part, deleted=deleted):
        rows, row_hash = rows + frame.height, row_hash + total(hash_rows(frame))
    return rows, row_hash


def _symbol_batches(groups: Mapping[str, int]) -> list[list[str]]:
    """Neighbouring symbols, about half a million rows together: what a compaction holds in memory."""
    batches: list[list[str]] = []
    rows = _BATCH_ROWS
    for symbol in sorted(groups):
        if rows >= _BATCH_ROWS:
            batches.append([])
            rows = 0
        batches[-1].append(symbol)
        rows += groups[symbol]
    return batches
