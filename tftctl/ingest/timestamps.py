"""Times in any of the usual writings -> int64 ms UTC."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tftctl.core.errors import DataError, UsageError

_NUMBER = r"^[-+]?\d+(\.\d*)?([eE][-+]?\d+)?$"
_ZONE = r"(?i)\s*(Z|UTC|GMT|[+-]\d{2}:\d{2})$"
# an offset without a colon is one only behind a clock time: the -2024 of 31-Jan-2024 is none
_CLOCK = r"(?i)(\d:\d{2}(?:\.\d+)?|[AP]M|\d{8} \d{4})\s*([+-]\d{2})"
_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M",
    "%Y%m%d %H%M", "%Y%m%d %H%M%S", "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d", "%b %d, %Y", "%B %d, %Y", "%d %b %Y",
    "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y %H:%M",
)  # fmt: skip
_SLASHED = (" %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "")
# a format takes 24-01-31 for the year 24
_YEARS = (1800, 2200)
# numbers: seconds until the year 2099, then milliseconds from 1970-02-17 on, and so forth
_SECONDS_BELOW = 4.1e9
# nearer to 1970 than a day: a count or a spreadsheet's day number, no time
_NO_TIME_BELOW = 86_400
_DAY = r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_MINUTE = r"([01]\d|2[0-3])[0-5]\d"


@dataclass(frozen=True, slots=True)
class ParsedTimes:
    """`ms` int64, null where the text is no time; `skipped`: local times that the clock change repeats or skips."""

    ms: pl.Series
    skipped: pl.Series


def parse_times(values: pl.Series, timezone: str = "UTC", *, dates_only: bool = False) -> ParsedTimes:
    """Numbers by magnitude (s, ms, µs, ns, also mixed), text with a zone as it says, text without in `timezone`.

    With `dates_only` (daily and longer bars) a local date is the session's date, stamped 00:00 UTC; text with a zone
    that is not at midnight there stays an instant.
    Raises UsageError for an unknown time zone.
    """
    if values.dtype == pl.Date:
        values = values.cast(pl.Datetime("ms"))
    if isinstance(values.dtype, pl.Datetime):
        return _typed(values, timezone, dates_only)
    if values.dtype.is_numeric():
        if not _compact_numbers(values):
            return ParsedTimes(_by_magnitude(values.cast(pl.Float64)), _none(values))
        values = values.cast(pl.Int64, strict=False).cast(pl.String)
    if values.dtype != pl.String:
        raise DataError(f"a time column of type {values.dtype} cannot be read", "use text, numbers or timestamps")
    text = values.str.strip_chars().str.strip_chars('"')
    numeric = text.str.contains(_NUMBER) & ~_compact_date(text)
    numbers = _by_magnitude(text.set(~numeric.fill_null(False), None).cast(pl.Float64, strict=False))
    written = _written(text.set(numeric.fill_null(False), None), timezone, dates_only)
    return ParsedTimes(numbers.fill_null(written.ms) if len(values) else numbers, written.skipped)


def _by_magnitude(values: pl.Series) -> pl.Series:
    """Seconds below 4.1e9, milliseconds below 4.1e12, microseconds from 1e14, nanoseconds from 1e17.

    Between these lie milliseconds after 2099 or microseconds before 1973, and what takes one for the other is worse
    than null.
    """
    v, size = pl.col("v"), pl.col("v").abs()
    scaled = (
        pl.when(size < _NO_TIME_BELOW).then(None).when(size < _SECONDS_BELOW).then(v * 1000)
        .when(size < _SECONDS_BELOW * 1e3).then(v).when(size < 1e14).then(None)
        .when(size < _SECONDS_BELOW * 1e6).then(v / 1000).when(size < 1e17).then(None).otherwise(v / 1e6)
    )  # fmt: skip
    return pl.DataFrame({"v": values}).select(scaled.fill_nan(None).round().cast(pl.Int64, strict=False)).to_series()


def _compact_date(text: pl.Series) -> pl.Series:
    """`20240111` and `20240111093000` are dates, not seconds; `202401110930` is one where the whole column is."""
    dates = text.str.contains(_DAY + rf"({_MINUTE}[0-5]\d)?$")
    minutes = text.str.contains(_DAY + _MINUTE + "$").fill_null(True)
    return text.is_not_null() if minutes.all() else dates


def _compact_numbers(values: pl.Series) -> bool:
    """Whether a column of numbers holds dates written without marks."""
    if values.dtype.is_float() or values.is_empty():
        return False
    return bool(_compact_date(values.cast(pl.String)).any())


def _written(text: pl.Series, timezone: str, dates_only: bool) -> ParsedTimes:
    text = (
        text.str.replace(r"(?i)(\d|[AP]M)\s*(?:GMT|UTC)([+-]\d)", "$1$2")
        .str.replace(_CLOCK + "$", "$1$2:00")
        .str.replace(_CLOCK + r"(\d{2})$", "$1$2:$3")
    )
    frame = pl.DataFrame({"t": text}).with_columns(
        zone=pl.col("t").str.extract(_ZONE, 1),
        bare=pl.col("t")
        .str.replace(_ZONE, "")
        .str.replace(r"(\d)T(\d)", "$1 $2")
        .str.replace(r"T$", "")
        .str.replace(r"^(\d{1,2})[.-](\d{1,2})[.-](\d{4})", "$1/$2/$3")
        .str.replace(r"^(\d{4})\.(\d{1,2})\.(\d{1,2})", "$1-$2-$3")
        .str.replace(r"(?i)[ -](\d{1,2})[ -]?([AP]M)$", " $1:00 $2")
        .str.replace(r"(?i) (\d:\d{2}(?::\d{2})?)\s*([AP]M)$", " 0$1 $2")
        .str.replace(r"(?i) (\d{2}:\d{2}(?::\d{2})?)([AP]M)$", " $1 $2"),
    )
    zone, naive = frame["zone"], _naive(frame["bare"])
    zoned = naive.dt.epoch("ms") - _offsets(zone)
    has_zone = zone.is_not_null()
    if dates_only:
        dates = naive.dt.truncate("1d")
        instant = has_zone & (naive != dates).fill_null(False)
        return ParsedTimes(zoned.zip_with(instant, dates.dt.epoch("ms")), _none(text))
    local = _localised(naive, timezone)
    skipped = naive.is_not_null() & ~has_zone & local.is_null()
    return ParsedTimes(zoned.zip_with(has_zone, local), skipped)


def _naive(bare: pl.Series) -> pl.Series:
    found = pl.Series([None] * len(bare), dtype=pl.Datetime("ms"))
    for form in (*_FORMATS, *_slashed_formats(bare)):
        if found.null_count() == bare.null_count():
            break
        read = bare.str.strptime(pl.Datetime("ms"), form, strict=False)
        found = found.fill_null(read.set(~read.dt.year().is_between(*_YEARS), None))
    return found


def _slashed_formats(bare: pl.Series) -> list[str]:
    """Day or month first, decided by a part above 12. Raises DataError when nothing decides."""
    parts = bare.str.extract_groups(r"^(\d{1,2})/(\d{1,2})/\d{4}").struct.unnest().cast(pl.Int64)
    first, second = (parts.to_series(i) > 12 for i in range(2))
    if parts.to_series(0).null_count() == len(bare):
        return []
    day_first, month_first = (first & ~second).any(), (second & ~first).any()
    if day_first == month_first:
        why = "the file has both" if day_first else "nothing in the file decides"
        shown = bare.filter(parts.to_series(0).is_not_null())[0]
        raise DataError(f"{shown!r}: day or month first? {why}", "write ISO dates")
    order = "%d/%m/%Y" if day_first else "%m/%d/%Y"
    return [order + tail for tail in _SLASHED]


def _offsets(zone: pl.Series) -> pl.Series:
    """Milliseconds east of UTC."""
    parts = zone.str.extract_groups(r"^([+-])(\d{2}):(\d{2})$").struct.unnest()
    sign = parts.to_series(0).eq("-").cast(pl.Int64).fill_null(0) * -2 + 1
    minutes = parts.to_series(1).cast(pl.Int64) * 60 + parts.to_series(2).cast(pl.Int64)
    return (sign * minutes * 60_000).fill_null(0)


def _localised(naive: pl.Series, timezone: str) -> pl.Series:
    if timezone == "UTC":
        return naive.dt.epoch("ms")
    try:
        local = naive.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    except pl.exceptions.ComputeError:
        raise UsageError(f"there is no time zone {timezone!r}", "use a name such as America/New_York") from None
    return local.dt.epoch("ms")


def _typed(values: pl.Series, timezone: str, dates_only: bool) -> ParsedTimes:
    if dates_only:
        plain = values.dt.replace_time_zone(None)
        dates = plain.dt.truncate("1d")
        instant = (plain != dates).fill_null(False) & (values.dtype.time_zone is not None)  # type: ignore[attr-defined]
        return ParsedTimes(values.dt.epoch("ms").zip_with(instant, dates.dt.epoch("ms")), _none(values))
    if values.dtype.time_zone is not None:  # type: ignore[attr-defined]
        return ParsedTimes(values.dt.epoch("ms"), _none(values))
    local = _localised(values, timezone)
    return ParsedTimes(local, values.is_not_null() & local.is_null())


def _none(values: pl.Series) -> pl.Series:
    return pl.repeat(False, len(values), eager=True)
