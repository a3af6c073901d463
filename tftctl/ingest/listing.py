"""`tftctl data list` and `data gaps`: what bars there are, and which expected ones are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.calendars import Calendar, ObservedCalendar, observed_slots
from tftctl.core.errors import DataError, choices
from tftctl.core.times import iso
from tftctl.ingest.market import OBSERVED, market_from
from tftctl.store import Snapshot


@dataclass(frozen=True, slots=True)
class Hole:
    """Expected bars without a bar: from the first to the last one missing (open times, ms UTC), and how many."""

    first: int
    last: int
    missing: int


def list_bars(snapshot: Snapshot, symbols: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One row per symbol and period. Raises DataError for a symbol without bars."""
    return [
        {
            "symbol": symbol,
            "period": period,
            "rows": bars.height,
            "first": iso(bars["timestamp"][0]),
            "last": iso(bars["timestamp"][-1]),
            "gaps": len(holes),
            "missing": sum(hole.missing for hole in holes),
            "zero_volume": int((bars["volume"] == 0).sum()),
            "calendar": calendar.name,
        }
        for symbol, period, bars, calendar in _groups(snapshot, symbols)
        if (holes := find_holes(bars["timestamp"].to_numpy(), calendar, period)) is not None
    ]


def list_gaps(snapshot: Snapshot, symbols: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One row per hole, longest first within each group."""
    return [
        {"symbol": symbol, "period": period, "from": iso(hole.first), "to": iso(hole.last), "missing": hole.missing}
        for symbol, period, bars, calendar in _groups(snapshot, symbols)
        for hole in sorted(
            find_holes(bars["timestamp"].to_numpy(), calendar, period), key=lambda hole: (-hole.missing, hole.first)
        )
    ]


def find_holes(stamps: np.ndarray, calendar: Calendar, period: str) -> list[Hole]:
    """Runs of expected bars strictly between the first and the last real one (T3)."""
    opens = calendar.slots(period, int(stamps[0]), int(stamps[-1])).open_ms
    missing = np.flatnonzero(~np.isin(opens, stamps))
    if not missing.size:
        return []
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
    return [Hole(int(opens[run[0]]), int(opens[run[-1]]), run.size) for run in runs]


def _groups(snapshot: Snapshot, symbols: Sequence[str] | None) -> Iterator[tuple[str, str, pl.DataFrame, Calendar]]:
    if not snapshot.has("bars"):
        if symbols:
            raise DataError("there are no bars yet", "import some: tftctl data import FILES")
        return
    entries = snapshot.meta("bars")["symbols"]
    unknown = [symbol for symbol in symbols or () if symbol not in entries]
    if unknown:
        raise DataError(f"there are no bars of {unknown[0]}", choices(unknown[0], entries, "symbols"))
    for period in snapshot.periods("bars"):
        rows = snapshot.collect(snapshot.scan("bars", period, symbols=symbols, columns=["volume"]))
        calendars = symbol_calendars(snapshot, period)
        for (symbol,), bars in rows.group_by("symbol", maintain_order=True):
            yield str(symbol), period, bars, calendars[str(symbol)]


def symbol_calendars(snapshot: Snapshot, period: str) -> dict[str, Calendar]:
    """The calendar of every symbol that the bars table knows; empty where there are no bars of this period."""
    if not (snapshot.has("bars") and period in snapshot.periods("bars")):
        return {}
    entries = snapshot.meta("bars")["symbols"]
    observed = _observed(snapshot, period, entries)
    return {
        symbol: observed if entry["calendar"] == OBSERVED else market_from(entry).calendar
        for symbol, entry in entries.items()
    }


def _observed(snapshot: Snapshot, period: str, entries: dict[str, Any]) -> ObservedCalendar:
    """Slots of the symbols on the observed calendar: those that a build froze, and those of later bars (T2)."""
    members = [symbol for symbol, entry in entries.items() if entry["calendar"] == OBSERVED]
    if not members:
        return ObservedCalendar({period: np.empty(0, np.int64)})
    rows = snapshot.collect(snapshot.scan("bars", period, symbols=members, columns=[]))
    stamps = {str(key[0]): part["timestamp"].to_numpy() for key, part in rows.group_by("symbol")}
    found = observed_slots(stamps, period)
    if snapshot.has("calendar") and period in snapshot.periods("calendar"):
        rows = snapshot.collect(snapshot.scan("calendar", period, columns=["timestamp"]))
        frozen = rows["timestamp"].to_numpy()
        found = np.concatenate([frozen, found[found > frozen.max()]])
    return ObservedCalendar({period: found})
