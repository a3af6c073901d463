"""Folding deltas and tombstones into new base segments (P4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.store.manifest import Part, Segment, Table
from tftctl.store.scan import Range, collected, scan_segments
from tftctl.store.segments import part_of, write_segments
from tftctl.store.storage import Storage
from tftctl.store.writer import Place

LARGEST_SHARE = 0.1
MOST_SEGMENTS = 32
_BATCH_ROWS = 500_000


def is_due(table: Table, period: str) -> bool:
    """Whether deltas and tombstones hold more than a tenth as many rows as the base, or are too many files."""
    changes = [segment for segment in table.of(period) if segment.kind != "base"]
    base_rows = sum(segment.rows for segment in table.of(period) if segment.kind == "base")
    return len(changes) > MOST_SEGMENTS or sum(segment.rows for segment in changes) > LARGEST_SHARE * base_rows


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


def _batches(storage: Storage, table: Table, period: str) -> Iterator[pl.DataFrame]:
    part = table.parts[period]
    for symbols in _symbol_batches(part.groups) or [[]]:
        yield collected(scan_segments(storage, table.of(period), part.columns, Range(symbols)))


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


def untouched(part: Part, before: Part | None) -> bool:
    """Whether two parts hold the same rows in the same columns."""
    return before is not None and (part, list(part.columns)) == (before, list(before.columns))
