"""From a table of a file to bars: what each row says, and why a row cannot be a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tftctl.core.calendars import Calendar
from tftctl.core.names import BAR_COLUMNS
from tftctl.core.periods import DAY_MS, is_intraday, period_ms
from tftctl.ingest.columns import PRICES, ColumnMap
from tftctl.ingest.numbers import parse_numbers
from tftctl.ingest.reading import LINE, RAGGED
from tftctl.ingest.timestamps import ParsedTimes, parse_times

REASON = "__reason"
LEAN_TIMEZONE = "America/New_York"
LEAN_PRICE_UNIT = 1e-4
# prices that were rounded on their way may stand this far outside their bar's range
_ROUNDING = 1e-9
_FEW_STEPS = 10


@dataclass(frozen=True, slots=True)
class Clock:
    """How times of a file are to be read: the zone of text without one, and the exchange's where dates are sessions."""

    timezone: str = "UTC"
    session_timezone: str | None = None


def read_rows(rows: pl.DataFrame, columns: ColumnMap, period: str, clock: Clock, *, price_unit: float) -> pl.DataFrame:
    """`__line`, timestamp, open ... volume, extras, and `__reason` where a row cannot be read (null elsewhere)."""
    stamps, trouble = _times(rows, columns, period, clock)
    frame = rows.select(LINE, RAGGED).with_columns(timestamp=stamps, __time=trouble)
    unread = pl.repeat(False, rows.height, eager=True)
    for name in BAR_COLUMNS:
        values, bad = parse_numbers(rows[columns.found[name]])
        unread = unread | bad
        frame = frame.with_columns((values * price_unit if name in PRICES else values).alias(name))
    for name, source in columns.kept_extras().items():
        frame = frame.with_columns(parse_numbers(rows[source])[0].alias(name))
    return frame.with_columns(
        pl.coalesce(
            pl.when(RAGGED).then(pl.lit("wrong number of fields")),
            pl.col("__time"),
            pl.when(pl.Series(unread)).then(pl.lit("unreadable number")),
            *_impossible(),
        ).alias(REASON)
    ).drop(RAGGED, "__time")


def place_on_calendar(frame: pl.DataFrame, calendar: Calendar, period: str, as_of: int) -> pl.DataFrame:
    """Add available_at, and the reasons that the calendar and the moment of fetching give."""
    stamps = frame["timestamp"].fill_null(-1).to_numpy()
    due = pl.Series("available_at", calendar.available_at(period, stamps), dtype=pl.Int64)
    placed = frame.with_columns(due)
    return placed.with_columns(
        pl.coalesce(
            REASON,
            pl.when(pl.col("available_at") < 0).then(pl.lit(f"no {period} bar of {calendar.name} opens then")),
            pl.when(pl.col("available_at") > as_of).then(pl.lit("unfinished when fetched")),
        ).alias(REASON)
    )


def bar_problems() -> pl.Expr:
    """Why a row's numbers cannot be one bar; null where they can."""
    return pl.coalesce(*_impossible())


