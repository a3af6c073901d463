"""Which files an import reads, and which groups of bars each of them holds."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError, UsageError
from tftctl.ingest.columns import ColumnMap, map_columns, plain_name
from tftctl.ingest.identity import is_ticker, normal_symbol, period_from_path, read_period, symbol_from_name
from tftctl.ingest.reading import SUFFIXES, RawTable

MAX_FILES = 100_000
_MAGIC = ("*", "?", "[")


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one symbol and period as a file holds them. `period` is None when nothing names it."""

    symbol: str
    period: str | None
    rows: pl.DataFrame
    columns: ColumnMap
    lean: bool
    note: str | None


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
            inside = [item for item in sorted(path.rglob("*")) if item.is_file() and _readable(item, path)]
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


def groups_of(
    path: Path, table: RawTable, *, symbol: str | None, period: str | None, extras: Sequence[str]
) -> Iterator[Group]:
    """The groups of a table: rows whose columns say the same symbol and period, in whatever writing.

    A name given comes first, then a column, then the file's name (a zip member's before the zip's), then its folder.
    Raises DataError.
    """
    columns = map_columns(str(path), [name for name in table.rows.columns if not name.startswith("__")], extras)
    by = {name: columns.found[name] for name, given in (("symbol", symbol), ("period", period))
          if given is None and name in columns.found}  # fmt: skip
    if "symbol" in by and not _names_symbols(table.rows[by["symbol"]]):
        del by["symbol"]
    for name, given, canonical in (("symbol", symbol, normal_symbol), ("period", period, read_period)):
        if given is not None and name in columns.found:
            _refuse_several(path, table.rows[columns.found[name]], name, canonical)
    places = [path] if table.member is None else [path.parent / table.member, path]
    distinct = table.rows.select(by.values()).unique(maintain_order=True)
    members: dict[tuple[str, str | None], list[int]] = {}
    for index, row in enumerate(distinct.iter_rows()):
        named = dict(zip(by, row, strict=True))
        key = (_symbol(places, symbol, named.get("symbol")), _period(places, period, named.get("period")))
        members.setdefault(key, []).append(index)
    if len(members) <= 1:
        for found in members or {(_symbol(places, symbol, None), _period(places, period, None)): []}:
            yield Group(*found, table.rows, columns, table.lean, table.note)
        return
    for found, indices in members.items():
        wanted = distinct[indices]
        rows = table.rows.join(wanted, on=wanted.columns, how="semi", nulls_equal=True, maintain_order="left")
        yield Group(*found, rows, columns, table.lean, table.note)


def _refuse_several(path: Path, values: pl.Series, name: str, canonical: Callable[[str], str]) -> None:
    """A name given for a table whose column names several things: rows of all of them would become one's."""
    if name == "symbol" and not _names_symbols(values):
        return
    texts = [str(text) for text in values.drop_nulls().unique(maintain_order=True) if str(text).strip()]
    try:
        distinct = sorted({canonical(text) for text in texts})
    except (DataError, UsageError):
        distinct = sorted(set(texts))
    if len(distinct) > 1:
        raise DataError(
            f"{path}: one {name} is given, its column {values.name!r} holds {len(distinct)}: {', '.join(distinct[:8])}",
            f"without --{name} each comes in under its own name",
        )


def _names_symbols(values: pl.Series) -> bool:
    """A column `name` may hold symbols, or the names of companies."""
    return plain_name(values.name) != "name" or all(is_ticker(str(text)) for text in values.drop_nulls().unique())


def _symbol(places: Sequence[Path], given: str | None, column: object) -> str:
    if given is not None:
        return normal_symbol(given)
    if column is not None and str(column).strip():
        return normal_symbol(str(column))
    for place in places[:-1]:
        try:
            return symbol_from_name(place)
        except DataError:
            continue
    return symbol_from_name(places[-1])


def _period(places: Sequence[Path], given: str | None, column: object) -> str | None:
    if given is not None:
        return given
    if column is not None and str(column).strip():
        try:
            return read_period(str(column))
        except UsageError as error:
            raise DataError(f"{places[-1]}: in its period column, {error.message}", "name it: --period") from None
    return next((found for place in places if (found := period_from_path(place)) is not None), None)


def _readable(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.name.lower().endswith(SUFFIXES) and not hidden
