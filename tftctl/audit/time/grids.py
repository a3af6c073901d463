"""Where bars are expected: on a calendar, at a step, on working days, at a frequency (SEMANTICS T2, T3, T6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tftctl.core.calendars import NO_BAR, Calendar, Continuous
from tftctl.core.calendars.continuous import grid_origin
from tftctl.core.frequencies import advance, periods_between
from tftctl.core.periods import DAY_MS, period_ms
from tftctl.ingest.bars import span_text
from tftctl.ingest.listing import Hole, find_holes

Instants = npt.NDArray[np.int64]

_DAYS_OF_A_MONTH = (28, 31)
# months, holidays and leap years move a release by so much of its period
_SLACK = 0.2
# the commonest difference explains at least this share of all, or there is no step
_REGULAR = 0.5
_TWO_WEEKS = 14 * DAY_MS


class Grid(Protocol):
    """Expected open times. `stamps` are sorted and unique, int64 ms UTC; `declared`: not read off the times."""

    @property
    def name(self) -> str: ...
    @property
    def declared(self) -> bool: ...
    def expected(self, first: int, last: int) -> int:
        """How many bars are expected from first to last, both included."""

    def holes(self, stamps: Instants) -> list[Hole]:
        """Runs of expected times without a bar, between the first and the last bar."""

    def off(self, stamps: Instants) -> npt.NDArray[np.bool_]:
        """Which times no bar opens at."""


@dataclass(frozen=True, slots=True)
class StepGrid:
    """Every `step_ms` from `origin` on, day and night."""

    name: str
    step_ms: int
    origin: int = 0
    declared: bool = False

    def expected(self, first: int, last: int) -> int:
        """Grid points from first to last."""
        return (last - self.origin) // self.step_ms - -((self.origin - first) // self.step_ms) + 1

    def holes(self, stamps: Instants) -> list[Hole]:
        """From differences alone: the grid itself may be too long for memory."""
        beside = self.off(stamps)
        on = stamps[~beside] if beside.any() else stamps
        steps = np.diff(on)
        at = np.flatnonzero(steps > self.step_ms)
        return [
            Hole(int(on[i]) + self.step_ms, int(on[i + 1]) - self.step_ms, int(steps[i]) // self.step_ms - 1)
            for i in at
        ]

    def off(self, stamps: Instants) -> npt.NDArray[np.bool_]:
        """Times beside the grid."""
        return (stamps - self.origin) % self.step_ms != 0


@dataclass(frozen=True, slots=True)
class CalendarGrid:
    """The slots of a market's calendar."""

    calendar: Calendar
    period: str
    declared: bool = True

    @property
    def name(self) -> str:
        """The calendar's name."""
        return self.calendar.name

    def expected(self, first: int, last: int) -> int:
        """Slots from first to last."""
        return self.calendar.slots(self.period, first, last).open_ms.size

    def holes(self, stamps: Instants) -> list[Hole]:
        """As `tftctl data gaps` counts them."""
        return find_holes(stamps, self.calendar, self.period)

    def off(self, stamps: Instants) -> npt.NDArray[np.bool_]:
        """Times that the calendar has no bar for."""
        return self.calendar.available_at(self.period, stamps) == NO_BAR


@dataclass(frozen=True, slots=True)
class WorkdayGrid:
    """Monday to Friday at one time of day: what daily bars of an unnamed exchange show; holidays count as missing."""

    origin: int
    name: str = "Mon-Fri"
    declared: bool = False

    def expected(self, first: int, last: int) -> int:
        """Working days from first to last."""
        return int(np.busday_count(_date(first), _date(last))) + int(np.is_busday(_date(last)))

    def holes(self, stamps: Instants) -> list[Hole]:
        """Runs of working days without a bar."""
        opens = np.arange(stamps[0], stamps[-1] + 1, DAY_MS, dtype=np.int64)
        opens = opens[np.is_busday(opens.astype("datetime64[ms]").astype("datetime64[D]"))]
        missing = np.flatnonzero(~np.isin(opens, stamps))
        runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1) if missing.size else []
        return [Hole(int(opens[run[0]]), int(opens[run[-1]]), run.size) for run in runs]

    def off(self, stamps: Instants) -> npt.NDArray[np.bool_]:
        """Another time of the day."""
        return (stamps - self.origin) % DAY_MS != 0


