"""Freezing the slots of the `observed` calendar (SEMANTICS T2)."""

from __future__ import annotations

import polars as pl

from tftctl.core.calendars import ObservedCalendar, observed_slots
from tftctl.store import Transaction


def freeze_observed(txn: Transaction) -> ObservedCalendar | None:
    """Slots of the `observed` calendar: those frozen before stay, later bars add theirs (T2)."""
    entries = txn.base.meta("bars").get("symbols", {}) if txn.base.has("bars") else {}
    symbols = [symbol for symbol, entry in entries.items() if entry["calendar"] == "observed"]
    if not symbols:
        return None
    opens = {}
    for period in txn.base.periods("bars"):
        stamps = txn.base.scan("bars", period, symbols=symbols, columns=["symbol", "timestamp"])
        by_symbol = {
            key[0]: frame["timestamp"].to_numpy()
            for key, frame in stamps.collect(engine="in-memory").group_by("symbol", maintain_order=True)
        }
        found = pl.Series("timestamp", observed_slots(by_symbol, period), dtype=pl.Int64)
        opens[period] = _with_frozen(txn, period, found).to_numpy()
    return ObservedCalendar(opens)


def _with_frozen(txn: Transaction, period: str, found: pl.Series) -> pl.Series:
    if txn.base.has("calendar") and period in txn.base.periods("calendar"):
        frozen = txn.base.scan("calendar", period, columns=["timestamp"]).collect(engine="in-memory")["timestamp"]
        fresh = found.filter(found > frozen.max())
        slots = pl.concat([frozen, fresh])
    else:
        fresh = slots = found
    rows = fresh.to_frame().with_columns(symbol=pl.lit("observed"), period=pl.lit(period))
    txn.upsert("calendar", period, rows.select("symbol", "period", "timestamp"))
    return slots
