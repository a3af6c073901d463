"""Bar periods: `15m`, `1h`, `4h`, `1d`, `1w`."""

from __future__ import annotations

import re

from tftctl.core.errors import UsageError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

_UNIT_MS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": WEEK_MS}
_PERIOD = re.compile(r"([1-9]\d*)([mhdw])")
_MONTHS = re.compile(r"(1|2|3|6|12)M|MN1?")
_MONTH_WORDS = re.compile(r"\d*\s*(mo|mon|months?|monthly)")
_WRITTEN = "periods are written 1m, 1h, 4h, 1d, 1w"
_ALIASES = {
    "1hr": "1h", "60m": "1h", "60min": "1h", "1hour": "1h", "hour": "1h", "hourly": "1h",
    "4hr": "4h", "240m": "4h", "4hour": "4h", "24h": "1d", "1day": "1d", "day": "1d", "daily": "1d", "d": "1d",
    "15min": "15m", "30min": "30m", "5min": "5m", "1min": "1m", "7d": "1w", "week": "1w", "weekly": "1w", "w": "1w",
}  # fmt: skip


def parse_period(text: str) -> str:
    """Return the canonical name of a period; `Daily`, `1hr` and `240m` are understood.

    Raises UsageError for anything that is not a whole number of minutes, hours, days or weeks.
    """
    plain = text.strip()
    if is_month(plain) or _MONTH_WORDS.fullmatch(plain.lower()):
        raise UsageError(
            f"{text!r} stands for months, and bars of months are not handled",
            f"{_WRITTEN}; only the frequency of a macro series may be a month, written 1mo",
        )
    lowered = _ALIASES.get(plain.lower(), plain.lower())
    if not _PERIOD.fullmatch(lowered):
        raise UsageError(f"{text!r} is not a bar period", _WRITTEN)
    return lowered


def is_month(text: str) -> bool:
    """`1M` is a month where case matters, and a minute where it does not: nothing says which."""
    return _MONTHS.fullmatch(text) is not None


def period_ms(period: str) -> int:
    """Length of a period in milliseconds (sessions may make a bar shorter; see calendars)."""
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise UsageError(f"{period!r} is not a bar period", _WRITTEN)
    return int(match[1]) * _UNIT_MS[match[2]]


def is_intraday(period: str) -> bool:
    """Whether a bar of this period is shorter than a day."""
    return period_ms(period) < DAY_MS


def sort_periods(periods: set[str] | list[str] | tuple[str, ...]) -> list[str]:
    """Periods from the shortest to the longest."""
    return sorted(periods, key=period_ms)
