"""Market calendars: which bars are expected, and when each is complete (SEMANTICS T2)."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar, get_args

from tftctl.core.calendars.continuous import Continuous
from tftctl.core.calendars.observed import ObservedCalendar, observed_slots
from tftctl.core.calendars.slots import NO_BAR, Anchor, Slots

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

T = TypeVar("T")

__all__ = [
    "NO_BAR", "Anchor", "Calendar", "Continuous", "ObservedCalendar", "Slots", "by_pattern", "calendar_for",
    "detect_anchor", "observed_slots", "open_calendar",
]  # fmt: skip


class Calendar(Protocol):
    """Expected bars of a market. All instants are int64 ms UTC."""

    @property
    def name(self) -> str:
        """`24x7`, `observed`, or an exchange code."""

    @property
    def version(self) -> str:
        """What the sessions were taken from; "" where nothing external was asked."""

    def slots(self, period: str, first_ms: int, last_ms: int) -> Slots:
        """Expected bars with first_ms <= open <= last_ms."""

    def available_at(self, period: str, timestamps: Instants) -> Instants:
        """When each bar is complete; NO_BAR where a timestamp is no slot."""

    def next_open(self, period: str, timestamps: Instants) -> Instants:
        """Open time of the first expected bar after each timestamp."""

    def bars_per_year(self, period: str) -> int:
        """A constant of (calendar, period)."""


def open_calendar(name: str, *, anchor: Mapping[str, Anchor] | None = None, delay_ms: int = 0) -> Calendar:
    """`24x7` or an exchange code such as `XNYS`. Raises ConfigError for anything else.

    `anchor` says per period whether intraday bars begin at full hours or count from the session's open;
    `delay_ms` is added to the scheduled completion of every bar.
    """
    return _open(name, tuple(sorted((anchor or {}).items())), delay_ms)


def calendar_for(symbol: str, patterns: Mapping[str, str]) -> str:
    """The calendar of a symbol: its exact name first, then the longest matching pattern, else `24x7`."""
    return by_pattern(symbol, patterns, "24x7")


def by_pattern(symbol: str, patterns: Mapping[str, T], default: T) -> T:
    """What is set for a symbol: under its exact name first, then under the longest pattern that matches."""
    if symbol in patterns:
        return patterns[symbol]
    matching = [pattern for pattern in patterns if fnmatchcase(symbol, pattern)]
    return patterns[max(matching, key=len)] if matching else default


def detect_anchor(name: str, period: str, timestamps: Instants) -> Anchor:
    """Which anchor explains more of the timestamps; `hour` when both do."""
    found: dict[Anchor, int] = {}
    for anchor in get_args(Anchor):
        calendar = open_calendar(name, anchor={period: anchor})
        found[anchor] = int((calendar.available_at(period, timestamps) != NO_BAR).sum())
    return "open" if found["open"] > found["hour"] else "hour"


@lru_cache(maxsize=64)
def _open(name: str, anchor: tuple[tuple[str, Anchor], ...], delay_ms: int) -> Calendar:
    if name == "24x7":
        return Continuous(delay_ms=delay_ms)
    from tftctl.core.calendars.sessions import SessionCalendar

    return SessionCalendar(name, dict(anchor), delay_ms)
