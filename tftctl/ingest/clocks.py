"""When each row of a file says it opens: one time column, two that must agree, or a date and a clock apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tftctl.core.periods import DAY_MS, is_intraday
from tftctl.ingest.timestamps import ParsedTimes, parse_times

_TIMES = ("timestamp", "datetime")
_CLOCK = r"(?i)^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([AP]M)?$"
_DIGITS = r"^\d{1,6}$"
# more differing differences than this are not told one by one
_FEW_DIFFERENCES = 3


@dataclass(frozen=True, slots=True)
class Clock:
    """How times of a file are to be read: the zone of text without one, and the exchange's where dates are sessions."""

    timezone: str = "UTC"
    session_timezone: str | None = None

    def by_date(self, period: str) -> bool:
        """Whether a bar of this period belongs to a date of the exchange rather than to an instant."""
        return self.session_timezone is not None and not is_intraday(period)


def read_times(rows: pl.DataFrame, found: Mapping[str, str], period: str, clock: Clock) -> tuple[pl.Series, pl.Series]:
    """Instants (int64 ms UTC, null where unreadable) and what is wrong with them.

    `found`: canonical name -> column. Raises UsageError for a zone that there is not, DataError when nothing decides
    whether day or month comes first.
    """
    columns = [rows[found[name]] for name in _TIMES if name in found]
    if len(columns) == 2 and _is_clock(columns[0]) and not _has_clock(columns[1]):
        columns = [_joined(columns[1], columns[0])]
    parsed = [_session_dates(parse_times(values, clock.timezone, dates_only=clock.by_date(period)), period, clock)
              for values in columns]  # fmt: skip
    first, second = parsed[0], parsed[-1]
    only_day = len(parsed) == 2 and is_intraday(period) and _is_day(columns[1], second.ms, clock.timezone)
    if only_day:
        second = ParsedTimes(_on_day(first.ms, second.ms, clock.timezone), second.skipped)
    return _agreed(first, second, clock.timezone, either=not only_day)


def _agreed(first: ParsedTimes, second: ParsedTimes, timezone: str, *, either: bool) -> tuple[pl.Series, pl.Series]:
    """`either`: a row may lack one of the two."""
    frame = pl.DataFrame({"a": first.ms, "b": second.ms, "skipped": first.skipped | second.skipped})
    both = pl.col("a").is_not_null() & pl.col("b").is_not_null()
    apart = frame.filter(both & (pl.col("a") != pl.col("b"))).select((pl.col("b") - pl.col("a")).n_unique()).item()
    hours = pl.format(" by {} h", ((pl.col("b") - pl.col("a")) / 3.6e6).round(2))
    trouble = pl.coalesce(
        pl.when("skipped").then(pl.lit(f"a local time that the clock change in {timezone} repeats or skips")),
        pl.when(pl.col("a").is_null() & (pl.col("b").is_null() if either else True)).then(pl.lit("unreadable time")),
        pl.when(both & (pl.col("a") != pl.col("b"))).then(
            pl.concat_str(pl.lit("timestamp and date disagree"), hours if apart <= _FEW_DIFFERENCES else pl.lit(""))
        ),
    )
    made = frame.select(ms=pl.coalesce("a", "b") if either else pl.col("a"), trouble=trouble)
    return made["ms"], made["trouble"]


def _is_clock(values: pl.Series) -> bool:
    """`09:30`, `9:30 AM`, `093000`, in all rows: a time of day without its date."""
    if values.dtype == pl.Time:
        return True
    if values.dtype.is_float() or not (values.dtype.is_integer() or values.dtype == pl.String):
        return False
    text = values.cast(pl.String).str.strip_chars().drop_nulls()
    if text.is_empty():
        return False
    if text.str.contains(_CLOCK).all():
        return True
    return bool(text.str.contains(_DIGITS).all()) and bool(
        (text.str.zfill(6).str.slice(2, 4).cast(pl.Int64) < 6000).all()
    )


def _has_clock(values: pl.Series) -> bool:
    """Whether a date column says the time of day, too."""
    if values.dtype == pl.String:
        return bool(values.str.contains(r"\d:\d{2}").any())
    return isinstance(values.dtype, pl.Datetime) and bool((values.dt.truncate("1d") != values).any())


def _joined(dates: pl.Series, clocks: pl.Series) -> pl.Series:
    """Texts of date and time of day."""
    days = dates.dt.strftime("%Y-%m-%d") if dates.dtype.is_temporal() else dates.cast(pl.String).str.strip_chars()
    text = clocks.dt.strftime("%H:%M:%S") if clocks.dtype == pl.Time else clocks.cast(pl.String).str.strip_chars()
    bare = text.str.contains(_DIGITS).fill_null(False)
    with_seconds = bool((text.filter(bare).str.len_chars() > 4).any())
    digits = text.str.zfill(6 if with_seconds else 4)
    marked = digits.str.replace(r"^(\d{2})(\d{2})(\d{2})?$", "$1:$2:$3").str.strip_suffix(":")
    return days + " " + marked.zip_with(bare, text)


def _is_day(dates: pl.Series, ms: pl.Series, timezone: str) -> bool:
    """Whether a column holds dates without a time of day."""
    if dates.dtype == pl.Date:
        return True
    local = ms.cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(timezone)
    return not _has_clock(dates) and bool((local.dt.truncate("1d") == local).all())


def _on_day(ms: pl.Series, days: pl.Series, timezone: str) -> pl.Series:
    """The instants themselves where they fall on their day, else the day's beginning."""
    a, b = (values.cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(timezone).dt.date() for values in (ms, days))
    return ms.zip_with((a == b).fill_null(False), days)


def _session_dates(times: ParsedTimes, period: str, clock: Clock) -> ParsedTimes:
    """Daily bars of an exchange that are stamped within the day belong to the exchange's date (T2)."""
    within = times.ms.fill_null(0) % DAY_MS != 0
    if not clock.by_date(period) or not within.any():
        return times
    assert clock.session_timezone is not None
    local = times.ms.cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(clock.session_timezone)
    dates = local.dt.replace_time_zone(None).dt.truncate("1d").dt.epoch("ms")
    return ParsedTimes(dates.zip_with(within, times.ms), times.skipped)
