"""Exchanges with sessions, from the package exchange_calendars (T2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from tftctl.core.calendars.slots import Anchor, Slots, lookup
from tftctl.core.errors import ConfigError, choices
from tftctl.core.periods import DAY_MS, WEEK_MS, is_intraday, period_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

FIRST_SESSION = "1950-01-01"
_WEEK_ORIGIN_MS = 4 * DAY_MS
# Sessions of a year and of a day, as constants of the calendar: means would move with the span looked at
_SESSIONS_PER_YEAR = {"XNYS": 252, "XNAS": 252}
_REFERENCE = ("2004-01-01", "2023-12-31")


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Sessions in order: dates at 00:00 UTC, opens and closes, int64 ms UTC."""

    timezone: str
    dates: Instants
    opens: Instants
    closes: Instants


class SessionCalendar:
    """Sessions of one exchange, opened with an explicit start date.

    A daily bar is stamped 00:00 UTC of its session date and complete at the scheduled close; an intraday bar is
    complete at min(open + period, close); weeks open on Monday and are complete at the week's last close.
    """

    def __init__(self, name: str, anchor: dict[str, Anchor], delay_ms: int) -> None:
        schedule = _schedule(name)
        self.name = name
        self.version = f"exchange_calendars {version('exchange_calendars')}"
        self.timezone = schedule.timezone
        self._anchor = anchor
        self._delay_ms = delay_ms
        self._slots: dict[str, Slots] = {}
        self._dates, self._opens, self._closes = schedule.dates, schedule.opens, schedule.closes

    def session_dates(self, timestamps: Instants) -> Instants:
        """00:00 UTC of the session to which an intraday instant belongs (the first that closes after it)."""
        import numpy as np

        place = np.searchsorted(self._closes, timestamps, side="right")
        return self._dates[np.minimum(place, self._dates.size - 1)]

    def slots(self, period: str, first_ms: int, last_ms: int) -> Slots:
        """Expected bars with first_ms <= open <= last_ms."""
        import numpy as np

        every = self._all(period)
        low, high = np.searchsorted(every.open_ms, [first_ms, last_ms + 1])
        return Slots(every.open_ms[low:high], every.due_ms[low:high])

    def available_at(self, period: str, timestamps: Instants) -> Instants:
        """Scheduled completion; NO_BAR where no bar of this calendar opens."""
        return lookup(self._all(period), timestamps)

    def next_open(self, period: str, timestamps: Instants) -> Instants:
        """Open time of the first expected bar after each timestamp."""
        import numpy as np

        opens = self._all(period).open_ms
        return opens[np.minimum(np.searchsorted(opens, timestamps, side="right"), opens.size - 1)]

    def bars_per_year(self, period: str) -> int:
        """Sessions per year (252 in New York) times bars per full session; 52 weeks."""
        import numpy as np

        if period_ms(period) >= WEEK_MS:
            return 52 * WEEK_MS // period_ms(period)
        sessions = _SESSIONS_PER_YEAR.get(self.name) or self._mean_sessions()
        if not is_intraday(period):
            return sessions * DAY_MS // period_ms(period)
        every = self._all(period)
        place = np.searchsorted(self._closes, every.open_ms, side="right")
        return sessions * int(np.median(np.unique(place, return_counts=True)[1]))

    def _mean_sessions(self) -> int:
        import numpy as np

        first, last = (np.datetime64(text, "ms").astype(np.int64) for text in _REFERENCE)
        return round(int(((self._dates >= first) & (self._dates <= last)).sum()) / 20)

    def _all(self, period: str) -> Slots:
        if period not in self._slots:
            self._slots[period] = self._make(period)
        return self._slots[period]

    def _make(self, period: str) -> Slots:
        import numpy as np

        length = period_ms(period)
        if is_intraday(period):
            return self._intraday(length, self._anchor.get(period, "hour"))
        if length == DAY_MS:
            return Slots(self._dates, self._closes + self._delay_ms)
        origin = (self._dates - _WEEK_ORIGIN_MS) // length * length + _WEEK_ORIGIN_MS
        opens, last = np.unique(origin[::-1], return_index=True)
        return Slots(opens, self._closes[::-1][last] + self._delay_ms)

    def _intraday(self, length: int, anchor: Anchor) -> Slots:
        """Bars that intersect each session, from the full hour before its open or from the open itself."""
        import numpy as np

        start = self._opens if anchor == "open" else self._hour_start(length)
        count = -((start - self._closes) // length)
        session = np.repeat(np.arange(start.size), count)
        step = np.arange(session.size) - np.repeat(np.cumsum(count) - count, count)
        opens = start[session] + step * length
        due = np.minimum(opens + length, self._closes[session]) + self._delay_ms
        return Slots(opens, due)

    def _hour_start(self, length: int) -> Instants:
        """Start of the bar that holds the open, bars counted from local midnight in steps of `length`."""
        local_midnight = self._local_midnight()
        return (self._opens - local_midnight) // length * length + local_midnight

    def _local_midnight(self) -> Instants:
        import pandas as pd

        midnight = pd.DatetimeIndex(self._dates.astype("datetime64[ms]")).tz_localize(self.timezone)
        return _ms(midnight)


@lru_cache(maxsize=16)
def _schedule(name: str) -> _Schedule:
    """Of one exchange, whatever the anchors of its bars. Raises ConfigError for a name that there is not."""
    import exchange_calendars

    known = exchange_calendars.get_calendar_names(include_aliases=True)
    if name not in known:
        raise ConfigError(f"there is no calendar {name!r}", choices(name, ["24x7", "observed", *known], "calendars"))
    calendar = exchange_calendars.get_calendar(name, start=_earliest(name))
    schedule = calendar.schedule
    return _Schedule(str(calendar.tz), _ms(schedule.index), _ms(schedule["open"]), _ms(schedule["close"]))


def _earliest(name: str) -> str:
    """The library's own earliest date where that is later than ours."""
    import exchange_calendars
    import pandas as pd

    bound = exchange_calendars.calendar_utils.global_calendar_dispatcher._calendar_factories.get(name)
    minimum = bound.bound_min() if bound is not None else None
    start = pd.Timestamp(FIRST_SESSION)
    return str((minimum if minimum is not None and minimum > start else start).date())


def _ms(values: object) -> Instants:
    import numpy as np
    import pandas as pd

    index = pd.DatetimeIndex(values)
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    return np.ascontiguousarray(index.to_numpy().astype("datetime64[ms]").astype(np.int64))
