"""Markets that never close: every period tiles time from an anchor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tftctl.core.calendars.slots import NO_BAR, Slots
from tftctl.core.periods import DAY_MS, WEEK_MS, period_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

MONDAY_MS = 4 * DAY_MS  # 1970-01-05 was a Monday
YEAR_MS = 365 * DAY_MS


def grid_origin(period: str) -> int:
    """Instant from which the bars of a period are counted: midnight UTC of 1970, Monday for weeks."""
    return MONDAY_MS if period_ms(period) % WEEK_MS == 0 else 0


@dataclass(frozen=True, slots=True)
class Continuous:
    """24 hours, 7 days: a bar is complete one period after it opens (T2)."""

    delay_ms: int = 0
    name: str = "24x7"
    version: str = ""

    def slots(self, period: str, first_ms: int, last_ms: int) -> Slots:
        """Expected bars with first_ms <= open <= last_ms."""
        import numpy as np

        step, origin = period_ms(period), grid_origin(period)
        first = -((origin - first_ms) // step) * step + origin
        opens = np.arange(first, last_ms + 1, step, dtype=np.int64)
        return Slots(opens, opens + step + self.delay_ms)

    def available_at(self, period: str, timestamps: Instants) -> Instants:
        """timestamp + period; NO_BAR off the grid."""
        import numpy as np

        step = period_ms(period)
        on_grid = (timestamps - grid_origin(period)) % step == 0
        return np.where(on_grid, timestamps + step + self.delay_ms, NO_BAR)

    def next_open(self, period: str, timestamps: Instants) -> Instants:
        """The first grid point after each timestamp."""
        step, origin = period_ms(period), grid_origin(period)
        return (timestamps - origin) // step * step + step + origin

    def bars_per_year(self, period: str) -> int:
        """365 days' worth: 8,760 hours; 52 weeks."""
        return YEAR_MS // period_ms(period)