def settle_duplicates(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Keep one of equal bars and say how many went; two different bars for one time are both refused.

    A bar that is impossible in itself still contests its twin: one of the two was read at a wrong moment, and nothing
    says which.
    """
    values = [name for name in frame.columns if name not in (LINE, REASON)]
    read = frame.filter(pl.all_horizontal(pl.col("timestamp", *BAR_COLUMNS).is_not_null()))
    different = read.unique(values).filter(pl.col("timestamp").is_duplicated())["timestamp"].unique()
    contested = pl.col("timestamp").is_in(different.implode()) & pl.col(REASON).is_null()
    judged = frame.with_columns(
        pl.when(contested).then(pl.lit("two different bars for one time")).otherwise(REASON).alias(REASON)
    )
    good = judged.filter(pl.col(REASON).is_null())
    kept = good.unique(values, keep="first", maintain_order=True).sort("timestamp")
    return pl.concat([kept, judged.filter(pl.col(REASON).is_not_null())]), good.height - kept.height


def misfit(frame: pl.DataFrame, calendar: Calendar, period: str) -> str | None:
    """Say how far apart the bars really are when that is not their period; None when it fits."""
    stamps = frame.drop_nulls("timestamp").unique(["timestamp", *BAR_COLUMNS])["timestamp"].sort()
    steps = stamps.diff().drop_nulls()
    if steps.is_empty():
        return None
    usual = int(steps.mode().min())  # type: ignore[arg-type]
    length = period_ms(period)
    few = len(steps) < _FEW_STEPS and usual > 0 and usual % length == 0
    if usual == length or few:
        return None
    on_calendar = calendar.available_at(period, stamps.to_numpy()) >= 0
    if usual > length and calendar.name not in ("24x7", "observed") and on_calendar.mean() > 0.9:
        return None
    return _span_text(usual)


def _times(rows: pl.DataFrame, columns: ColumnMap, period: str, clock: Clock) -> tuple[pl.Series, pl.Series]:
    """Instants (null where unreadable) and what is wrong with them."""
    found = [columns.found[name] for name in ("timestamp", "datetime") if name in columns.found]
    parsed = [_session_dates(parse_times(rows[name], clock.timezone, dates_only=_by_date(period, clock)), period, clock)
              for name in found]  # fmt: skip
    first, second = parsed[0], parsed[-1]
    frame = pl.DataFrame({"a": first.ms, "b": second.ms, "skipped": first.skipped | second.skipped})
    both = pl.col("a").is_not_null() & pl.col("b").is_not_null()
    trouble = pl.coalesce(
        pl.when("skipped").then(pl.lit(f"a local time that the clock change in {clock.timezone} repeats or skips")),
        pl.when(pl.col("a").is_null() & pl.col("b").is_null()).then(pl.lit("unreadable time")),
        pl.when(both & (pl.col("a") != pl.col("b"))).then(
            pl.format(
                "timestamp and date disagree by {} h",
                ((pl.col("b") - pl.col("a")) / 3.6e6).round(2),
            )
        ),
    )
    made = frame.select(ms=pl.coalesce("a", "b"), trouble=trouble)
    return made["ms"], made["trouble"]


def _by_date(period: str, clock: Clock) -> bool:
    return clock.session_timezone is not None and not is_intraday(period)


def _session_dates(times: ParsedTimes, period: str, clock: Clock) -> ParsedTimes:
    """Daily bars of an exchange that are stamped within the day belong to the exchange's date (T2)."""
    within = times.ms.fill_null(0) % DAY_MS != 0
    if not _by_date(period, clock) or not within.any():
        return times
    assert clock.session_timezone is not None
    local = times.ms.cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(clock.session_timezone)
    dates = local.dt.replace_time_zone(None).dt.truncate("1d").dt.epoch("ms")
    return ParsedTimes(dates.zip_with(within, times.ms), times.skipped)


def _impossible() -> Sequence[pl.Expr]:
    """Why numbers cannot be one bar."""
    low, high = pl.col("low") * (1 - _ROUNDING), pl.col("high") * (1 + _ROUNDING)
    outside = [(pl.col(name) < low) | (pl.col(name) > high) for name in ("open", "close")]
    blank = pl.any_horizontal(pl.col(name).is_null() for name in BAR_COLUMNS)
    infinite = pl.any_horizontal(pl.col(name).is_infinite() for name in BAR_COLUMNS)
    return (
        pl.when(blank).then(pl.lit("a blank or NaN inside the row")),
        pl.when(infinite).then(pl.lit("an infinite number")),
        pl.when(pl.min_horizontal(PRICES) <= 0).then(pl.lit("a price that is not above zero")),
        pl.when(pl.col("volume") < 0).then(pl.lit("negative volume")),
        pl.when(pl.col("high") < pl.col("low")).then(pl.lit("high below low")),
        pl.when(pl.any_horizontal(outside)).then(pl.lit("open or close outside low and high")),
    )


def _span_text(ms: int) -> str:
    for unit, size in (("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms} ms"
