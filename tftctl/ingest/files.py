"""Which files an import reads, and which groups of bars each of them holds."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError, UsageError
from tftctl.core.periods import parse_period
from tftctl.ingest.columns import ColumnMap, map_columns
from tftctl.ingest.identity import normal_symbol, period_from_path, symbol_from_name
from tftctl.ingest.reading import SUFFIXES, RawTable, read_tables

MAX_FILES = 100_000
_MAGIC = ("*", "?", "[")


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one symbol and period as a file holds them. `period` is None when nothing names it."""

    name: str
    symbol: str
    period: str | None
    rows: pl.DataFrame
    columns: ColumnMap
    lean: bool


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Files, folders (searched through) and patterns -> files, sorted, each once. Raises DataError."""
    found: list[Path] = []
    for path in paths:
        if any(mark in str(path) for mark in _MAGIC) and not path.exists():
            matched = [Path(name) for name in glob.glob(str(path), recursive=True)]
            if not matched:
                raise DataError(f"no file matches {path}", "check the pattern")
            found += find_files(sorted(matched))
        elif path.is_dir():
            inside = [item for item in sorted(path.rglob("*")) if item.is_file() and _readable(item)]
            if not inside:
                raise DataError(f"{path} holds no file that can be read", f"suffixes read: {', '.join(SUFFIXES)}")
            found += inside
        elif not path.exists():
            raise DataError(f"{path} does not exist", "check the path")
        else:
            found.append(path)
        if len(found) > MAX_FILES:
            raise DataError(f"{path}: more than {MAX_FILES:,} files", "import folder by folder")
    return list(dict.fromkeys(found))


def read_groups(
    path: Path, *, symbol: str | None, period: str | None, extras: Sequence[str], trust_pickle: bool
) -> Iterator[Group]:
    """The groups of a file. A name given comes first, then a column, then the file's name, then its folder."""
    for table in read_tables(path, trust_pickle=trust_pickle):
        columns = map_columns(str(path), [name for name in table.rows.columns if not name.startswith("__")], extras)
        yield from _groups(path, table, columns, symbol, period)


def _groups(path: Path, table: RawTable, columns: ColumnMap, symbol: str | None, period: str | None) -> Iterator[Group]:
    """Rows whose column says the same symbol and period, in whatever writing."""
    by = {name: columns.found[name] for name, given in (("symbol", symbol), ("period", period))
          if given is None and name in columns.found}  # fmt: skip
    distinct = table.rows.select(by.values()).unique(maintain_order=True)
    members: dict[tuple[str, str | None], list[int]] = {}
    for index, row in enumerate(distinct.iter_rows()):
        named = dict(zip(by, row, strict=True))
        key = (_symbol(path, symbol, named.get("symbol")), _period(path, period, named.get("period")))
        members.setdefault(key, []).append(index)
    if len(members) <= 1:
        for found in members or {(_symbol(path, symbol, None), _period(path, period, None)): []}:
            yield Group(table.name, *found, table.rows, columns, table.lean)
        return
    for found, indices in members.items():
        wanted = distinct[indices]
        rows = table.rows.join(wanted, on=wanted.columns, how="semi", nulls_equal=True, maintain_order="left")
        yield Group(table.name, *found, rows, columns, table.lean)


def _symbol(path: Path, given: str | None, column: object) -> str:
    if given is not None:
        return normal_symbol(given)
    if column is not None and str(column).strip():
        return normal_symbol(str(column))
    return symbol_from_name(path)


def _period(path: Path, given: str | None, column: object) -> str | None:
    if given is not None:
        return given
    if column is not None and str(column).strip():
        try:
            return parse_period(str(column))
        except UsageError:
            raise DataError(f"{path}: {column!r} in its period column is no bar period", "name it: --period") from None
    return period_from_path(path)


def _readable(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")
