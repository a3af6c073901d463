"""Calendars read off the data: a slot counts when at least half of the listed symbols have a bar (T2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tftctl.core.calendars.continuous import Continuous
from tftctl.core.calendars.slots import Slots
from tftctl.core.periods import DAY_MS, period_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

UNLISTED_AFTER_MS = 30 * DAY_MS
_GRID = Continuous()


@dataclass(frozen=True, slots=True)
class ObservedCalendar:
    """Frozen slots per period. After the last one every grid point is expected.

    A bar on the grid that is no slot is still a real bar, complete one period after it opens.
    """

    opens: Mapping[str, Instants]
    delay_ms: int = 0
    name: str = "observed"
    version: str = ""

    def slots(self, period: str, first_ms: int, last_ms: int) -> Slots:
        """Frozen slots, and grid points after them, with first_ms <= open <= last_ms."""
        import numpy as np

        frozen = self.opens[period]
        after = int(frozen[-1]) + 1 if frozen.size else first_ms
        later = _GRID.slots(period, max(after, first_ms), last_ms).open_ms
        inside = frozen[(frozen >= first_ms) & (frozen <= last_ms)]
        opens = np.concatenate([inside, later]).astype(np.int64)
        return Slots(opens, opens + period_ms(period) + self.delay_ms)

    def available_at(self, period: str, timestamps: Instants) -> Instants:
        """timestamp + period; NO_BAR off the grid."""
        return Continuous(delay_ms=self.delay_ms).available_at(period, timestamps)

    def next_open(self, period: str, timestamps: Instants) -> Instants:
        """The next frozen slot, or the next grid point after the last one."""
        import numpy as np

        frozen = self.opens[period]
        grid = _GRID.next_open(period, timestamps)
        if frozen.size == 0:
            return grid
        place = np.searchsorted(frozen, timestamps, side="right")
        return np.where(place < frozen.size, frozen[np.minimum(place, frozen.size - 1)], grid)

    def bars_per_year(self, period: str) -> int:
        """As 24x7: what is observed is a part of that grid."""
        return _GRID.bars_per_year(period)


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
