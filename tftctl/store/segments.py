"""Writing frames as Parquet segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from tftctl.store.frames import SORT_KEY, check_sorted, column_types, conform, match
from tftctl.store.manifest import Part, Segment
from tftctl.store.rowhash import RowHash
from tftctl.store.storage import Storage
from tftctl.store.writer import ROW_GROUP_ROWS, Place, SegmentWriter

BLOCK_ROWS = 4 * ROW_GROUP_ROWS
SEGMENT_ROWS = 4_000_000


def write_segments(storage: Storage, place: Place, frames: Iterable[pl.DataFrame]) -> Iterator[Segment]:
    """Write sorted frames, a few row groups at a time, and yield each segment once it is in place.

    All frames get the columns and types of the first. Frames without any row make one segment without rows, no frame
    makes none. Raises StoreError for rows out of order.
    """
    sink = SegmentSink(storage, place)
    yielded = 0
    try:
        for frame in frames:
            sink.add(frame)
            yield from sink.segments[yielded:]
            yielded = len(sink.segments)
        yield from sink.finish()[yielded:]
    except BaseException:
        sink.abandon()
        raise


def part_of(columns: Mapping[str, str], segments: Iterable[Segment]) -> Part:
    """What a reader sees of base segments alone."""
    groups: Counter[str] = Counter()
    row_hash = RowHash()
    for segment in segments:
        groups.update(segment.groups)
        row_hash += RowHash.parse(segment.row_hash)
    return Part(dict(columns), dict(groups), row_hash)


@dataclass
class SegmentSink:
    """Takes frames of one place, sorted by (symbol, timestamp), and writes them a few row groups at a time.

    All frames get the columns and types of the first.
    """

    storage: Storage
    place: Place
    segments: list[Segment] = field(default_factory=list)
    _columns: dict[str, str] | None = None
    _last: tuple[str, int] | None = None
    _waiting: list[pl.DataFrame] = field(default_factory=list)
    _rows: int = 0
    _writer: SegmentWriter | None = None

    @property
    def columns(self) -> Mapping[str, str]:
        """Name and type of the columns; empty before the first frame."""
        return dict(self._columns or {})

    def add(self, frame: pl.DataFrame) -> None:
        """Write, or keep for the next full row group. Raises StoreError for rows out of order."""
        shaped = conform(frame, self.place.period, str(self.place))
        self._columns = self._columns or column_types(shaped)
        shaped = match(shaped, self._columns, str(self.place))
        check_sorted(shaped, self._last, str(self.place))
        if shaped.height:
            self._last = shaped.select(SORT_KEY).row(-1)
        self._waiting.append(shaped)
        self._rows += shaped.height
        if self._rows >= BLOCK_ROWS:
            merged = pl.concat(self._waiting)
            whole = self._rows - self._rows % ROW_GROUP_ROWS
            for start in range(0, whole, BLOCK_ROWS):
                self._write(merged.slice(start, min(BLOCK_ROWS, whole - start)))
            self._waiting, self._rows = [merged.slice(whole)], self._rows - whole

    def finish(self) -> list[Segment]:
        """Write the rest and put the last file in place; all segments. Without a frame there is none."""
        if self._waiting and (self._rows or self._writer is None):
            self._write(pl.concat(self._waiting))
        self._close()
        return self.segments

    def abandon(self) -> None:
        """Remove the unfinished file; finished segments are the caller's to delete."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _write(self, block: pl.DataFrame) -> None:
        if self._writer is not None and self._writer.rows + block.height > SEGMENT_ROWS:
            self._close()
        if self._writer is None:
            self._writer = SegmentWriter(self.storage, self.place, block)
        self._writer.write(block)

    def _close(self) -> None:
        if self._writer is not None:
            self.segments.append(self._writer.finish())
            self._writer = None
