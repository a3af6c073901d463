"""Calendars read off the data: a slot counts when at least half of the listed symbols have a bar (T2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tftctl.core.calendars.continuous import Continuous
from tftctl.core.calendars.slots import Slots
from tftctl.core.periods import DAY_MS, WEEK_MS, period_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

UNLISTED_AFTER_MS = 30 * DAY_MS
_GRID = Continuous()


@dataclass(frozen=True, slots=True)
class ObservedCalendar:
    """Known slots per period, sorted. After the last one none is expected until bars show it.

    A bar on the grid that is no slot is still a real bar, complete one period after it opens.
    """

    opens: Mapping[str, Instants]
    delay_ms: int = 0
    name: str = "observed"
    version: str = ""

    def slots(self, period: str, first_ms: int, last_ms: int) -> Slots:
        """Known slots with first_ms <= open <= last_ms."""
        known = self.opens[period]
        opens = known[(known >= first_ms) & (known <= last_ms)]
        return Slots(opens, opens + period_ms(period) + self.delay_ms)

    def available_at(self, period: str, timestamps: Instants) -> Instants:
        """timestamp + period; NO_BAR off the grid."""
        return Continuous(delay_ms=self.delay_ms).available_at(period, timestamps)

    def next_open(self, period: str, timestamps: Instants) -> Instants:
        """The next known slot; after the last one the next grid point at a time of the week that has had slots.

        Which these are the last four weeks say; with less than two weeks of slots it is the next grid point.
        """
        import numpy as np

        known = self.opens[period]
        coming = _next_of_week(known, period, timestamps)
        if known.size == 0:
            return coming
        place = np.searchsorted(known, timestamps, side="right")
        return np.where(place < known.size, known[np.minimum(place, known.size - 1)], coming)

    def bars_per_year(self, period: str) -> int:
        """As 24x7: what is observed is a part of that grid."""
        return _GRID.bars_per_year(period)


def _next_of_week(known: Instants, period: str, timestamps: Instants) -> Instants:
    import numpy as np

    if WEEK_MS % period_ms(period) or known.size == 0 or known[-1] - known[0] < 2 * WEEK_MS:
        return _GRID.next_open(period, timestamps)
    times = np.unique(known[known > known[-1] - 4 * WEEK_MS] % WEEK_MS)
    now = timestamps % WEEK_MS
    place = np.searchsorted(times, now, side="right")
    return timestamps - now + np.append(times, times[0] + WEEK_MS)[place]


def observed_slots(timestamps_by_symbol: Mapping[str, Instants], period: str) -> Instants:
    """Slots at which at least half of the symbols listed at that time have a bar; sorted int64 ms.

    A symbol is listed from its first bar until 30 days without one.
    """
    import numpy as np

    every = [stamps for stamps in timestamps_by_symbol.values() if stamps.size]
    if not every:
        return np.empty(0, np.int64)
    grid = np.unique(np.concatenate(every))
    listed = np.zeros(grid.size, np.int64)
    present = np.zeros(grid.size, np.int64)
    for stamps in every:
        stamps = np.unique(stamps)
        present[np.searchsorted(grid, stamps)] += 1
        last = np.searchsorted(stamps, grid, side="right") - 1
        listed += (last >= 0) & (grid - stamps[np.maximum(last, 0)] <= UNLISTED_AFTER_MS)
    return grid[2 * present >= listed]
