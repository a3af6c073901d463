"""One snapshot of the store, read-only and unchanging."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import polars as pl

from tftctl.core.errors import StoreError, choices
from tftctl.store.damage import reading
from tftctl.store.lease import Lease
from tftctl.store.manifest import Manifest, Part, Table
from tftctl.store.scan import Range, pick_columns, scan_segments, with_key
from tftctl.store.storage import Storage


class Snapshot:
    """The tables as one manifest describes them.

    It holds a lease from `Store.read` to `close`, which the end of a `with` block, of the object and of the process
    do too; collect what `scan` returned before that.
    """

    def __init__(self, storage: Storage, manifest: Manifest, lease: Lease | None = None) -> None:
        self.storage = storage
        self.manifest = manifest
        self._release = weakref.finalize(self, lease.release) if lease else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lease back."""
        if self._release is not None:
            self._release()

    @property
    def number(self) -> int:
        """Number of the snapshot; 0 is the empty store."""
        return self.manifest.number

    @property
    def tables(self) -> list[str]:
        """Names of the tables."""
        return sorted(self.manifest.tables)

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        return table in self.manifest.tables

    def periods(self, table: str) -> list[str]:
        """Periods of a table from short to long."""
        return self.table(table).periods

    def symbols(self, table: str, period: str) -> list[str]:
        """Symbols that have rows of a period, sorted."""
        return sorted(self._part(table, period).groups)

    def rows(self, table: str, period: str | None = None) -> int:
        """Number of rows of a period, or of all."""
        return sum(part.rows for part in self._parts(table, period).values())

    def groups(self, table: str, period: str) -> Mapping[str, int]:
        """Rows per symbol of a period."""
        return self._part(table, period).groups

    def newest(self, table: str, period: str) -> int:
        """Latest timestamp that any segment of a period holds, int64 ms UTC."""
        return max(segment.last for segment in self.table(table).of(period) if segment.last is not None)

    def meta(self, table: str) -> dict[str, Any]:
        """What was said about the table with `Transaction.set_meta`; empty when nothing was."""
        return dict(self.table(table).meta) if self.has(table) else {}

    def data_version(self, table: str, period: str | None = None) -> str:
        """A digest that changes only when rows or columns do (P4): not by compaction, not by another description."""
        return self.table(table).data_version if period is None else self._part(table, period).data_version

    def columns(self, table: str) -> dict[str, str]:
        """Name and type of the table's columns."""
        return self.table(table).columns

    def scan(
        self,
        table: str,
        period: str | None = None,
        *,
        symbols: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> pl.LazyFrame:
        """Rows by period from short to long, inside a period by (symbol, timestamp).

        Every frame has symbol, period and timestamp, and all columns of the table unless `columns` chooses; a column
        that a period lacks is null there. Symbols without rows give none. `since` (inclusive) and `until` (exclusive)
        bound `timestamp`, int64 ms UTC; files and row groups outside are not read. Raises StoreError for a table,
        period or column that is not there.
        """
        entry = self.table(table)
        pick_columns(entry, table, columns or ())
        periods = self._parts(table, period)
        if not periods:
            raise StoreError(f"table {table!r} has no rows", "see: tftctl store status")
        within = Range(symbols, since, until)
        rows = pl.concat([scan_segments(self.storage, entry.of(name), entry.columns, within) for name in periods])
        return rows if columns is None else rows.select(with_key(columns))

    def collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Run what was made of `scan`, in memory. Raises StoreError that names the file when one is damaged."""
        with reading(self.storage, self.manifest.segments()):
            return rows.collect(engine="in-memory")

    def table(self, name: str) -> Table:
        """The manifest's entry of a table. Raises StoreError when there is none."""
        if name not in self.manifest.tables:
            where = f"snapshot {self.number}" if self.number else "the empty store"
            raise StoreError(f"there is no table {name!r} in {where}", choices(name, self.tables, "tables"))
        return self.manifest.tables[name]

    def _part(self, table: str, period: str) -> Part:
        return self._parts(table, period)[period]

    def _parts(self, table: str, period: str | None) -> dict[str, Part]:
        entry = self.table(table)
        if period is None:
            return {name: entry.parts[name] for name in entry.periods}
        if period not in entry.parts:
            raise StoreError(f"table {table!r} has no period {period!r}", _listed(entry.periods))
        return {period: entry.parts[period]}


def _listed(periods: Iterable[str]) -> str:
    return f"periods: {', '.join(periods) or 'none yet'}"
