"""Dated split and dividend factors (SEMANTICS T5): `date, price factor, split factor[, reference price]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError
from tftctl.ingest.columns import plain_name
from tftctl.ingest.files import find_files
from tftctl.ingest.identity import normal_symbol, stem_of
from tftctl.ingest.numbers import decimal_mark, parse_numbers
from tftctl.ingest.reading import read_table
from tftctl.ingest.timestamps import parse_times
from tftctl.store import Store

TABLE = "factors"
PERIOD = "1d"
_ENDS = (pl.min_horizontal, pl.max_horizontal)
_NAMES = ("date", "price_factor", "split_factor")


def read_factors(path: Path) -> pl.DataFrame:
    """timestamp (session date), price_factor, split_factor; each valid up to and including its date.

    With a header the columns are found by name, without one they stand in this order. Raises DataError.
    """
    rows = read_table(path, places=_NAMES).rows
    named = {plain_name(name): name for name in rows.columns}
    absent = [name for name in _NAMES if name not in named]
    if absent:
        raise DataError(f"{path} has no column {absent[0]}", f"its columns: {', '.join(named)}")
    date, *factors = (rows[named[name]] for name in _NAMES)
    mark = decimal_mark(factors)
    price, split = (parse_numbers(values, mark)[0] for values in factors)
    made = pl.DataFrame({"timestamp": parse_times(date).ms, "price_factor": price, "split_factor": split})
    _check(path, made)
    return made.sort("timestamp")


def import_factors(store: Store, paths: Sequence[Path]) -> dict[str, int]:
    """Store the factors of each file's symbol in the place of earlier ones; symbol -> number of dates.

    A factor file is written anew at each split, so it replaces the symbol's factors as a whole.
    """
    found: dict[str, pl.DataFrame] = {}
    for path in find_files(paths):
        symbol = normal_symbol(stem_of(path))
        if symbol in found:
            raise DataError(f"{path}: another file holds factors of {symbol}, too", "name one of them")
        found[symbol] = read_factors(path)
    with store.write("data import --as factors") as txn:
        for symbol, rows in found.items():
            rows = rows.select(pl.lit(symbol).alias("symbol"), pl.lit(PERIOD).alias("period"), pl.all())
            if txn.base.has(TABLE) and symbol in txn.base.symbols(TABLE, PERIOD):
                old = txn.base.collect(txn.base.scan(TABLE, PERIOD, symbols=[symbol], columns=[]))
                txn.delete(TABLE, PERIOD, old.join(rows, on=["symbol", "timestamp"], how="anti"))
            txn.upsert(TABLE, PERIOD, rows)
        txn.commit()
    return {symbol: rows.height for symbol, rows in found.items()}


def _check(path: Path, rows: pl.DataFrame) -> None:
    if rows.is_empty() or rows.null_count().row(0) != (0, 0, 0):
        raise DataError(f"{path} holds no readable factors", f"a line is: {', '.join(_NAMES)}")
    low, high = (rows.select(of("price_factor", "split_factor")).to_series() for of in _ENDS)
    if low.min() <= 0 or high.is_infinite().any():  # type: ignore[operator]
        raise DataError(f"{path} has a factor that is not above zero and finite", "factors multiply raw prices")
    if rows["timestamp"].is_duplicated().any():
        raise DataError(f"{path} has two lines of factors for one date", "keep one")
