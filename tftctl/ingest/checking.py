"""One group of a file: its period, market and clock, its bars on the calendar, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from tftctl.core.calendars import by_pattern, calendar_for
from tftctl.core.errors import DataError
from tftctl.core.names import BAR_COLUMNS
from tftctl.core.records import Scale
from tftctl.ingest.bars import (
    LEAN_PRICE_UNIT,
    LEAN_TIMEZONE,
    REASON,
    misfit,
    place_on_calendar,
    read_rows,
    settle_duplicates,
    span_text,
    usual_step,
)
from tftctl.ingest.basis import Basis, basis_of
from tftctl.ingest.clocks import Clock, read_times
from tftctl.ingest.columns import ColumnMap, plain_name
from tftctl.ingest.groups import Group
from tftctl.ingest.identity import read_period
from tftctl.ingest.market import Market, market_of
from tftctl.ingest.merge import Prefer
from tftctl.ingest.observations import observe, observe_columns, observe_refusals
from tftctl.ingest.report import FileReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the user said about the files; None means: let the files say it.

    `extras`: columns to keep beside the bar's own -> scale, None when it is not to be an input. `calendars` and
    `delays_ms`: by symbol pattern, from the configuration. `as_of`: the moment of fetching, in ms UTC.
    """

    symbol: str | None = None
    period: str | None = None
    calendar: str | None = None
    timezone: str | None = None
    basis: Basis | None = None
    extras: Mapping[str, Scale | None] = field(default_factory=dict)
    optional_extras: Mapping[str, Scale] = field(default_factory=dict)
    prefer: Prefer | None = None
    strict: bool = False
    trust_pickle: bool = False
    as_of: int | None = None
    calendars: Mapping[str, str] = field(default_factory=dict)
    delays_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked bars of one group of a file, not yet held against the store."""

    report: FileReport
    market: Market
    bars: pl.DataFrame


def check_group(path: Path, group: Group, entry: FileReport, options: ImportOptions, now: int) -> Batch:
    """Bars of one group on its calendar; refused rows go into the entry. `now`: ms UTC.

    Raises DataError for a group that cannot be used at all, UsageError for a zone or calendar that there is not.
    """
    period = _period(path, group)
    entry.period = period
    columns = _with_optional(group, options)
    market, note = _market(group, options)
    clock = _clock(path, group, period, market, options)
    frame = read_rows(group.rows, columns, period, clock, price_unit=LEAN_PRICE_UNIT if group.lean else 1.0)
    market = market.anchored(period, frame["timestamp"])
    calendar = market.calendar
    told_apart = frame.unique(["timestamp", *BAR_COLUMNS])["timestamp"]
    if (found := misfit(told_apart, calendar, period)) is not None:
        raise _other_period(path, frame, period, found)
    placed = place_on_calendar(frame, calendar, period, now if options.as_of is None else options.as_of)
    settled, entry.duplicates = settle_duplicates(placed)
    refused = settled.filter(pl.col(REASON).is_not_null())
    entry.reject(refused)
    bars = settled.filter(pl.col(REASON).is_null()).with_columns(
        symbol=pl.lit(group.symbol), period=pl.lit(period), ingested_at=pl.lit(now, pl.Int64)
    )
    entry.warnings += [note] if note else []
    entry.warnings += observe_columns(columns) + observe_refusals(refused, calendar, period)
    entry.warnings += observe(bars, calendar, period)
    if options.strict and entry.rows_rejected:
        raise DataError(f"{path}: {entry.rows_rejected} rows cannot be used, and --strict takes all or nothing",
                        f"reasons: {_reasons(entry)}")  # fmt: skip
    return Batch(entry, market, bars)


def _period(path: Path, group: Group) -> str:
    """The canonical period. Raises DataError, with the distance of the bars, when nothing names one."""
    if group.period is not None:
        return read_period(group.period)
    clock = Clock(LEAN_TIMEZONE if group.lean else "UTC")
    step = usual_step(read_times(group.rows, group.columns.found, "1h", clock)[0].drop_nulls().unique())
    hint = f"its bars are {span_text(step)} apart; if that is it: --period {span_text(step)}" if step else "--period 1h"
    raise DataError(f"{path}: which bar period is it? nothing names it", hint)


def _clock(path: Path, group: Group, period: str, market: Market, options: ImportOptions) -> Clock:
    """How to read the times. Raises DataError for local times of an exchange that nobody said to be local."""
    zone = market.timezone
    if options.timezone is not None or group.lean or zone is None:
        return Clock(options.timezone or (LEAN_TIMEZONE if group.lean else "UTC"), zone)
    clock = Clock("UTC", zone)
    as_utc, as_local = (
        market.share_of_bars(period, read_times(group.rows, group.columns.found, period, Clock(name, zone))[0])
        for name in ("UTC", zone)
    )
    if as_local > as_utc:
        raise DataError(
            f"{path}: read as UTC, {as_utc:.0%} of its bars open when one of {market.name} does, as times of {zone} "
            f"{as_local:.0%}",
            f"name the zone: --timezone {zone}, or --timezone UTC",
        )
    return clock


def _other_period(path: Path, frame: pl.DataFrame, period: str, found: int) -> DataError:
    if found == 0:
        times = frame["timestamp"].n_unique()
        return DataError(
            f"{path}: its {frame.height} rows have {times} different times, so they are no {period} bars",
            "are there several symbols in it, times that a spreadsheet rounded, or dates without a clock?",
        )
    text = span_text(found)
    known = found % 60_000 == 0 and (found < 28 * 86_400_000 or found % (7 * 86_400_000) == 0)
    return DataError(
        f"{path}: its bars are {text} apart, not {period}",
        f"if that is right: --period {read_period(text)}" if known else "bars of such a period are not handled",
    )


def _with_optional(group: Group, options: ImportOptions) -> ColumnMap:
    """Extra columns that the configuration declares are kept where a file has them."""
    there = {plain_name(name): name for name in group.columns.ignored}
    more = {name: there[name] for name in options.optional_extras if name in there}
    ignored = tuple(name for name in group.columns.ignored if name not in more.values())
    return replace(group.columns, extras={**group.columns.extras, **more}, ignored=ignored)


def _market(group: Group, options: ImportOptions) -> tuple[Market, str | None]:
    name = options.calendar or calendar_for(group.symbol, options.calendars)
    names = {*group.columns.found, *map(plain_name, group.rows.columns)}
    basis, note = basis_of(names, options.basis)
    market = market_of(name, basis, by_pattern(group.symbol, options.delays_ms, 0))
    return market, note if options.basis is not None or group.note is None else group.note


def _reasons(entry: FileReport) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in entry.reasons.items())
