"""`tftctl data import`: files -> checked bars -> the store, in one commit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import polars as pl

from tftctl.core.calendars import by_pattern, calendar_for
from tftctl.core.errors import DataError, TftctlError
from tftctl.core.names import name_problem
from tftctl.core.periods import parse_period
from tftctl.core.progress import Report, silent
from tftctl.core.records import Scale
from tftctl.core.times import now_ms
from tftctl.ingest.bars import (
    LEAN_PRICE_UNIT,
    LEAN_TIMEZONE,
    REASON,
    Clock,
    misfit,
    place_on_calendar,
    read_rows,
    settle_duplicates,
)
from tftctl.ingest.columns import VENDOR_EXTRAS, ColumnMap, plain_name
from tftctl.ingest.files import Group, find_files, read_groups
from tftctl.ingest.market import Market, market_of
from tftctl.ingest.merge import Prefer
from tftctl.ingest.observations import observe, observe_columns
from tftctl.ingest.report import FileReport, ImportReport, report_folder, write_report
from tftctl.ingest.staging import Staging
from tftctl.store import Store

Basis = Literal["raw", "split", "total"]


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
class _Batch:
    """Checked bars of one group of a file, not yet held against the store."""

    report: FileReport
    market: Market
    bars: pl.DataFrame


def import_bars(
    store: Store, reports: Path, paths: Sequence[Path], options: ImportOptions, report: Report = silent
) -> ImportReport:
    """Read, check and store bars. What cannot be decided is refused by line, the rest of its file is kept.

    Raises DataError when a path is missing, or when the only file cannot be used at all; UsageError for a time zone or
    calendar that there is not; StoreError when the store cannot be written. In all cases nothing is stored.
    """
    files = find_files(paths)
    now = now_ms()
    for name in options.extras:
        if problem := name_problem(name):
            raise DataError(f"--extra {name}: {problem}", "rename the column in the file")
    batches: list[_Batch] = []
    failures: list[FileReport] = []
    for done, path in enumerate(files, 1):
        read, failed = _read_file(path, options, now)
        batches += read
        failures += failed
        report("reading", done, len(files))
    if len(files) == 1 and not batches and len(failures) == 1:
        raise DataError(*_split(failures[0].error))
    return _store(store, reports, batches, failures, options, now)


def _read_file(path: Path, options: ImportOptions, now: int) -> tuple[list[_Batch], list[FileReport]]:
    batches: list[_Batch] = []
    failures: list[FileReport] = []
    try:
        groups = list(
            read_groups(
                path,
                symbol=options.symbol,
                period=options.period,
                extras=list(options.extras),
                trust_pickle=options.trust_pickle,
            )
        )
    except TftctlError as error:
        return [], [FileReport(str(path), error=_joined(error))]
    for group in groups:
        entry = FileReport(str(path), group.symbol, group.period, group.rows.height)
        try:
            batches.append(_check(path, group, entry, options, now))
        except DataError as error:  # a zone or calendar that there is not is a fault of the command line
            entry.fail(_joined(error))
            failures.append(entry)
    return batches, failures


def _check(path: Path, group: Group, entry: FileReport, options: ImportOptions, now: int) -> _Batch:
    """Bars of one group on its calendar; refused rows go into the entry."""
    if group.period is None:
        raise DataError(f"{path}: which bar period is it? nothing names it", "name it: --period 1h")
    period = parse_period(group.period)
    entry.period = period
    columns = _with_optional(group, options)
    market = _market(group, columns.found, options)
    zone = options.timezone or (LEAN_TIMEZONE if group.lean else "UTC")
    clock = Clock(zone, market.timezone)
    frame = read_rows(group.rows, columns, period, clock, price_unit=LEAN_PRICE_UNIT if group.lean else 1.0)
    market = market.anchored(period, frame["timestamp"])
    calendar = market.calendar
    if (found := misfit(frame, calendar, period)) is not None:
        raise DataError(
            f"{path}: its bars are {found} apart, not {period}",
            "name the right one: --period" if found == "0 ms" else f"if that is right: --period {found}",
        )
    placed = place_on_calendar(frame, calendar, period, options.as_of or now)
    settled, entry.duplicates = settle_duplicates(placed)
    entry.reject(settled.filter(pl.col(REASON).is_not_null()))
    bars = settled.filter(pl.col(REASON).is_null()).with_columns(
        symbol=pl.lit(group.symbol), period=pl.lit(period), ingested_at=pl.lit(now, pl.Int64)
    )
    entry.warnings += observe_columns(columns) + observe(bars, calendar, period)
    if options.strict and entry.rows_rejected:
        raise DataError(f"{path}: {entry.rows_rejected} rows cannot be used, and --strict takes all or nothing",
                        f"reasons: {_reasons(entry)}")  # fmt: skip
    return _Batch(entry, market, bars)


def _with_optional(group: Group, options: ImportOptions) -> ColumnMap:
    """Extra columns that the configuration declares are kept where a file has them."""
    there = {plain_name(name): name for name in group.columns.ignored}
    more = {name: there[name] for name in options.optional_extras if name in there}
    ignored = tuple(name for name in group.columns.ignored if name not in more.values())
    return replace(group.columns, extras={**group.columns.extras, **more}, ignored=ignored)


def _market(group: Group, found: Mapping[str, str], options: ImportOptions) -> Market:
    name = options.calendar or calendar_for(group.symbol, options.calendars)
    # vendors with an adjusted close beside the close have split-adjusted prices (Yahoo's convention)
    basis = options.basis or ("split" if "adj_close" in found else "raw")
    return market_of(name, basis, by_pattern(group.symbol, options.delays_ms, 0))


def _store(
    store: Store, reports: Path, batches: list[_Batch], failures: list[FileReport], options: ImportOptions, now: int
) -> ImportReport:
    # of two files that overlap, the one that ends later was fetched later (T7)
    batches.sort(key=lambda batch: (batch.report.symbol, batch.report.period, _last(batch.bars)))
    folder = report_folder(reports, now)
    with store.write("data import") as txn:
        staging = Staging(txn, options.prefer)
        for batch in batches:
            try:
                staging.add(batch.report, batch.market, batch.bars, strict=options.strict)
            except DataError as error:
                batch.report.fail(_joined(error))
        staging.write(_scales(batches, options))
        files = tuple(sorted([*(b.report for b in batches), *failures], key=lambda file: file.path))
        write_report(folder, files)
        try:
            number = txn.commit()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return ImportReport(files, number, str(folder))


def _scales(batches: Sequence[_Batch], options: ImportOptions) -> dict[str, Scale | None]:
    declared: dict[str, Scale | None] = {**dict.fromkeys(VENDOR_EXTRAS), **options.optional_extras, **options.extras}
    there = {name for batch in batches for name in batch.bars.columns}
    return {name: scale for name, scale in declared.items() if name in there}


def _last(bars: pl.DataFrame) -> int:
    return int(bars["timestamp"].max() or 0)  # type: ignore[arg-type]


def _joined(error: TftctlError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _split(text: str | None) -> tuple[str, str]:
    message, _, hint = (text or "").rpartition("; ")
    return (message, hint) if message else (hint, "")


def _reasons(entry: FileReport) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in entry.reasons.items())
