"""`store export`: rows of a table as a file of the user's."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError, StoreError, UsageError, choices
from tftctl.store.damage import find_damage
from tftctl.store.files import sync_folder
from tftctl.store.scan import unreadable
from tftctl.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows and columns of a table; None means all."""

    symbols: Sequence[str] | None = None
    periods: Sequence[str] | None = None
    columns: Sequence[str] | None = None


def export_table(snapshot: Snapshot, table: str, output: Path, selection: Selection, *, force: bool = False) -> int:
    """Write rows by period, symbol and time to a .parquet, .csv or .pkl file; return their number.

    The file appears when it is whole; .parquet and .csv are written as the rows are read, .pkl holds them all in
    memory. Raises UsageError for another suffix, a place inside the store or a file that exists without `force`,
    StoreError for a table, symbol, period or column that is not there or a damaged file of the store, DataError when
    the output cannot be written.
    """
    write = _writer(output)
    _refuse_the_store(snapshot, output)
    if output.exists() and not force:
        raise UsageError(f"{output} exists already", "choose another name, or replace it with --force")
    rows = _select(snapshot, table, selection)
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(4)}.tmp")
    try:
        write(rows, temporary)
        _publish(temporary, output)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _failure(error, snapshot, table, output) from None
    finally:
        temporary.unlink(missing_ok=True)
    return _count(snapshot, table, selection)


def _writer(output: Path) -> Callable[[pl.LazyFrame, Path], None]:
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".pkl": _write_pickle}
    if output.suffix.lower() not in writers:
        raise UsageError(f"cannot tell a format from {output.name!r}", f"end it with one of: {', '.join(writers)}")
    return writers[output.suffix.lower()]


def _write_parquet(rows: pl.LazyFrame, path: Path) -> None:
    rows.sink_parquet(path, compression="zstd", compression_level=1, row_group_size=20_480, maintain_order=True)


def _write_csv(rows: pl.LazyFrame, path: Path) -> None:
    rows.sink_csv(path, maintain_order=True)


def _write_pickle(rows: pl.LazyFrame, path: Path) -> None:
    """One column after the other changes hands, so that hardly more than the frame itself is in memory."""
    import pandas as pd

    frame = rows.collect()
    columns = {name: frame.drop_in_place(name).to_pandas() for name in frame.columns}
    pd.DataFrame(columns, copy=False).to_pickle(path)


def _failure(
    error: OSError | pl.exceptions.PolarsError, snapshot: Snapshot, table: str, output: Path
) -> StoreError | DataError:
    """Reading and writing are one operation, and Polars does not say which of them failed."""
    damage = find_damage(snapshot.storage, snapshot.table(table).segments)
    if damage is not None:
        return damage
    if isinstance(error, pl.exceptions.PolarsError) and "IO error" not in str(error):
        return unreadable(error)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return DataError(f"cannot write {output}: {reason}", "choose a folder you may write to, with room")


def _refuse_the_store(snapshot: Snapshot, output: Path) -> None:
    store = Path(snapshot.storage.locate("")).resolve()
    if output.resolve().is_relative_to(store):
        raise UsageError(f"{output} lies in the store, which only tftctl writes to", "choose another folder")


def _publish(temporary: Path, output: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, output)
    sync_folder(output.parent)


def _periods(snapshot: Snapshot, table: str, selection: Selection) -> list[str]:
    known = snapshot.periods(table)
    for period in selection.periods or ():
        if period not in known:
            raise StoreError(f"table {table!r} has no period {period!r}", choices(period, known, "periods"))
    return [period for period in known if selection.periods is None or period in selection.periods]


def _select(snapshot: Snapshot, table: str, selection: Selection) -> pl.LazyFrame:
    periods = _periods(snapshot, table, selection)
    if not periods:
        raise StoreError(f"table {table!r} has no rows", "see: tftctl store status")
    known = {symbol for period in periods for symbol in snapshot.symbols(table, period)}
    for symbol in selection.symbols or ():
        if symbol not in known:
            raise StoreError(f"table {table!r} has no rows of symbol {symbol!r}", choices(symbol, known, "symbols"))
    return pl.concat(
        [snapshot.scan(table, name, symbols=selection.symbols, columns=selection.columns) for name in periods]
    )


def _count(snapshot: Snapshot, table: str, selection: Selection) -> int:
    groups = (snapshot.groups(table, period) for period in _periods(snapshot, table, selection))
    return sum(
        rows
        for group in groups
        for symbol, rows in group.items()
        if selection.symbols is None or symbol in selection.symbols
    )
