"""Checking that the store is what its manifests say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.store.frames import check_sorted, polars_schema
from tftctl.store.manifest import Manifest, Part, Segment, Table
from tftctl.store.rowhash import RowHash, hash_rows, total
from tftctl.store.scan import scan_segments
from tftctl.store.store import Store
from tftctl.store.writer import count_groups


@dataclass(frozen=True, slots=True)
class Verdict:
    """PASS means: no problem in what was checked. `problems` are lines that name the place."""

    problems: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """`PASS` or `FAIL`."""
        return "FAIL" if self.problems else "PASS"


def verify(store: Store) -> Verdict:
    """Check `CURRENT`, every committed manifest, every file's existence, size, checksum and content, and for the
    current snapshot the rows that readers see: number, hash, key uniqueness, order and types."""
    return Verdict(tuple(_problems(store)))


def _problems(store: Store) -> Iterator[str]:
    try:
        snapshot = store.read()
    except StoreError as error:
        yield error.message
        return
    with snapshot:
        sound: dict[str, bool] = {}
        for number in store.storage.manifests():
            problems = list(_older_problems(store, number, sound)) if number < snapshot.number else []
            if problems and number in store.storage.manifests():  # gc may have taken it meanwhile
                yield from problems
        yield from _file_problems(store, snapshot.manifest, sound)
        yield from _row_problems(store, snapshot.manifest, sound)


def _older_problems(store: Store, number: int, sound: dict[str, bool]) -> Iterator[str]:
    try:
        yield from _file_problems(store, store.manifest(number), sound)
    except StoreError as error:
        yield error.message


def _file_problems(store: Store, manifest: Manifest, sound: dict[str, bool]) -> Iterator[str]:
    """Problems of files not looked at before; `sound` remembers which were good."""
    for name, table in manifest.tables.items():
        for segment in table.segments:
            if segment.path not in sound:
                problem = _segment_problem(store, segment)
                sound[segment.path] = problem is None
                if problem:
                    yield f"{name} {segment.period}: {segment.path}: {problem} (snapshot {manifest.number})"


def _segment_problem(store: Store, segment: Segment) -> str | None:
    path = Path(store.storage.locate(segment.path))
    try:
        size = path.stat().st_size
        if size != segment.bytes:
            return f"has {size} bytes, the manifest says {segment.bytes}"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != segment.sha256:
                return "its checksum is not the manifest's"
        return _content_problem(pl.read_parquet(path, glob=False, hive_partitioning=False), segment)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except pl.exceptions.PolarsError as error:
        return f"is not readable Parquet: {error}"


def _content_problem(rows: pl.DataFrame, segment: Segment) -> str | None:
    if rows.height != segment.rows:
        return f"has {rows.height} rows, the manifest says {segment.rows}"
    if count_groups(rows) != segment.groups:
        return "its symbols are not the manifest's"
    if str(total(hash_rows(rows))) != segment.row_hash:
        return "its row hash is not the manifest's"
    try:
        check_sorted(rows, None, "segment")
    except StoreError as error:
        return error.message
    return None


def _row_problems(store: Store, manifest: Manifest, sound: dict[str, bool]) -> Iterator[str]:
    for name, table in manifest.tables.items():
        for period in table.periods:
            if all(sound.get(segment.path, False) for segment in table.of(period)):
                for problem in _part_problems(store, table, period):
                    yield f"{name} {period}: {problem}"


def _part_problems(store: Store, table: Table, period: str) -> Iterator[str]:
    part = table.parts[period]
    groups: dict[str, int] = {}
    row_hash = RowHash()
    last: tuple[str, int] | None = None
    try:
        for rows in scan_segments(store.storage, table.of(period), part.columns).collect_batches(maintain_order=True):
            check_sorted(rows, last, "the rows that readers see")
            if dict(rows.schema) != polars_schema(part.columns):
                yield f"columns are {dict(rows.schema)}, the manifest says {dict(part.columns)}"
                return
            last = rows.select("symbol", "timestamp").row(-1) if rows.height else last
            row_hash += total(hash_rows(rows))
            for symbol, count in count_groups(rows).items():
                groups[symbol] = groups.get(symbol, 0) + count
    except StoreError as error:
        yield error.message
        return
    except pl.exceptions.PolarsError as error:
        yield f"cannot be read with the manifest's columns: {error}"
        return
    yield from _tally_problems(part, groups, row_hash)


def _tally_problems(part: Part, groups: dict[str, int], row_hash: RowHash) -> Iterator[str]:
    if groups != dict(part.groups):
        yield f"readers see {sum(groups.values())} rows, the manifest says {part.rows}, or other symbols"
    elif row_hash != part.row_hash:
        yield "the rows that readers see do not have the manifest's hash"
