"""One change of the store: any number of tables, committed once or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.core.times import iso, now_ms
from tftctl.store.adoption import check_columns, check_place, check_runs
from tftctl.store.changes import Change, putting, removing
from tftctl.store.compaction import compact, fold, is_crowded, is_due, untouched
from tftctl.store.frames import SORT_KEY, check_sorted, column_types, conform, match
from tftctl.store.layout import manifest_name
from tftctl.store.manifest import Manifest, Segment, Table, encode
from tftctl.store.scan import rows_at
from tftctl.store.segments import part_of, write_segments
from tftctl.store.snapshot import Snapshot
from tftctl.store.storage import Storage, writing
from tftctl.store.writer import Place


class Transaction:
    """Made by `Store.write`, which holds the writer's lock around it. Without `commit` nothing changes.

    `base` is the snapshot that it starts from; `committed` whether it has made a new one; `storage` where processes
    that help it write their files.
    """

    def __init__(self, storage: Storage, base: Snapshot, why: str) -> None:
        self.base = base
        self.storage = storage
        self._why = why
        self._tables: dict[str, Table] = dict(base.manifest.tables)
        self._created: list[str] = []
        self._open = True
        self.committed = False

    def replace(self, table: str, period: str, frames: Iterable[pl.DataFrame] | pl.DataFrame) -> int:
        """Make `frames`, sorted by (symbol, timestamp), all rows of a period; return their number.

        Frames are written as they come and take the columns and types of the first. No frame at all drops the period.
        Equal rows leave the period as it is. Raises StoreError for rows out of order, before anything is visible.
        """
        self._check_open()
        place = Place(table, period)
        coming = iter([frames] if isinstance(frames, pl.DataFrame) else frames)
        first = next(coming, None)
        if first is None:
            self.drop(table, period)
            return 0
        segments = self._write(place, chain([first], coming))
        return self._put(place, column_types(conform(first, period, str(place))), segments)

    def adopt(self, table: str, period: str, columns: Mapping[str, str], runs: Sequence[Sequence[Segment]]) -> int:
        """Make segments that `SegmentSink` wrote, perhaps elsewhere, all rows of a period; return their number.

        Each run holds consecutive symbols, and the runs follow each other in the order of the symbols. From here on
        their files are this transaction's: it deletes them when it does not need them. Equal rows leave the period as
        it is. Raises StoreError for runs out of order, other columns, and segments of another table or period.
        """
        self._check_open()
        place = Place(table, period)
        segments = [segment for run in runs for segment in run]
        for segment in segments:
            check_place(segment, place)
            self._note(segment)
        if not segments:
            self.drop(table, period)
            return 0
        check_runs(runs, place)
        for segment in segments:
            check_columns(self.storage, segment, columns, place)
        return self._put(place, columns, segments)

    def upsert(self, table: str, period: str, frame: pl.DataFrame) -> None:
        """Add rows, in any order, or put them in the place of rows of the same key (a whole row each time).

        New columns are null in older rows. Rows equal to the stored ones change nothing.
        """
        self._check_open()
        place = Place(table, period, "delta", self._next_sequence(table, period))
        entry = self._tables.get(table, Table())
        frame = conform(frame, period, str(place)).sort(SORT_KEY)
        if frame.is_empty():
            return
        if period not in entry.parts:
            self.replace(table, period, frame)
            return
        check_sorted(frame, None, str(place))
        part = entry.parts[period]
        columns = {**part.columns, **column_types(frame), **part.columns}
        frame = match(frame, columns, str(place))
        stored = rows_at(self.storage, entry.of(period), part.columns, frame)
        change = putting(frame, match(stored, columns, str(place)))
        self._change(place, change, change.added, columns)

    def delete(self, table: str, period: str, keys: pl.DataFrame) -> None:
        """Remove the rows whose symbol and timestamp `keys` lists; keys without a row change nothing."""
        self._check_open()
        entry = self._tables.get(table, Table())
        if period not in entry.parts:
            return
        place = Place(table, period, "tombstone", self._next_sequence(table, period))
        keys = conform(keys.select(SORT_KEY).unique(), period, str(place))
        if keys.is_empty():
            return
        columns = entry.parts[period].columns
        change = removing(rows_at(self.storage, entry.of(period), columns, keys))
        self._change(place, change, change.removed.select(SORT_KEY), columns)

    def drop(self, table: str, period: str | None = None) -> None:
        """Remove a table with its description, or one period of it. What is not there is no error."""
        self._check_open()
        entry = self._tables.get(table)
        if entry is None:
            return
        if period is None:
            del self._tables[table]
        else:
            self._tables[table] = entry.without(period)

    def set_meta(self, table: str, meta: Mapping[str, Any]) -> None:
        """Keep a JSON-able description with a table, in the place of an earlier one."""
        self._check_open()
        entry = self._tables.get(table, Table())
        try:
            plain = json.loads(json.dumps(meta, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"the description of {table!r} cannot be kept as JSON: {error}", "use plain values"
            ) from None
        self._tables[table] = Table(plain, entry.parts, entry.segments)

    def pending(self) -> Snapshot:
        """The state that `commit` would make, for reading back what this transaction has written."""
        base = self.base.manifest
        return Snapshot(self.storage, Manifest(base.number, base.parent, base.created, base.why, dict(self._tables)))

    def commit(self) -> int:
        """Make all changes visible at once and return the new snapshot's number; the base's when nothing changed."""
        self._check_open()
        self._compact()
        self._tables = {name: entry for name, entry in self._tables.items() if entry.parts or entry.meta}
        _check_types(self._tables)
        if self._tables == self.base.manifest.tables:
            self.discard()
            return self.base.number
        manifest = self._swap()
        self._open, self.committed = False, True
        self._remove(set(self._created) - manifest.paths())
        return manifest.number

    def discard(self) -> None:
        """Remove what was written, unless a manifest needs it. Safe to call at any time."""
        if self._open:
            self._open = False
            if self._is_current(self.base.number):
                self._remove(set(self._created) - self.base.manifest.paths())

    def _is_current(self, number: int) -> bool:
        """False also where the disk does not tell: a failed commit may have taken effect, and then needs its files."""
        try:
            return (self.storage.current() or 0) == number
        except (OSError, ValueError):
            return False

    def _swap(self) -> Manifest:
        with writing(self.storage.staging):
            if not self._is_current(self.base.number):
                raise StoreError("another writer has changed the store meanwhile", "run the command again")
            number = self._clear_debris() + 1
            manifest = Manifest(number, self.base.number, iso(now_ms()), self._why, self._tables)
            self.storage.commit_manifest(number, encode(manifest))
        return manifest

    def _clear_debris(self) -> int:
        """Remove manifests that no `CURRENT` ever named for long; return the highest number in use until now."""
        numbers = [self.base.number, *self.storage.manifests()]
        for number in numbers:
            if number > self.base.number:
                self.storage.delete(manifest_name(number))
        return max(numbers)

    def _compact(self) -> None:
        for name, entry in list(self._tables.items()):
            for period in entry.periods:
                if is_due(entry, period):
                    self._keep(name, period, [], compact(self.storage, name, entry, period))
                elif is_crowded(entry, period):
                    base = [segment for segment in entry.of(period) if segment.kind == "base"]
                    self._keep(name, period, base, fold(self.storage, name, entry, period))

    def _keep(self, name: str, period: str, old: list[Segment], new: Iterable[Segment]) -> None:
        """Let other files hold the same rows."""
        entry = self._tables[name]
        segments = [*old, *(self._note(segment) for segment in new)]
        self._tables[name] = entry.with_part(period, entry.parts[period], segments)

    def _put(self, place: Place, columns: Mapping[str, str], segments: list[Segment]) -> int:
        """Let base segments be all rows of a period, unless it holds the same already; return their number."""
        entry = self._tables.get(place.table, Table())
        part = part_of(columns, segments)
        if not untouched(part, entry.parts.get(place.period)):
            self._tables[place.table] = entry.with_part(place.period, part, segments)
        return part.rows

    def _change(self, place: Place, change: Change, rows: pl.DataFrame, columns: Mapping[str, str]) -> None:
        """Write `rows` as a segment that makes the change; none when there is nothing to change."""
        if rows.is_empty():
            return
        entry = self._tables[place.table]
        part = change.applied_to(entry.parts[place.period], columns)
        segments = [*entry.of(place.period), *self._write(place, [rows])]
        self._tables[place.table] = entry.with_part(place.period, part, segments)

    def _write(self, place: Place, frames: Iterable[pl.DataFrame]) -> list[Segment]:
        return [self._note(segment) for segment in write_segments(self.storage, place, frames)]

    def _note(self, segment: Segment) -> Segment:
        self._created.append(segment.path)
        return segment

    def _next_sequence(self, table: str, period: str) -> int:
        return 1 + max((item.sequence for item in self._tables.get(table, Table()).of(period)), default=0)

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(OSError):  # what stays is unreachable, and gc removes it
                self.storage.delete(path)

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("this transaction is over", "begin another with Store.write")


def _check_types(tables: Mapping[str, Table]) -> None:
    """Raise StoreError where two periods of a table keep one column as different types."""
    for name, entry in tables.items():
        union = entry.columns
        for period, part in entry.parts.items():
            for column, dtype in part.columns.items():
                if union[column] != dtype:
                    raise StoreError(
                        f"{name}: column {column!r} is {dtype} in {period} and {union[column]} in another period",
                        "write one type in all periods",
                    )