@dataclass(frozen=True, slots=True)
class FrequencyGrid:
    """Reference periods of a series that is not bars; a release may come some days beside its date."""

    name: str
    declared: bool = True

    def expected(self, first: int, last: int) -> int:
        """Steps of the frequency from first to last."""
        return periods_between(first, last, self.name) + 1 if first <= last else 0

    def holes(self, stamps: Instants) -> list[Hole]:
        """Where the next value comes later than the frequency and its slack say."""
        due = advance(stamps[:-1], self.name)
        length = due - stamps[:-1]
        late = np.flatnonzero(stamps[1:] - due > _SLACK * length)
        return [_late(int(stamps[i]), int(stamps[i + 1]), self.name) for i in late]

    def off(self, stamps: Instants) -> npt.NDArray[np.bool_]:
        """None: a release date is no grid."""
        return np.zeros(stamps.size, bool)


def declared_grid(period: str, calendar: Calendar | None) -> Grid:
    """The grid of a period on a calendar; without one, day and night, as declared by the period alone."""
    if calendar is not None and not isinstance(calendar, Continuous):
        return CalendarGrid(calendar, period)
    return StepGrid("24x7", period_ms(period), grid_origin(period), declared=calendar is not None)


def in_order(stamps: Instants) -> Instants:
    """Sorted, each once; the same array where it is so already, which is the rule and saves the time and the memory."""
    steps = np.diff(stamps)
    if (steps > 0).all():
        return stamps
    ordered = stamps[::-1] if (steps <= 0).all() else np.sort(stamps)
    return ordered[np.concatenate(([True], np.diff(ordered) > 0))] if ordered.size else ordered


def usual_step(stamps: Instants) -> tuple[int | None, float]:
    """The commonest difference of sorted unique times (ms), the shortest of several, and the share that it has."""
    if stamps.size < 2:
        return None, 0.0
    steps, counts = np.unique(np.diff(stamps), return_counts=True)
    return int(steps[counts.argmax()]), float(counts.max() / counts.sum())


def inferred_grid(stamps: Instants, period: str | None = None) -> Grid | None:
    """What the times themselves show: months, working days, or a step; None where they are irregular."""
    step, share = usual_step(stamps)
    length = period_ms(period) if period else step
    if step is None or length is None:
        return None
    if period is None and _is_monthly(stamps):
        return FrequencyGrid("1mo", declared=False)
    if length == DAY_MS and _no_weekends(stamps):
        return WorkdayGrid(_usual_rest(stamps, DAY_MS))
    if period is not None:
        return StepGrid("24x7", length, grid_origin(period))
    return StepGrid(f"every {span_text(step)}", step, _usual_rest(stamps, step)) if share >= _REGULAR else None


def _is_monthly(stamps: Instants) -> bool:
    days = np.diff(stamps) / DAY_MS
    firsts = stamps.astype("datetime64[ms]").astype("datetime64[D]")
    first_of_month = firsts == firsts.astype("datetime64[M]").astype("datetime64[D]")
    inside = (days >= _DAYS_OF_A_MONTH[0]) & (days <= _DAYS_OF_A_MONTH[1])
    return bool(first_of_month.all() and inside.mean() >= _REGULAR)


def _no_weekends(stamps: Instants) -> bool:
    if stamps[-1] - stamps[0] < _TWO_WEEKS:
        return False
    return bool(np.is_busday(stamps.astype("datetime64[ms]").astype("datetime64[D]")).all())


def _usual_rest(stamps: Instants, step: int) -> int:
    rests, counts = np.unique(stamps % step, return_counts=True)
    return int(rests[counts.argmax()])


def _late(before: int, after: int, frequency: str) -> Hole:
    here, missed = np.array([before], np.int64), []
    while True:
        here = advance(here, frequency)
        length = int((advance(here, frequency) - here)[0])
        if int(here[0]) >= after - _SLACK * length:
            break
        missed.append(int(here[0]))
    return Hole(missed[0], missed[-1], len(missed)) if missed else Hole(before, after, 0)


def _date(ms: int) -> np.datetime64:
    return np.datetime64(ms, "ms").astype("datetime64[D]")
