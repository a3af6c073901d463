"""Checking that the store is what its manifests say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.store.damage import file_problem
from tftctl.store.frames import SORT_KEY, check_sorted
from tftctl.store.gc import segment_names
from tftctl.store.layout import TEMPORARY, manifest_name
from tftctl.store.manifest import Manifest, Segment, Table, is_signed
from tftctl.store.scan import scan_segments
from tftctl.store.store import Store
from tftctl.store.writer import Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """PASS means: no problem in what was checked. `problems` are lines that name the place.

    `leftovers` are files that no snapshot needs: those of an interrupted writer, or of one that is at work. They harm
    nobody, and `gc` removes them.
    """

    problems: tuple[str, ...]
    leftovers: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`PASS` or `FAIL`."""
        return "FAIL" if self.problems else "PASS"


def verify(store: Store) -> Verdict:
    """Check `CURRENT`, every committed manifest, every file's existence, size, checksum and content, and for the
    current snapshot the rows that readers see: number, hash, key uniqueness, order and types."""
    present = [*segment_names(store), *store.storage.names(TEMPORARY)]
    try:
        snapshot = store.read()
    except StoreError as error:
        return Verdict((error.message,))
    with snapshot:
        numbers = [number for number in store.storage.manifests() if number < snapshot.number]
        sound: dict[str, bool] = {}
        older = [problem for number in numbers for problem in _older_problems(store, number, sound)]
        own = [*_manifest_problems(store, snapshot.manifest, sound), *_row_problems(store, snapshot.manifest, sound)]
        debris = [manifest_name(number) for number in store.storage.manifests() if number > snapshot.number]
        leftovers = [name for name in present if name not in sound] + debris
        return Verdict((*older, *own), tuple(leftovers))


def _older_problems(store: Store, number: int, sound: dict[str, bool]) -> list[str]:
    try:
        problems = list(_manifest_problems(store, store.manifest(number), sound))
    except (StoreError, OSError) as error:
        problems = [error.message if isinstance(error, StoreError) else f"{manifest_name(number)}: {error.strerror}"]
    return problems if number in store.storage.manifests() else []  # gc may have taken it meanwhile


def _manifest_problems(store: Store, manifest: Manifest, sound: dict[str, bool]) -> Iterator[str]:
    name = manifest_name(manifest.number)
    if manifest.number and not is_signed(store.storage.read(name)):
        yield f"{name} has no checksum"
    yield from _file_problems(store, manifest, sound)


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
    problem = file_problem(store.storage, segment)
    if problem is not None:
        return problem
    path = store.storage.locate(segment.path)
    try:
        return _content_problem(_tallied(pl.scan_parquet(path, glob=False, hive_partitioning=False)), segment)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except pl.exceptions.PolarsError as error:
        return f"is not readable Parquet: {error}"
    except StoreError as error:
        return error.message


def _content_problem(found: Tally, segment: Segment) -> str | None:
    if found.rows != segment.rows:
        return f"has {found.rows} rows, the manifest says {segment.rows}"
    if found.groups != segment.groups:
        return "its symbols are not the manifest's"
    if (found.first, found.last) != (segment.first, segment.last):
        return "its first or last timestamp is not the manifest's"
    return None if str(found.row_hash) == segment.row_hash else "its row hash is not the manifest's"


def _tallied(rows: pl.LazyFrame) -> Tally:
    """The rows counted and hashed, a few at a time. Raises StoreError where they are not sorted."""
    found, last = Tally(), None
    for frame in rows.collect_batches(maintain_order=True):
        check_sorted(frame, last, "its rows")
        last = frame.select(SORT_KEY).row(-1) if frame.height else last
        found.add(frame)
    return found


def _row_problems(store: Store, manifest: Manifest, sound: dict[str, bool]) -> Iterator[str]:
    for name, table in manifest.tables.items():
        for period in table.periods:
            if all(sound.get(segment.path, False) for segment in table.of(period)):
                problem = _part_problem(store, table, period)
                if problem:
                    yield f"{name} {period}: {problem}"


def _part_problem(store: Store, table: Table, period: str) -> str | None:
    """What is wrong with the rows that readers see. A column of another type than the manifest's cannot be read."""
    part = table.parts[period]
    try:
        found = _tallied(scan_segments(store.storage, table.of(period), part.columns))
    except StoreError as error:
        return error.message
    except pl.exceptions.PolarsError as error:
        return f"cannot be read with the manifest's columns: {error}"
    if found.groups != part.groups:
        return f"readers see {found.rows} rows, the manifest says {part.rows}, or other symbols"
    return None if found.row_hash == part.row_hash else "the rows that readers see do not have the manifest's hash"
