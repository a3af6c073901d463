"""`tftctl data sample` and `data fetch`: bars and series from a `Source` into the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.errors import DataError, PluginError, TftctlError, UsageError, guest_code
from tftctl.core.names import BAR_COLUMNS, name_problem
from tftctl.core.periods import parse_period
from tftctl.core.progress import Report, silent
from tftctl.core.records import BASES, Scale, Source, SourceFrame
from tftctl.core.times import now_ms
from tftctl.ingest.bars import REASON, bar_problems, place_on_calendar, settle_duplicates
from tftctl.ingest.identity import normal_symbol
from tftctl.ingest.market import market_of
from tftctl.ingest.merge import Prefer
from tftctl.ingest.reading import LINE
from tftctl.ingest.report import FileReport, report_folder, write_report
from tftctl.ingest.staging import Staging
from tftctl.store import Store

# of one fetch, so that a source that never ends is noticed
MAX_FRAMES = 100_000


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came in. `planted` names the columns that a synthetic source documents as predictive."""

    symbols: tuple[str, ...]
    periods: tuple[str, ...]
    rows: int
    planted: tuple[str, ...]
    rows_accepted: int
    rows_rejected: int
    duplicates: int
    snapshot: int
    warnings: tuple[str, ...]


def source_params(source: Source, given: Sequence[str]) -> Any:
    """`KEY=VALUE` texts -> the source's parameter model. Raises UsageError with every problem."""
    from tftctl.core.config.loading import validate
    from tftctl.core.config.yaml import parse_value

    pairs: dict[str, Any] = {}
    for text in given:
        key, mark, value = text.partition("=")
        if not mark:
            raise UsageError(f"-o {text}: there is no = in it", "write it like -o days=60")
        pairs[key.strip()] = parse_value(value, f"-o {key}")
    hint = f"parameters and defaults: tftctl plugins show {source.name}"
    return validate(pairs, source.params, f"source {source.name}", hint=hint)


def fetch_bars(
    store: Store, reports: Path, source: Source, params: Any, *, prefer: Prefer | None = None, report: Report = silent
) -> Fetched:
    """Fetch, check and store. Raises PluginError when the source breaks its contract, DataError when nothing comes."""
    if source.provides != "bars":
        raise UsageError(f"{source.name} gives macro series, not bars", "see: tftctl plugins show " + source.name)
    now = now_ms()
    entries: list[FileReport] = []
    scales: dict[str, Scale | None] = {}
    with store.write(f"data from {source.name}") as txn:
        staging = Staging(txn, prefer)
        for done, frame in enumerate(_frames(source, params), 1):
            _check_contract(source, frame)
            entry = FileReport(f"source:{source.name}", frame.symbol, parse_period(frame.period), frame.frame.height)
            _stage(staging, source, frame, entry, now)
            entries.append(entry)
            scales |= _scales(frame)
            report(f"fetching {source.name}", done, 0)
        if not entries:
            raise DataError(f"{source.name} gave nothing", "other parameters? see: tftctl plugins show " + source.name)
        staging.write(scales)
        if any(entry.rows_rejected for entry in entries):
            folder = report_folder(reports, now)
            write_report(folder, entries)
            if not any(entry.rows_accepted or entry.duplicates for entry in entries):
                first = next(note for entry in entries for note in _refusals(entry))
                raise DataError(f"{source.name}: no row was accepted; {first}", f"the rows: {folder}/rejects.csv")
        number = txn.commit()
    return Fetched(
        symbols=tuple(sorted({str(entry.symbol) for entry in entries})),
        periods=tuple(dict.fromkeys(str(entry.period) for entry in entries)),
        rows=sum(entry.rows_read for entry in entries),
        planted=source.planted,
        rows_accepted=sum(entry.rows_accepted for entry in entries),
        rows_rejected=sum(entry.rows_rejected for entry in entries),
        duplicates=sum(entry.duplicates for entry in entries),
        snapshot=number,
        warnings=tuple(note for entry in entries for note in (*_refusals(entry), *entry.warnings)),
    )


