"""Freezing the slots of the `observed` calendar (SEMANTICS T2)."""

from __future__ import annotations

import polars as pl

from tftctl.core.calendars import ObservedCalendar, observed_slots
from tftctl.store import Snapshot, Transaction


def freeze_observed(txn: Transaction) -> ObservedCalendar | None:
    """Keep the slots that are not frozen yet; the calendar of those before and these, None where no symbol has it."""
    fresh = _fresh_slots(txn.base)
    for period, slots in fresh.items():
        rows = slots.to_frame().with_columns(symbol=pl.lit("observed"), period=pl.lit(period))
        txn.upsert("calendar", period, rows.select("symbol", "period", "timestamp"))
    return observed_calendar(txn.base)


def observed_calendar(snapshot: Snapshot) -> ObservedCalendar | None:
    """Slots frozen before, and those that bars after them show; None where no symbol has this calendar."""
    fresh = _fresh_slots(snapshot)
    if not fresh:
        return None
    slots = {period: pl.concat([_frozen(snapshot, period), later]) for period, later in fresh.items()}
    return ObservedCalendar({period: found.to_numpy() for period, found in slots.items()})


def _fresh_slots(snapshot: Snapshot) -> dict[str, pl.Series]:
    """Observed slots after the last frozen one, by period; empty where no symbol has this calendar."""
    entries = snapshot.meta("bars").get("symbols", {}) if snapshot.has("bars") else {}
    symbols = [symbol for symbol, entry in entries.items() if entry["calendar"] == "observed"]
    if not symbols:
        return {}
    return {period: _observed_after(snapshot, period, symbols) for period in snapshot.periods("bars")}


def _observed_after(snapshot: Snapshot, period: str, symbols: list[str]) -> pl.Series:
    stamps = snapshot.scan("bars", period, symbols=symbols, columns=["symbol", "timestamp"])
    by_symbol = {
        key[0]: frame["timestamp"].to_numpy()
        for key, frame in stamps.collect(engine="in-memory").group_by("symbol", maintain_order=True)
    }
    found = pl.Series("timestamp", observed_slots(by_symbol, period), dtype=pl.Int64)
    frozen = _frozen(snapshot, period)
    return found if frozen.is_empty() else found.filter(found > frozen.max())


def _frozen(snapshot: Snapshot, period: str) -> pl.Series:
    if not (snapshot.has("calendar") and period in snapshot.periods("calendar")):
        return pl.Series("timestamp", [], dtype=pl.Int64)
    return snapshot.scan("calendar", period, columns=["timestamp"]).collect(engine="in-memory")["timestamp"]
