"""Which groups of bars a table holds: one for each symbol and period that its columns, name or folder say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError, TftctlError
from tftctl.ingest.bars import REASON
from tftctl.ingest.columns import ColumnMap, map_columns, plain_name
from tftctl.ingest.identity import is_ticker, normal_symbol, period_from_path, read_period, symbol_from_name
from tftctl.ingest.reading import LINE, RAGGED, RawTable

Key = tuple[str, str | None]
_CANONICAL: dict[str, Callable[[str], str]] = {"symbol": normal_symbol, "period": read_period}


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one symbol and period as a file holds them. `period` is None when nothing names it."""

    symbol: str
    period: str | None
    rows: pl.DataFrame
    columns: ColumnMap
    lean: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class Grouped:
    """The groups of a table, and rows that belong to none: `__line`, timestamp (null), `__reason`."""

    groups: tuple[Group, ...]
    refused: pl.DataFrame


def group_rows(
    path: Path, table: RawTable, *, symbol: str | None, period: str | None, extras: Sequence[str]
) -> Grouped:
    """Rows whose columns say the same symbol and period, in whatever writing.

    A name given comes first, then a column, then the file's name (a zip member's before the zip's), then its folder.
    Raises DataError for a table without any group.
    """
    columns = map_columns(str(path), [name for name in table.rows.columns if not name.startswith("__")], extras)
    given = {"symbol": symbol, "period": period}
    by = {name: columns.found[name] for name in given if name in columns.found}
    if "symbol" in by and not _names_symbols(table.rows[by["symbol"]]):
        del by["symbol"]
    for name in [name for name in by if given[name] is not None]:
        _refuse_several(path, table.rows[by.pop(name)], name)
    places = [path] if table.member is None else [path.parent / table.member, path]
    named = {
        "symbol": (lambda: normal_symbol(symbol)) if symbol is not None else (lambda: _symbol_of(places)),
        "period": (lambda: period) if period is not None else (lambda: _period_of(places)),
    }
    fallback = {name: find() for name, find in named.items() if name not in by}
    rows = table.rows if not by else table.rows.filter(~pl.col(RAGGED))
    keys, bad = _keys(rows, by, fallback, named)
    groups = [(key, table.rows) for key in keys] if len(keys) == 1 and not bad else [
        (key, rows.join(wanted, on=wanted.columns, how="semi", nulls_equal=True, maintain_order="left"))
        for key, wanted in keys.items()
    ]  # fmt: skip
    if not groups:
        raise DataError(f"{path}: {next(reason for _, reason in bad)}", f"name it: --{'/--'.join(by)}")
    refused = [_refused(rows.join(wanted, on=wanted.columns, how="semi", nulls_equal=True), why) for wanted, why in bad]
    if len(groups) > 1 or bad:
        refused.append(_refused(table.rows.filter(pl.col(RAGGED)), "wrong number of fields"))
    made = tuple(Group(*key, members, columns, table.lean, table.note) for key, members in groups)
    return Grouped(made, pl.concat(refused) if refused else _refused(table.rows.clear(), ""))


def _keys(
    rows: pl.DataFrame,
    by: Mapping[str, str],
    fallback: Mapping[str, str | None],
    named: Mapping[str, Callable[[], str | None]],
) -> tuple[dict[Key, pl.DataFrame], list[tuple[pl.DataFrame, str]]]:
    """Distinct values of the columns -> the group that they name, and those that name none with the reason."""
    distinct = rows.select(by.values()).unique(maintain_order=True) if by else pl.DataFrame()
    if not by:
        return {(str(fallback["symbol"]), fallback["period"]): distinct}, []
    known = {name: _known(distinct[column], name) for name, column in by.items()}
    members: dict[Key, list[int]] = {}
    bad: list[tuple[pl.DataFrame, str]] = []
    for index, values in enumerate(distinct.iter_rows()):
        try:
            found = {
                name: _canonical(name, value, known[name], named[name]) for name, value in zip(by, values, strict=True)
            }
        except TftctlError as error:
            bad.append((distinct[[index]], error.message))
            continue
        key = {**fallback, **found}
        members.setdefault((str(key["symbol"]), key["period"]), []).append(index)
    return {key: distinct[indices] for key, indices in members.items()}, bad


def _canonical(name: str, value: object, known: Sequence[str], named: Callable[[], str | None]) -> str | None:
    """What a cell says; for a blank one the file's name, as long as it names what other cells name, too."""
    if value is not None and str(value).strip():
        return _CANONICAL[name](str(value))
    found = named()
    if known and found not in known:
        raise DataError(f"no {name} in its row")
    return found


def _known(values: pl.Series, name: str) -> list[str]:
    """The canonical names in a column."""
    found = []
    for text in (str(value) for value in values.drop_nulls().unique(maintain_order=True)):
        try:
            found += [_CANONICAL[name](text)] if text.strip() else []
        except TftctlError:
            continue
    return sorted(set(found))


def _refuse_several(path: Path, values: pl.Series, name: str) -> None:
    """A name given for a table whose column names several things: rows of all of them would become one's."""
    distinct = _known(values, name)
    if len(distinct) > 1:
        raise DataError(
            f"{path}: one {name} is given, its column {values.name!r} holds {len(distinct)}: {', '.join(distinct[:8])}",
            f"without --{name} each comes in under its own name",
        )


def _refused(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.select(LINE, pl.lit(None, pl.Int64).alias("timestamp"), pl.lit(reason).alias(REASON))


def _names_symbols(values: pl.Series) -> bool:
    """A column `name` may hold symbols, or the names of companies."""
    return plain_name(values.name) != "name" or all(is_ticker(str(text)) for text in values.drop_nulls().unique())


def _symbol_of(places: Sequence[Path]) -> str:
    for place in places[:-1]:
        try:
            return symbol_from_name(place)
        except DataError:
            continue
    return symbol_from_name(places[-1])


def _period_of(places: Sequence[Path]) -> str | None:
    return next((found for place in places if (found := period_from_path(place)) is not None), None)