def _refusals(entry: FileReport) -> Iterator[str]:
    if entry.rows_rejected:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in entry.reasons.items())
        yield f"{entry.symbol} {entry.period}: {entry.rows_rejected:,} rows refused: {reasons}"


def _frames(source: Source, params: Any) -> Iterator[SourceFrame]:
    """The source's frames; whatever it raises is its fault and named so."""
    with guest_code(f"source {source.name}", "nothing was stored"):
        coming = iter(source.fetch(params))
    for _ in range(MAX_FRAMES):
        with guest_code(f"source {source.name}", "nothing was stored"):
            frame = next(coming, None)
        if frame is None:
            return
        yield frame
    raise PluginError(f"source {source.name} gave more than {MAX_FRAMES:,} frames", "nothing was stored")


def _stage(staging: Staging, source: Source, frame: SourceFrame, entry: FileReport, now: int) -> None:
    period = str(entry.period)
    rows = _typed(source, frame)
    market = market_of(frame.calendar, frame.basis, 0).anchored(period, rows["timestamp"])
    judged = place_on_calendar(rows.with_columns(bar_problems().alias(REASON)), market.calendar, period, now)
    settled, entry.duplicates = settle_duplicates(judged)
    entry.reject(settled.filter(pl.col(REASON).is_not_null()))
    bars = settled.filter(pl.col(REASON).is_null()).with_columns(
        symbol=pl.lit(frame.symbol), period=pl.lit(period), ingested_at=pl.lit(now, pl.Int64)
    )
    try:
        staging.add(entry, market, bars, strict=False)
    except DataError as error:
        raise DataError(
            f"source {source.name}, {frame.symbol} {period}: {error.message}",
            f"another workspace (tftctl init DIR), or in their place: tftctl data fetch {source.name} --prefer new",
        ) from None


def _check_contract(source: Source, frame: Any) -> None:
    """Raises PluginError when what a source gave is no frame of bars of a known period and calendar."""
    if not isinstance(frame, SourceFrame) or not isinstance(frame.frame, pl.DataFrame):
        raise PluginError(f"source {source.name} gave {type(frame).__name__}, not a SourceFrame with a Polars frame",
                          "nothing was stored")  # fmt: skip
    place = f"source {source.name}, {frame.symbol} {frame.period}"
    try:
        parse_period(frame.period)
        market_of(frame.calendar, frame.basis, 0)
        if frame.basis not in BASES:
            raise DataError(f"basis is {frame.basis!r}, not one of {', '.join(BASES)}")
        if normal_symbol(frame.symbol) != frame.symbol:
            raise DataError(f"{frame.symbol!r} cannot be a symbol, {normal_symbol(frame.symbol)!r} can")
    except TftctlError as error:
        raise PluginError(f"{place}: {error.message}", "nothing was stored") from None


def _typed(source: Source, frame: SourceFrame) -> pl.DataFrame:
    absent = [name for name in ("timestamp", *BAR_COLUMNS) if name not in frame.frame.columns]
    extras = [name for name in frame.frame.columns if name not in ("timestamp", *BAR_COLUMNS)]
    wrong = [f"{name}: {problem}" for name in extras if (problem := name_problem(name))]
    texts = [
        name for name, kind in frame.frame.schema.items() if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null))
    ]
    if absent or wrong or texts:
        what = f"has no column {absent[0]}" if absent else wrong[0] if wrong else f"{texts[0]} holds no numbers"
        raise PluginError(f"source {source.name}, {frame.symbol} {frame.period}: {what}", "nothing was stored")
    return frame.frame.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE),
        pl.col("timestamp").cast(pl.Int64),
        pl.col(*BAR_COLUMNS, *extras).cast(pl.Float64).fill_nan(None),
    )


def _scales(frame: SourceFrame) -> Mapping[str, Scale | None]:
    names = [name for name in frame.frame.columns if name not in ("timestamp", *BAR_COLUMNS)]
    return {name: frame.extras.get(name) for name in names}
