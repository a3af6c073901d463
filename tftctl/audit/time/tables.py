"""The groups of a table of the store, with the calendars that their bars were stored under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tftctl.audit.time.grids import FrequencyGrid, Grid, declared_grid, in_order, inferred_grid
from tftctl.audit.time.series import Series
from tftctl.core.calendars import Calendar
from tftctl.core.errors import DataError
from tftctl.ingest.listing import symbol_calendars
from tftctl.store import Snapshot

TABLES = ("bars", "features", "targets", "fused", "macro")
_PRICES = ("open", "high", "low", "close", "volume")


def table_series(snapshot: Snapshot, table: str) -> list[Series]:
    """One per symbol (or macro series) and period. Raises DataError for a table that is not there."""
    if not snapshot.has(table):
        there = [name for name in TABLES if snapshot.has(name)]
        raise DataError(f"the store has no table {table!r} yet", f"tables: {', '.join(there) or 'none; import bars'}")
    periods = snapshot.periods(table)
    return [series for period in periods for series in _of_period(snapshot, table, period)]


def _of_period(snapshot: Snapshot, table: str, period: str) -> list[Series]:
    columns = snapshot.columns(table)
    prices = [name for name in _PRICES if name in columns] if table == "bars" else []
    extra = [*(name for name in ("available_at",) if name in columns), *prices]
    rows = snapshot.collect(snapshot.scan(table, period, columns=extra))
    calendars = symbol_calendars(snapshot, period) if table != "macro" else {}
    declared = snapshot.meta("macro").get("series", {}) if table == "macro" else {}
    return [
        _series(table, period, str(symbol), part, calendars, declared, prices)
        for (symbol,), part in rows.group_by("symbol", maintain_order=True)
    ]


def _series(table: str, period: str, symbol: str, rows: pl.DataFrame, calendars: Mapping[str, Calendar],
            declared: Mapping[str, Any], prices: Sequence[str]) -> Series:  # fmt: skip
    stamps = rows["timestamp"].to_numpy()
    return Series(
        place=table,
        symbol=symbol,
        period=period,
        stamps=stamps,
        grid=_grid(table, period, calendars.get(symbol), stamps),
        available=rows["available_at"].to_numpy() if "available_at" in rows.columns else None,
        flat=_flat(rows) if prices else None,
        table=True,
        revised=bool(declared.get(symbol, {}).get("revised")),
    )


def _grid(table: str, period: str, calendar: Calendar | None, stamps: np.ndarray) -> Grid | None:
    if table == "macro":
        return FrequencyGrid(period)
    return declared_grid(period, calendar) if calendar is not None else inferred_grid(in_order(stamps), period)


def _flat(rows: pl.DataFrame) -> np.ndarray:
    return rows.select((pl.col("high") == pl.col("low")) & (pl.col("volume") == 0)).to_series().to_numpy()
