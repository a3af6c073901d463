"""Freezing the slots of the `observed` calendar, and renewing them (SEMANTICS T2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from tftctl.core.calendars import ObservedCalendar, observed_slots
from tftctl.core.periods import period_ms
from tftctl.store import Snapshot, Transaction

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Expected:
    """The slots of a build: `calendar` is None where no symbol has this calendar.

    `since_ms` gives by period when the bar of the first slot is due that was not known before or no longer is.
    `renewed` says of each period how many frozen slots were added and removed; None without `--recalendar`.
    """

    calendar: ObservedCalendar | None
    since_ms: Mapping[str, int] = field(default_factory=dict)
    renewed: Mapping[str, tuple[int, int]] | None = None

    @property
    def slots_changed(self) -> int:
        """Frozen slots that were added or removed."""
        return sum(added + removed for added, removed in (self.renewed or {}).values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What renewing changed, in a line."""
        if self.renewed is None:
            return ()
        if self.calendar is None:
            return ("recalendar: no symbol has the observed calendar",)
        parts = [f"{period} {more} added, {less} removed" for period, (more, less) in self.renewed.items()]
        return (f"recalendar: {self.slots_changed} frozen slots changed ({'; '.join(parts)})",)


def expected_slots(snapshot: Snapshot, *, renew: bool = False) -> Expected:
    """Slots frozen before, and after the last of them those that bars show; `renew`: all as bars show them now."""
    shown = _shown(snapshot)
    frozen = {period: _frozen(snapshot, period) for period in shown}
    slots = shown if renew else {period: _gone_on(frozen[period], found) for period, found in shown.items()}
    differing = {period: np.setxor1d(slots[period], frozen[period]) for period in slots}
    return Expected(
        calendar=ObservedCalendar(slots) if slots else None,
        since_ms={period: int(stamps[0]) + period_ms(period) for period, stamps in differing.items() if stamps.size},
        renewed={period: _difference(frozen[period], found) for period, found in slots.items()} if renew else None,
    )


def freeze(txn: Transaction, expected: Expected) -> None:
    """Keep the slots of a build for those that follow."""
    slots = expected.calendar.opens if expected.calendar else {}
    for period in expected.since_ms:
        txn.replace("calendar", period, [_rows(period, slots[period])] if slots[period].size else [])


def slots_mark(calendar: ObservedCalendar, period: str) -> str:
    """Equal exactly where the slots of the period are."""
    return hashlib.sha256(calendar.opens[period].tobytes()).hexdigest()


def _rows(period: str, slots: np.ndarray) -> pl.DataFrame:
    stamps = pl.DataFrame({"timestamp": pl.Series(slots, dtype=pl.Int64)})
    return stamps.select(pl.lit("observed").alias("symbol"), pl.lit(period).alias("period"), "timestamp")


def _gone_on(frozen: np.ndarray, shown: np.ndarray) -> np.ndarray:
    return np.concatenate([frozen, shown[shown > frozen[-1]]]) if frozen.size else shown


def _difference(frozen: np.ndarray, slots: np.ndarray) -> tuple[int, int]:
    """How many slots are new up to the last frozen one, and how many frozen ones are gone."""
    added = np.setdiff1d(slots[slots <= frozen[-1]], frozen).size if frozen.size else 0
    return added, np.setdiff1d(frozen, slots).size


def _shown(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """Slots that the bars of all symbols on this calendar show, by period."""
    entries = snapshot.meta("bars").get("symbols", {}) if snapshot.has("bars") else {}
    symbols = [symbol for symbol, entry in entries.items() if entry["calendar"] == "observed"]
    if not symbols:
        return {}
    return {period: observed_slots(_stamps(snapshot, period, symbols), period) for period in snapshot.periods("bars")}


def _stamps(snapshot: Snapshot, period: str, symbols: list[str]) -> dict[str, np.ndarray]:
    rows = snapshot.scan("bars", period, symbols=symbols, columns=["symbol", "timestamp"])
    groups = snapshot.collect(rows).group_by("symbol", maintain_order=True)
    return {str(key[0]): frame["timestamp"].to_numpy() for key, frame in groups}


def _frozen(snapshot: Snapshot, period: str) -> np.ndarray:
    if not (snapshot.has("calendar") and period in snapshot.periods("calendar")):
        return _NONE
    rows = snapshot.collect(snapshot.scan("calendar", period, columns=["timestamp"]))
    return rows["timestamp"].to_numpy()
