"""Dated split and dividend factors (SEMANTICS T5): `date, price factor, split factor[, reference price]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError
from tftctl.ingest.columns import plain_name
from tftctl.ingest.files import find_files
from tftctl.ingest.identity import normal_symbol, stem_of
from tftctl.ingest.numbers import parse_numbers
from tftctl.ingest.timestamps import parse_times
from tftctl.store import Store

TABLE = "factors"
PERIOD = "1d"
_NAMES = ("date", "price_factor", "split_factor")


def read_factors(path: Path) -> pl.DataFrame:
    """timestamp (session date), price_factor, split_factor; each valid up to and including its date.

    With a header the columns are found by name, without one they stand in this order. Raises DataError.
    """
    try:
        rows = pl.read_csv(path, has_header=False, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        text = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read: {text}", f"a line is: {', '.join(_NAMES)}") from None
    head = [plain_name(str(value)) for value in rows.row(0)]
    if "date" in head:
        absent = [name for name in _NAMES if name not in head]
        if absent:
            raise DataError(f"{path} has no column {absent[0]}", f"its columns: {', '.join(head)}")
        rows = rows[1:].select(pl.nth(head.index(name)).alias(name) for name in _NAMES)
    elif rows.width >= len(_NAMES):
        rows = rows.select(pl.nth(index).alias(name) for index, name in enumerate(_NAMES))
    else:
        raise DataError(f"{path} has {rows.width} columns", f"factors need: {', '.join(_NAMES)}")
    stamps = parse_times(rows["date"]).ms
    price, split = (parse_numbers(rows[name])[0] for name in _NAMES[1:])
    made = pl.DataFrame({"timestamp": stamps, "price_factor": price, "split_factor": split})
    _check(path, made)
    return made.sort("timestamp")


def import_factors(store: Store, paths: Sequence[Path]) -> dict[str, int]:
    """Store the factors of each file's symbol in the place of earlier ones; symbol -> number of dates.

    A factor file is written anew at each split, so it replaces the symbol's factors as a whole.
    """
    found = {normal_symbol(stem_of(path)): read_factors(path) for path in find_files(paths)}
    with store.write("data import --factors") as txn:
        for symbol, rows in found.items():
            rows = rows.select(pl.lit(symbol).alias("symbol"), pl.lit(PERIOD).alias("period"), pl.all())
            if txn.base.has(TABLE) and symbol in txn.base.symbols(TABLE, PERIOD):
                old = txn.base.scan(TABLE, PERIOD, symbols=[symbol], columns=[]).collect(engine="in-memory")
                txn.delete(TABLE, PERIOD, old.join(rows, on=["symbol", "timestamp"], how="anti"))
            txn.upsert(TABLE, PERIOD, rows)
        txn.commit()
    return {symbol: rows.height for symbol, rows in found.items()}


def _check(path: Path, rows: pl.DataFrame) -> None:
    if rows.is_empty() or rows.null_count().row(0) != (0, 0, 0):
        raise DataError(f"{path} holds no readable factors", f"a line is: {', '.join(_NAMES)}")
    if rows.select(pl.min_horizontal("price_factor", "split_factor").min()).item() <= 0:
        raise DataError(f"{path} has a factor that is not above zero", "factors multiply raw prices")
    if rows["timestamp"].is_duplicated().any():
        raise DataError(f"{path} has two lines of factors for one date", "keep one")
