"""From a file to tables of texts (or typed columns) with line numbers."""

from __future__ import annotations

import csv
import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError
from tftctl.ingest.text import LINE, RAGGED, RawTable, parse_text

__all__ = ["LINE", "RAGGED", "SUFFIXES", "RawTable", "parse_text", "read_pickle", "read_table", "read_tables"]

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".zip", ".parquet", ".pkl", ".pickle")
_FOREIGN = frozenset(
    ".json .jsonl .ndjson .xlsx .xls .ods .feather .arrow .ipc .orc .avro .h5 .hdf5 .hdf .db .sqlite .duckdb .npy .npz "
    ".xml .html .htm .pdf .7z .rar .bz2 .xz .zst".split()
)
UTF16 = (b"\xff\xfe", b"\xfe\xff")
# where pandas puts an index without a name
PANDAS_INDEX = "__index_level_0__"
GZIP = b"\x1f\x8b"
# RuntimeError: a zip with a password, or packed in an unknown way
DAMAGED = (
    pl.exceptions.PolarsError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, csv.Error, RuntimeError,
)  # fmt: skip


def read_tables(path: Path, *, trust_pickle: bool = False, places: Sequence[str] = ()) -> Iterator[RawTable]:
    """Yield the tables of a file; a zip may hold several. `places`: see `parse_text`.

    Raises DataError with one clear line.
    """
    suffix = path.suffix.lower()
    if suffix in _FOREIGN:
        raise DataError(f"{path}: {suffix} files are not read", f"suffixes read: {', '.join(SUFFIXES)}")
    try:
        if suffix == ".parquet":
            yield RawTable(path.name, _numbered(path, pl.read_parquet(path)))
        elif suffix in (".pkl", ".pickle"):
            yield RawTable(path.name, _numbered(path, read_pickle(path, trust_pickle=trust_pickle)))
        elif suffix == ".zip":
            yield from _zip_members(path, places)
        else:
            yield parse_text(str(path), _decode(path, path.read_bytes()), places)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder", "name a file in it") from None
    except DAMAGED as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}", "is it complete?") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "may you read it?") from None


def read_table(path: Path, *, trust_pickle: bool = False, places: Sequence[str] = ()) -> RawTable:
    """The only table of a file. Raises DataError where there are several."""
    tables = list(read_tables(path, trust_pickle=trust_pickle, places=places))
    if len(tables) != 1:
        names = ", ".join(str(table.member) for table in tables[:8])
        raise DataError(f"{path} holds {len(tables)} tables, and one is wanted", f"unpack it and name one: {names}")
    return tables[0]


def read_pickle(path: Path, *, trust_pickle: bool) -> pl.DataFrame:
    """A pickled pandas frame, its index among the columns unless it only counts the rows.

    Raises DataError unless the user trusts it: unpickling runs code.
    """
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
    counts_rows = table.index.names == [None] and table.index.equals(pd.RangeIndex(len(table)))
    try:
        return pl.from_pandas(table if counts_rows else table.reset_index())
    except Exception as error:  # noqa: BLE001 - Arrow, pandas and Polars each have their own
        raise DataError(f"{path} holds no plain table ({_line(error)})", "columns of numbers, texts, times") from None


def _zip_members(path: Path, places: Sequence[str]) -> Iterator[RawTable]:
    with zipfile.ZipFile(path) as archive:
        members = [item for item in archive.namelist() if item.lower().endswith((".csv", ".tsv", ".txt"))
                   and not Path(item).name.startswith(".")]  # fmt: skip
        if not members:
            raise DataError(f"{path} holds no CSV file", f"it holds: {', '.join(archive.namelist()[:8]) or 'nothing'}")
        for member in members:
            name = f"{path}:{member}"
            try:
                table = parse_text(name, _decode(path, archive.read(member)), places)
            except DataError as error:
                if len(members) == 1:
                    raise
                yield RawTable(name, pl.DataFrame(), member=member, error=error)
                continue
            yield replace(table, member=member if len(members) > 1 else None)


def _decode(path: Path, data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark; packed or not, whatever the suffix says."""
    if data.startswith(GZIP):
        data = gzip.decompress(data)
    try:
        return data.decode("utf-16" if data.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text", "save it as UTF-8 CSV, or use Parquet") from None


def _numbered(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    if rows.is_empty():
        raise DataError(f"{path} has no rows", "nothing to import")
    if PANDAS_INDEX in rows.columns and "index" not in rows.columns:
        rows = rows.rename({PANDAS_INDEX: "index"})
    return rows.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE), pl.lit(False).alias(RAGGED))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
