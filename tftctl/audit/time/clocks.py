"""Clock changes that show in times: an hour that comes twice, one that is never there, a day that begins later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from tftctl.core.periods import DAY_MS, HOUR_MS
from tftctl.core.times import UTC
from tftctl.ingest.listing import Hole

Instants = npt.NDArray[np.int64]

# one zone of each rule by which clocks change
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney")
# an outage may fall into one such night, hardly into several
_LEAST = 2
_HALF = 0.5
_SHARE_OF_TWO_RESTS = 0.9
_SHARE_OF_THE_LESSER = 0.05
_SWITCHES_PER_YEAR = 3


@dataclass(frozen=True, slots=True)
class ClockChange:
    """What shows it, in words, and the first time at which it does."""

    words: str
    first: int


def clock_changes(stamps: Instants, repeated: Instants, holes: Sequence[Hole], step: int) -> ClockChange | None:
    """Local times taken for UTC. `stamps` sorted and unique, `repeated` those that come twice, `step` in ms."""
    if step > HOUR_MS:
        return _moving_rest(stamps, step)
    return _odd_hours(stamps, repeated, holes, step)


def _odd_hours(stamps: Instants, repeated: Instants, holes: Sequence[Hole], step: int) -> ClockChange | None:
    """In most nights of a zone's changes an hour is twice there (autumn) or not (spring)."""
    missing = np.array([hole.first for hole in holes if hole.missing * step == HOUR_MS], np.int64)
    for zone in ZONES:
        back, forth = (_within(nights, stamps) for nights in _nights(zone))
        twice, skipped = _hit(back, repeated), _hit(forth, missing)
        nights = back.size * (repeated.size > 0) + forth.size * (missing.size > 0)
        if twice.size + skipped.size >= max(_LEAST, _HALF * nights):
            words = (
                f"the hour is repeated in {twice.size} of {back.size} and missing in {skipped.size} of {forth.size} "
                f"nights in which clocks change as in {zone}: local times taken for UTC"
            )
            return ClockChange(words, int(np.concatenate([twice, skipped]).min()))
    return None


def _hit(nights: Instants, times: Instants) -> Instants:
    """The first of the times in each night that has one."""
    if not times.size:
        return times
    place = np.searchsorted(times, nights - DAY_MS // 2)
    found = times[np.minimum(place, times.size - 1)]
    return found[(found >= nights - DAY_MS // 2) & (found < nights + DAY_MS)]


def _within(nights: Instants, stamps: Instants) -> Instants:
    return nights[(nights >= stamps[0]) & (nights <= stamps[-1])]


def _moving_rest(stamps: Instants, step: int) -> ClockChange | None:
    """Bars that open at two times of the grid, an hour apart, and change between them twice a year."""
    rests = stamps % step
    values, counts = np.unique(rests, return_counts=True)
    if values.size < 2:
        return None
    top = np.argsort(counts)[-2:]
    apart = abs(int(values[top[0]] - values[top[1]]))
    share, lesser = counts[top].sum() / stamps.size, counts[top].min() / stamps.size
    if apart not in (HOUR_MS, step - HOUR_MS) or share < _SHARE_OF_TWO_RESTS or lesser < _SHARE_OF_THE_LESSER:
        return None
    both = np.isin(rests, values[top])
    at = np.flatnonzero(np.diff(rests[both]) != 0)
    years = (stamps[-1] - stamps[0]) / (365 * DAY_MS)
    if at.size > _SWITCHES_PER_YEAR * (years + 1):
        return None
    words = f"bars open at two times an hour apart and change between them {at.size} times: a local clock"
    return ClockChange(words, int(stamps[both][at[0] + 1]))


@lru_cache(maxsize=8)
def _nights(zone: str) -> tuple[Instants, Instants]:
    """00:00 UTC of the days on which clocks go back, and forth, from 1990 to 2040."""
    info = ZoneInfo(zone)
    days = [dt.datetime(1990, 1, 1, tzinfo=UTC) + dt.timedelta(days=n) for n in range(365 * 51)]
    offsets = np.array([day.astimezone(info).utcoffset().total_seconds() for day in days])  # type: ignore[union-attr]
    steps = np.diff(offsets)
    stamps = np.array([round(day.timestamp() * 1000) for day in days], np.int64)
    return stamps[:-1][steps < 0], stamps[:-1][steps > 0]
