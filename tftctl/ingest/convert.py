"""`tftctl data convert`: CSV, Parquet and pickle in all directions, values and types untouched."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError, UsageError
from tftctl.ingest.reading import read_pickle

_KINDS = {".csv": "csv", ".parquet": "parquet", ".pkl": "pickle", ".pickle": "pickle"}


def convert(source: Path, output: Path, *, trust_pickle: bool, force: bool) -> int:
    """Write the table of `source` to `output`, the format by its suffix; return the number of rows.

    `output` appears whole or not at all. Raises UsageError for an unknown suffix, DataError for an unreadable source
    or an output that is there already.
    """
    kind = _kind(output)
    if kind.endswith("gz"):
        raise UsageError(f"{output}: compressed output is Parquet's own", "write .parquet, .csv or .pkl")
    if output.exists() and not force:
        raise DataError(f"{output} exists already", "name another file, or --force")
    table = _read(source, trust_pickle=trust_pickle)
    partial = output.with_name(f".{output.name}.part")
    try:
        _write(table, partial, kind)
        os.replace(partial, output)
    except OSError as error:
        raise DataError(
            f"cannot write {output}: {error.strerror or error}", "choose a place that you may write to"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return table.height


def _read(source: Path, *, trust_pickle: bool) -> pl.DataFrame:
    kind = _kind(source)
    try:
        if kind == "pickle":
            return read_pickle(source, trust_pickle=trust_pickle)
        if kind == "parquet":
            return pl.read_parquet(source)
        return pl.read_csv(source, separator=_separator(source), infer_schema_length=None, try_parse_dates=False)
    except FileNotFoundError:
        raise DataError(f"{source} does not exist", "check the path") from None
    except (pl.exceptions.PolarsError, OSError) as error:  # a cut .gz is an OSError without a number
        raise DataError(f"{source} cannot be read: {' '.join(str(error).split())[:200]}", "is it complete?") from None


def _separator(source: Path) -> str:
    """The mark that stands most often in the first line."""
    opened = gzip.open if source.name.lower().endswith(".gz") else open
    with opened(source, "rb") as file:
        head = file.readline()
    return max(",;\t|", key=lambda mark: head.count(mark.encode()))


def _write(table: pl.DataFrame, path: Path, kind: str) -> None:
    if kind == "csv":
        table.write_csv(path)
    elif kind == "parquet":
        table.write_parquet(path, compression="zstd")
    else:
        table.to_pandas().to_pickle(path)


def _kind(path: Path) -> str:
    name = path.name.lower()
    if name.endswith(".csv.gz"):
        return "csv.gz"
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: which format is {path.suffix or 'that'}?", "suffixes: .csv, .csv.gz, .parquet, .pkl")
    return kind
