"""A long table made elsewhere: key columns in one writing, plain names, numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError, UsageError
from tftctl.core.names import BAR_COLUMNS, KEY_COLUMNS, ROW_COLUMNS, name_problem
from tftctl.core.times import iso
from tftctl.ingest.columns import is_time_column, plain_name, time_column
from tftctl.ingest.identity import normal_symbol, read_period
from tftctl.ingest.reading import LINE, RAGGED, read_table
from tftctl.ingest.timestamps import parse_times

_SYMBOL = ("symbol", "ticker", "pair", "asset")
_PERIOD = ("period", "interval", "timeframe")
_SHOWN = 5
# future_close and its like are labels under another name (F5)
_FUTURE = "future_"


@dataclass(frozen=True, slots=True)
class LongTable:
    """`rows`: symbol, period, timestamp and float64 columns, sorted by key, unique. `renamed`: old name -> new.

    `dropped`: columns of texts, of times beside the key, and of the future.
    """

    rows: pl.DataFrame
    renamed: dict[str, str]
    dropped: tuple[str, ...]


def read_long_table(
    path: Path, *, symbol: str | None, period: str | None, timezone: str, trust_pickle: bool
) -> LongTable:
    """Read a table of any format. `symbol`, `period`: for a table without such a column; `timezone`: of bare times.

    Raises DataError for a key that is missing, unreadable or there twice, an infinite number, a name that cannot be a
    column.
    """
    raw = read_table(path, trust_pickle=trust_pickle).rows
    ragged = raw.filter(RAGGED)
    if ragged.height:
        raise DataError(
            f"{path}: {ragged.height} lines have a wrong number of fields, the first is line {ragged[LINE][0]}",
            "mend or drop them",
        )
    raw = raw.drop(LINE, RAGGED)
    plain = {name: _column_name(name) for name in raw.columns}
    key = _key_columns(path, raw, plain, symbol, period)
    others = [name for name in plain if name not in key.values()]
    values = {name: plain[name] for name in others if not is_time_column(name) and not plain[name].startswith(_FUTURE)}
    numbers, dropped = _numbers(raw, values)
    dropped = [name for name in others if name not in values or name in dropped]
    problems = [f"{name}: {problem}" for name in numbers if (problem := _problem(name))]
    twins = sorted({name for name in numbers if list(values.values()).count(name) > 1})
    if problems or twins:
        what = problems[0] if problems else f"two columns become {twins[0]!r}"
        raise DataError(f"{path}: {what}", f"rename them in the file ({len(problems) + len(twins)} in all)")
    times = parse_times(raw[key["timestamp"]], timezone)
    table = pl.DataFrame(
        {
            "symbol": _key(path, raw, key.get("symbol"), symbol, normal_symbol),
            "period": _key(path, raw, key.get("period"), period, read_period),
            "timestamp": times.ms,
            **numbers,
        }
    )
    renamed = {old: new for old, new in values.items() if old != new and new in numbers}
    _check_keys(path, table)
    _check_numbers(path, table, [name for name, kind in table.schema.items() if kind == pl.Float64])
    return LongTable(table.sort(KEY_COLUMNS), renamed, tuple(dropped))


def _key_columns(
    path: Path, raw: pl.DataFrame, plain: Mapping[str, str], symbol: str | None, period: str | None
) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, simple in plain.items():
        if simple in _SYMBOL:
            found.setdefault("symbol", name)
        elif simple in _PERIOD:
            found.setdefault("period", name)
    if (when := time_column(list(plain))) is not None:
        found["timestamp"] = when
    given = {"symbol": symbol, "period": period, "timestamp": None}
    for key, value in given.items():
        if value is not None and key in found and raw[found[key]].n_unique() > 1:
            raise DataError(
                f"{path}: one {key} is given, its column {found[key]!r} holds several", f"leave out --{key}"
            )
    for key, value in given.items():
        if key not in found and value is None:
            raise DataError(f"{path} has no {key} column", f"its columns: {', '.join(list(plain)[:20])}")
    return {key: name for key, name in found.items() if given[key] is None}


def _numbers(raw: pl.DataFrame, values: Mapping[str, str]) -> tuple[dict[str, pl.Series], list[str]]:
    numbers: dict[str, pl.Series] = {}
    dropped: list[str] = []
    for name, new in values.items():
        column = raw[name]
        if column.dtype == pl.String:
            cast = column.cast(pl.Float64, strict=False)
            if cast.null_count() > column.null_count() + (column == "").sum():
                dropped.append(name)
                continue
            column = cast
        if new == "is_filled":
            numbers[new] = column.cast(pl.Boolean).alias(new)
        elif column.dtype.is_numeric() or column.dtype == pl.Boolean:
            numbers[new] = column.cast(pl.Float64).fill_nan(None).alias(new)
        else:
            dropped.append(name)
    return numbers, dropped


def _check_keys(path: Path, table: pl.DataFrame) -> None:
    unreadable = table.select(pl.any_horizontal(pl.col(KEY_COLUMNS).is_null()).sum()).item()
    if unreadable:
        raise DataError(f"{path}: {unreadable} rows have no readable symbol, period or time", "mend or drop them")
    twice = table.filter(table.select(KEY_COLUMNS).is_duplicated())
    if twice.height:
        symbol, period, stamp = twice.row(0)[:3]
        raise DataError(
            f"{path}: {twice.height} rows share their key, the first {symbol} {period} {iso(stamp)}",
            "a long table has one row per symbol, period and timestamp",
        )


def _check_numbers(path: Path, table: pl.DataFrame, names: Sequence[str]) -> None:
    infinite = table.select(pl.col(names).is_infinite().sum())
    bad = [f"{name} ({infinite[name].item()})" for name in names if infinite[name].item()]
    if bad:
        raise DataError(f"{path}: infinite numbers in {', '.join(bad[:_SHOWN])}", "make them null: null is data")


def _column_name(name: str) -> str:
    """As our own columns are written; `rsi__4h` keeps its double underscore."""
    return "__".join(plain_name(part) for part in name.split("__"))


def _problem(name: str) -> str | None:
    if name in (*BAR_COLUMNS, *ROW_COLUMNS):
        return None
    return next((problem for part in name.split("__")[:1] if (problem := name_problem(part))), None)


def _key(
    path: Path, raw: pl.DataFrame, column: str | None, value: str | None, canonical: Callable[[str], str]
) -> pl.Series:
    """A constant, or a column in one writing. Raises DataError for a text that is none."""
    if value is not None:
        return pl.repeat(canonical(value), raw.height, eager=True)
    texts = raw[str(column)].cast(pl.String)
    try:
        known = {text: canonical(text) for text in texts.drop_nulls().unique()}
    except (DataError, UsageError) as error:
        raise DataError(f"{path}: {error.message} (column {column})", error.hint) from None
    return texts.replace_strict(known, default=None, return_dtype=pl.String)
