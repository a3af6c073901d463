"""From a file to a table of texts (or typed columns) with line numbers."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError

SUFFIXES = (".csv", ".csv.gz", ".txt", ".zip", ".parquet", ".pkl", ".pickle")
LINE = "__line"
RAGGED = "__ragged"
_DELIMITERS = (",", ";", "\t", "|")
_BINANCE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
# RuntimeError: a zip with a password, or packed in an unknown way
_DAMAGED = (
    pl.exceptions.PolarsError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, csv.Error, RuntimeError,
)  # fmt: skip
_PLAIN = ("timestamp", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class RawTable:
    """One table of a file.

    `rows` has the columns of the file; `__line`, the line or row it stands in (from 1); and `__ragged`, whether it has
    another number of fields than the header. Texts stay texts; Parquet and pickle keep their types. `lean` marks
    QuantConnect's format: New York local times, prices in ten-thousandths.
    """

    name: str
    rows: pl.DataFrame
    lean: bool = False


def read_tables(path: Path, *, trust_pickle: bool = False) -> Iterator[RawTable]:
    """Yield the tables of a file; a zip may hold several. Raises DataError with one clear line."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield RawTable(path.name, _numbered(path, pl.read_parquet(path)))
        elif suffix in (".pkl", ".pickle"):
            yield RawTable(path.name, _numbered(path, read_pickle(path, trust_pickle=trust_pickle)))
        elif suffix == ".zip":
            yield from _zip_members(path)
        else:
            yield parse_text(str(path), _decode(path, path.read_bytes(), suffix))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the path") from None
    except _DAMAGED as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}", "is it complete?") from None


def read_pickle(path: Path, *, trust_pickle: bool) -> pl.DataFrame:
    """A pickled pandas frame. Raises DataError unless the user trusts it: unpickling runs code."""
    if not trust_pickle:
        raise DataError(f"{path} is a pickle, and reading one runs code in it", "name --trust-pickle if it is yours")
    import pandas as pd

    try:
        table = pd.read_pickle(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        raise DataError(f"{path} cannot be unpickled ({_line(error)})", "is it complete?") from None
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{path} holds a {type(table).__name__}, not a table", "pickle a pandas DataFrame")
    named = [name for name in table.index.names if name is not None]
    try:
        return pl.from_pandas(table.reset_index() if named else table)
    except Exception as error:  # noqa: BLE001 - Arrow, pandas and Polars each have their own
        raise DataError(f"{path} holds no plain table ({_line(error)})", "columns of numbers, texts, times") from None


def parse_text(name: str, text: str) -> RawTable:
    """Read delimited text: comment lines on top, any of four delimiters, with or without a header."""
    lines = [(number, line) for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{name} is empty", "nothing to import")
    delimiter = _delimiter(name, [line for _, line in lines[:50]])
    start = _first_row(lines, delimiter)
    head = _fields(lines[start][1], delimiter)
    body = lines[start:]
    if _is_header(head):
        columns, body = _unique([field.strip() for field in head]), body[1:]
        if not body:
            raise DataError(f"{name} has a header and no rows", "nothing to import")
        return RawTable(name, _frame(body, columns, delimiter))
    if len(head) == len(_BINANCE):
        return RawTable(name, _frame(body, list(_BINANCE), delimiter))
    if len(head) == len(_PLAIN):
        lean = len(head[0]) == 14 and head[0][8] == " "
        return RawTable(name, _frame(body, list(_PLAIN), delimiter), lean)
    raise DataError(
        f"{name} has no header and {len(head)} columns", "give it a header: timestamp,open,high,low,close,volume"
    )


def _zip_members(path: Path) -> Iterator[RawTable]:
    with zipfile.ZipFile(path) as archive:
        members = [item for item in archive.namelist() if item.lower().endswith((".csv", ".txt"))]
        if not members:
            raise DataError(f"{path} holds no CSV file", f"it holds: {', '.join(archive.namelist()[:8]) or 'nothing'}")
        for member in members:
            yield parse_text(f"{path}:{member}", _decode(path, archive.read(member), ".csv"))


def _decode(path: Path, data: bytes, suffix: str) -> str:
    if suffix.endswith(".gz"):
        data = gzip.decompress(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text", "save it as UTF-8 CSV, or use Parquet") from None


def _delimiter(name: str, lines: Sequence[str]) -> str:
    """The delimiter that cuts most lines into the same, largest number of fields."""
    best = max(_DELIMITERS, key=lambda mark: _agreement(lines, mark))
    if _agreement(lines, best)[0] < 2:
        raise DataError(
            f"{name}: no delimiter found in {lines[-1][:60]!r}", "use commas, semicolons, tabs or vertical bars"
        )
    return best


def _agreement(lines: Sequence[str], mark: str) -> tuple[int, int]:
    fields, count = Counter(len(_fields(line, mark)) for line in lines).most_common(1)[0]
    return fields, count


def _first_row(lines: Sequence[tuple[int, str]], delimiter: str) -> int:
    """The first line with as many fields as most: what stands above are comments."""
    sample = [len(_fields(line, delimiter)) for _, line in lines[:50]]
    usual = Counter(sample).most_common(1)[0][0]
    return sample.index(usual)


def _is_header(fields: Sequence[str]) -> bool:
    """A header has no number in it and some letters in its first field."""
    return not any(_numeric(field) for field in fields) and any(c.isalpha() for c in fields[0])


def _numeric(field: str) -> bool:
    try:
        float(field.replace(",", ""))
    except ValueError:
        return False
    return True


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter))


def _frame(body: Sequence[tuple[int, str]], columns: list[str], delimiter: str) -> pl.DataFrame:
    """Texts by column; a line with too many fields loses the surplus, one with too few gets blanks: both are marked."""
    source = io.BytesIO("\n".join(line for _, line in body).encode())
    rows = pl.read_csv(
        source,
        has_header=False,
        new_columns=columns,
        separator=delimiter,
        infer_schema=False,
        truncate_ragged_lines=True,
    )
    ragged = [_is_ragged(line, delimiter, len(columns)) for _, line in body]
    return rows.with_columns(pl.Series(LINE, [number for number, _ in body], dtype=pl.Int64), pl.Series(RAGGED, ragged))


def _is_ragged(line: str, delimiter: str, expected: int) -> bool:
    """Another number of fields than expected; one delimiter too many at the end is a habit of some vendors."""
    count = len(_fields(line, delimiter)) if '"' in line else line.count(delimiter) + 1
    return count != expected and not (count == expected + 1 and line.rstrip("\r").endswith(delimiter))


def _unique(names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made


def _numbered(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    if rows.is_empty():
        raise DataError(f"{path} has no rows", "nothing to import")
    return rows.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE), pl.lit(False).alias(RAGGED))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
