"""From a table of a file to bars: what each row says, and why a row cannot be a bar."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tftctl.core.calendars import NO_BAR, Calendar
from tftctl.core.names import BAR_COLUMNS
from tftctl.core.periods import DAY_MS, is_intraday, period_ms
from tftctl.ingest.clocks import Clock, read_times
from tftctl.ingest.columns import PRICES, ColumnMap
from tftctl.ingest.numbers import decimal_mark, parse_numbers
from tftctl.ingest.reading import LINE, RAGGED

REASON = "__reason"
LEAN_TIMEZONE = "America/New_York"
LEAN_PRICE_UNIT = 1e-4
# prices that were rounded on their way may stand this far outside their bar's range
_ROUNDING = 1e-9
_FEW_STEPS = 10
# of a thinly traded symbol's bars, at least this share follows the one before
_SPARSE = 0.05
_LONGEST_WEEKEND = 4 * DAY_MS


def read_rows(rows: pl.DataFrame, columns: ColumnMap, period: str, clock: Clock, *, price_unit: float) -> pl.DataFrame:
    """`__line`, timestamp, open ... volume, extras, and `__reason` where a row cannot be read (null elsewhere).

    Raises DataError where nothing tells decimals from thousands, or the day from the month.
    """
    stamps, trouble = read_times(rows, columns.found, period, clock)
    frame = rows.select(LINE, RAGGED).with_columns(timestamp=stamps, __time=trouble, __open=_unfinished(rows, columns))
    unread = pl.repeat(False, rows.height, eager=True)
    mark = decimal_mark([rows[columns.found[name]] for name in BAR_COLUMNS])
    for name in BAR_COLUMNS:
        values, bad = parse_numbers(rows[columns.found[name]], mark)
        unread = unread | bad
        frame = frame.with_columns((values * price_unit if name in PRICES else values).alias(name))
    for name, source in columns.kept_extras().items():
        frame = frame.with_columns(parse_numbers(rows[source], mark)[0].alias(name))
    return frame.with_columns(
        pl.coalesce(
            pl.when(RAGGED).then(pl.lit("wrong number of fields")),
            pl.col("__time"),
            pl.when(pl.Series(unread)).then(pl.lit("unreadable number")),
            pl.when("__open").then(pl.lit("unfinished, as its file says")),
            *_impossible(),
        ).alias(REASON)
    ).drop(RAGGED, "__time", "__open")


def place_on_calendar(frame: pl.DataFrame, calendar: Calendar, period: str, as_of: int) -> pl.DataFrame:
    """Add available_at, and the reasons that the calendar and the moment of fetching give."""
    stamps = frame["timestamp"].fill_null(-1).to_numpy()
    due = pl.Series("available_at", calendar.available_at(period, stamps), dtype=pl.Int64)
    placed = frame.with_columns(due)
    return placed.with_columns(
        pl.coalesce(
            REASON,
            pl.when(pl.col("available_at") == NO_BAR).then(pl.lit(f"no {period} bar of {calendar.name} opens then")),
            pl.when(pl.col("available_at") > as_of).then(pl.lit("unfinished when fetched")),
        ).alias(REASON)
    )


def bar_problems() -> pl.Expr:
    """Why a row's numbers cannot be one bar; null where they can."""
    return pl.coalesce(*_impossible())


def settle_duplicates(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Keep one of equal bars and say how many went; two different bars for one time are both refused.

    A bar that is impossible in itself still contests its twin: one of the two was read at a wrong moment, and nothing
    says which. Of equal bars of which one lacks an extra column, the one that is kept has it.
    """
    read = frame.filter(pl.all_horizontal(pl.col("timestamp", *BAR_COLUMNS).is_not_null()))
    extras = [name for name in frame.columns if name not in (LINE, REASON, "timestamp", "available_at", *BAR_COLUMNS)]
    different = _contested(read.filter(pl.col("timestamp").is_duplicated()), extras)
    contested = pl.col("timestamp").is_in(different.implode()) & pl.col(REASON).is_null()
    judged = frame.with_columns(
        pl.when(contested).then(pl.lit("two different bars for one time")).otherwise(REASON).alias(REASON)
    )
    good = judged.filter(pl.col(REASON).is_null())
    if good["timestamp"].is_duplicated().any():
        good = good.with_columns(pl.col(name).drop_nulls().first().over("timestamp") for name in extras)
    kept = good.unique("timestamp", keep="first", maintain_order=True).sort("timestamp")
    return pl.concat([kept, judged.filter(pl.col(REASON).is_not_null())]), good.height - kept.height


def _contested(twins: pl.DataFrame, extras: Sequence[str]) -> pl.Series:
    """Times of which bars say two different things."""
    counts = twins.group_by("timestamp").agg(
        pl.struct(*BAR_COLUMNS).n_unique().alias("__bars"), *(pl.col(name).drop_nulls().n_unique() for name in extras)
    )
    return counts.filter(pl.any_horizontal(pl.col("__bars", *extras) > 1))["timestamp"]


def usual_step(stamps: pl.Series) -> int | None:
    """The commonest distance between consecutive times, in ms, the shortest of several; None for fewer than two."""
    steps = stamps.sort().diff().drop_nulls()
    return None if steps.is_empty() else int(steps.mode().min())  # type: ignore[arg-type]


def misfit(stamps: pl.Series, calendar: Calendar, period: str) -> int | None:
    """The distance between bars that open at these times, in ms, when it is not their period; None when it fits."""
    stamps = stamps.drop_nulls().sort()
    usual = usual_step(stamps)
    length = period_ms(period)
    if usual is None or usual == length:
        return None
    steps = stamps.diff().drop_nulls()
    neighbours = (steps == length).mean()
    if usual > length and neighbours > (0 if len(steps) < _FEW_STEPS else _SPARSE):  # type: ignore[operator]
        return None
    if calendar.name not in ("24x7", "observed"):
        opens = calendar.slots(period, int(stamps[0]), int(stamps[-1])).open_ms
        return None if opens.size > 1 and usual == usual_step(pl.Series(opens)) else usual
    holes = len(steps) < _FEW_STEPS and (steps % length == 0).all()
    weekend = not is_intraday(period) and usual <= _LONGEST_WEEKEND
    return None if holes and usual > 0 and (weekend or steps.n_unique() > 1) else usual


def span_text(ms: int) -> str:
    """`4h` or `7d`; milliseconds where it is no whole number of seconds."""
    for unit, size in (("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms} ms"


def _unfinished(rows: pl.DataFrame, columns: ColumnMap) -> pl.Series:
    """Where an exchange marks the bar that was still running (`confirm` 0, `complete` false)."""
    if "finished" not in columns.found:
        return pl.repeat(False, rows.height, eager=True)
    text = rows[columns.found["finished"]].cast(pl.String).str.strip_chars().str.to_lowercase()
    return text.is_in(["0", "0.0", "false", "no"]).fill_null(False)


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
