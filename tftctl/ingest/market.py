"""What the store knows about a symbol's market: calendar, anchor of its intraday bars, delay, basis of its prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from tftctl.core.calendars import NO_BAR, Anchor, Calendar, ObservedCalendar, detect_anchor, open_calendar
from tftctl.core.periods import is_intraday

OBSERVED = "observed"


@dataclass(frozen=True, slots=True)
class Market:
    """Calendar and price basis of a symbol. `anchor`: by intraday period, for exchanges with sessions."""

    name: str
    basis: str
    delay_ms: int = 0
    anchor: Mapping[str, Anchor] = field(default_factory=dict)

    @property
    def calendar(self) -> Calendar:
        """The calendar itself. Raises ConfigError for a name that there is not."""
        if self.name == OBSERVED:
            return ObservedCalendar({}, self.delay_ms)
        return open_calendar(self.name, anchor=dict(self.anchor), delay_ms=self.delay_ms)

    @property
    def words(self) -> str:
        """Calendar and delay for a message."""
        return f"{self.name} with a delay of {self.delay_ms / 60_000:g} min" if self.delay_ms else self.name

    @property
    def timezone(self) -> str | None:
        """The exchange's time zone; None where days are days of UTC."""
        return getattr(self.calendar, "timezone", None)

    def anchored(self, period: str, timestamps: pl.Series) -> Market:
        """With the anchor that explains these bars."""
        if self.timezone is None or not is_intraday(period):
            return self
        found = detect_anchor(self.name, period, timestamps.drop_nulls().to_numpy())
        return replace(self, anchor={**self.anchor, period: found})

    def share_of_bars(self, period: str, timestamps: pl.Series) -> float:
        """Which share of these times are times at which a bar opens."""
        stamps = timestamps.drop_nulls()
        if stamps.is_empty():
            return 0.0
        placed = self.anchored(period, stamps).calendar.available_at(period, stamps.to_numpy())
        return float((placed != NO_BAR).mean())

    def document(self) -> dict[str, Any]:
        """As the description of the bars table holds it."""
        return {
            "calendar": self.name,
            "basis": self.basis,
            "delay_ms": self.delay_ms,
            "anchor": dict(sorted(self.anchor.items())),
        }


def market_of(name: str, basis: str, delay_ms: int) -> Market:
    """A market by its calendar's name. Raises ConfigError when there is no such calendar."""
    market = Market(name, basis, delay_ms)
    _ = market.calendar
    return market


def market_from(entry: Mapping[str, Any]) -> Market:
    """The market that the description of the bars table holds."""
    return Market(entry["calendar"], entry["basis"], entry["delay_ms"], dict(entry["anchor"]))
