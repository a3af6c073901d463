"""Reference periods of series that are not bars: `1d`, `1bd` (business day), `1w`, `1mo`, `1q`, `1y` (SEMANTICS T6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tftctl.core.errors import UsageError
from tftctl.core.periods import DAY_MS, HOUR_MS, WEEK_MS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

_FREQUENCY = re.compile(r"([1-9]\d*)(h|d|bd|w|mo|q|y)")
_FIXED_MS = {"h": HOUR_MS, "d": DAY_MS, "w": WEEK_MS}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_LAG = re.compile(r"(\d+)([hd])")


def parse_frequency(frequency: str) -> tuple[int, str]:
    """`3mo` -> 3 and `mo`. Raises UsageError."""
    match = _FREQUENCY.fullmatch(frequency)
    if match is None:
        raise UsageError(f"{frequency!r} is not a frequency", "write it like 1d, 1bd, 1w, 1mo, 1q or 1y")
    return int(match[1]), match[2]


def period_end(stamps: Instants, frequency: str, stamp: str) -> Instants:
    """End of the reference period of each stamp (ms UTC). `stamp` says whether it dates the start or the end.

    A series stamped at the end is stamped with its last day (or hour), which has to be over.
    """
    count, unit = parse_frequency(frequency)
    if stamp == "end" or (count, unit) == (1, "bd"):
        return stamps + (HOUR_MS if unit == "h" else DAY_MS)
    return _later(stamps, count, unit)


def advance(stamps: Instants, frequency: str, periods: int = 1) -> Instants:
    """The same stamp `periods` reference periods later (ms UTC)."""
    count, unit = parse_frequency(frequency)
    return _later(stamps, count * periods, unit)


def periods_between(first_ms: int, last_ms: int, frequency: str) -> int:
    """Whole reference periods from one stamp to a later one (ms UTC)."""
    import numpy as np

    count, unit = parse_frequency(frequency)
    if unit in _FIXED_MS:
        return (last_ms - first_ms) // (count * _FIXED_MS[unit])
    first, last = (np.datetime64(ms, "ms") for ms in (first_ms, last_ms))
    if unit == "bd":
        return int(np.busday_count(first.astype("datetime64[D]"), last.astype("datetime64[D]"))) // count
    months = last.astype("datetime64[M]") - first.astype("datetime64[M]")
    return int(months.astype(np.int64)) // (count * _MONTHS[unit])


def lag_ms(text: str) -> int:
    """`28d` or `16h` in milliseconds. Raises UsageError."""
    match = _LAG.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a lag", "write it like 28d or 16h")
    return int(match[1]) * _FIXED_MS[match[2]]


def _later(instants: Instants, count: int, unit: str) -> Instants:
    import numpy as np

    if unit in _FIXED_MS:
        return instants + count * _FIXED_MS[unit]
    if unit == "bd":
        return _business_days_later(instants, count)
    months = instants.astype("datetime64[ms]").astype("datetime64[M]")
    within = instants - months.astype("datetime64[ms]").astype(np.int64)
    later = (months + count * _MONTHS[unit]).astype("datetime64[ms]").astype(np.int64)
    return later + within


def _business_days_later(instants: Instants, count: int) -> Instants:
    """Monday to Friday; holidays are not known here and count as a release that did not come."""
    import numpy as np

    days = instants.astype("datetime64[ms]").astype("datetime64[D]")
    within = instants - days.astype("datetime64[ms]").astype(np.int64)
    later = np.busday_offset(days, count, roll="backward")
    return later.astype("datetime64[ms]").astype(np.int64) + within
