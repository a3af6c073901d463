"""`tftctl macro import` and `macro list`: series that are not bars (SEMANTICS T6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.config.features import MacroSeries
from tftctl.core.errors import DataError
from tftctl.core.frequencies import advance, lag_ms, period_end
from tftctl.core.names import name_problem
from tftctl.core.times import iso, now_ms
from tftctl.ingest.bars import REASON
from tftctl.ingest.columns import is_time_column, plain_name, time_column
from tftctl.ingest.merge import Prefer, check_continues, merge_bars
from tftctl.ingest.numbers import decimal_mark, parse_numbers
from tftctl.ingest.reading import LINE, RAGGED, read_table
from tftctl.ingest.report import FileReport, ImportReport, report_folder, write_report
from tftctl.ingest.timestamps import parse_times
from tftctl.store import Snapshot, Store, Transaction

TABLE = "macro"
_ENDS = 64
# a step may be this much longer or shorter than the frequency says: months, holidays, leap years
_SLACK = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroOptions:
    """The series' name, declaration and column. `column` None: the file has one value column."""

    name: str
    series: MacroSeries
    column: str | None = None
    prefer: Prefer | None = None
    trust_pickle: bool = False


def import_macro(store: Store, reports: Path, path: Path, options: MacroOptions) -> ImportReport:
    """Read one series and store it with available_at = end of the reference period + release lag.

    Blanks are dropped and counted. Raises DataError when the file cannot be used, or when the series is stored under
    another declaration and `prefer` is not `new`.
    """
    if problem := name_problem(options.name):
        raise DataError(f"{options.name!r} cannot name a series: {problem}", "name it: --name NAME")
    now = now_ms()
    entry = FileReport(str(path), options.name, options.series.frequency)
    try:
        rows = _read(path, options, entry)
    except DataError as error:
        message = error.message if path.name in error.message else f"{path}: {error.message}"
        raise DataError(message, error.hint) from None
    rows = rows.with_columns(
        symbol=pl.lit(options.name), period=pl.lit(options.series.frequency), ingested_at=pl.lit(now, pl.Int64)
    )
    with store.write("macro import") as txn:
        _merge(txn, rows, options, entry)
        folder = report_folder(reports, now)
        write_report(folder, [entry])
        number = txn.commit()
    return ImportReport((entry,), number, str(folder))


def list_macro(snapshot: Snapshot) -> list[dict[str, Any]]:
    """One row per series, with its declaration and span."""
    found = []
    for name, declared in snapshot.meta(TABLE).get("series", {}).items():
        rows = snapshot.collect(snapshot.scan(TABLE, declared["frequency"], symbols=[name]))
        found.append(
            {
                "series": name,
                **declared,
                "rows": rows.height,
                "first": iso(rows["timestamp"][0]),
                "last": iso(rows["timestamp"][-1]),
                "available_at": iso(rows["available_at"][-1]),
                "value": rows["value"][-1],
            }
        )
    return found


def _read(path: Path, options: MacroOptions, entry: FileReport) -> pl.DataFrame:
    """`__line`, `__reason`, timestamp, available_at, value of the usable rows; the rest goes into the entry."""
    rows = read_table(path, trust_pickle=options.trust_pickle).rows
    names = [name for name in rows.columns if not name.startswith("__")]
    when = _time_column(path, names)
    what = _value_column(path, names, when, options.column)
    times = parse_times(rows[when])
    values, unreadable = parse_numbers(rows[what], decimal_mark([rows[what]]))
    stamps = times.ms.cast(pl.Int64)
    blank = values.is_null() & ~unreadable
    frame = rows.select(LINE).with_columns(timestamp=stamps, value=values)
    judged = frame.with_columns(
        pl.coalesce(
            pl.when(pl.Series(rows[RAGGED])).then(pl.lit("wrong number of fields")),
            pl.when(pl.col("timestamp").is_null()).then(pl.lit("unreadable time")),
            pl.when(pl.Series(unreadable)).then(pl.lit("unreadable number")),
            pl.when(pl.Series(blank)).then(pl.lit("blank value")),
            pl.when(pl.col("value").is_infinite()).then(pl.lit("an infinite number")),
        ).alias(REASON)
    )
    entry.rows_read = rows.height
    good = judged.filter(pl.col(REASON).is_null())
    once = good.unique(["timestamp", "value"], keep="first", maintain_order=True)
    entry.duplicates = good.height - once.height
    contested = once["timestamp"].is_duplicated()
    two = once.filter(contested).with_columns(pl.lit("two different values for one time").alias(REASON))
    entry.reject(pl.concat([judged.filter(pl.col(REASON).is_not_null()), two]))
    kept = once.filter(~contested).sort("timestamp")
    if kept.is_empty():
        raise DataError(f"{path} has no usable value of {options.name}", f"reasons: {entry.reasons}")
    _check_frequency(path, kept["timestamp"].to_numpy(), options.series)
    if options.series.frequency == "1d" and not (kept["timestamp"].cast(pl.Datetime("ms")).dt.weekday() > 5).any():
        entry.warnings.append("no value on a weekend: with 1d it counts as stale on Sundays; --frequency 1bd fits")
    if note := _stamp_note(kept["timestamp"], options.series):
        entry.warnings.append(note)
    due = period_end(kept["timestamp"].to_numpy(), options.series.frequency, options.series.stamp)
    return kept.with_columns(available_at=pl.Series(due + lag_ms(options.series.release_lag), dtype=pl.Int64))


def _stamp_note(stamps: pl.Series, series: MacroSeries) -> str | None:
    """Months, quarters and years that are dated on a first day but said to be stamped at the end look ahead."""
    firsts = stamps.cast(pl.Datetime("ms")).dt.day() == 1
    if series.stamp != "end" or not series.frequency.endswith(("mo", "q", "y")) or not firsts.all():
        return None
    return (
        "every value is dated on the first of a month: with --stamp end it counts as known the day after; if the date "
        "is the period's first day, that looks into the future: --stamp start"
    )


def _check_frequency(path: Path, stamps: np.ndarray, series: MacroSeries) -> None:
    """Most steps are one reference period long. Raises DataError."""
    if stamps.size < 3:
        return
    expected = advance(stamps[:-1], series.frequency) - stamps[:-1]
    steps = np.diff(stamps)
    fits = np.abs(steps - expected) <= _SLACK * expected
    if fits.mean() < 0.5:
        days = float(np.median(steps)) / 86_400_000
        raise DataError(
            f"{path}: its values are {days:g} days apart, not {series.frequency}", "name the right one: --frequency"
        )


def _merge(txn: Transaction, rows: pl.DataFrame, options: MacroOptions, entry: FileReport) -> None:
    meta = txn.base.meta(TABLE)
    known = meta.get("series", {}).get(options.name)
    declared = options.series.model_dump(mode="json")
    stored = None
    if known is not None:
        stored = txn.base.collect(txn.base.scan(TABLE, known["frequency"], symbols=[options.name]))
        if known != declared:
            if options.prefer != "new":
                raise DataError(
                    f"{options.name} is stored as {_words(known)}, this import says {_words(declared)}",
                    "to replace the whole series: --prefer new",
                )
            txn.delete(TABLE, known["frequency"], stored)
            stored = None
    ends = meta.get("import_ends", {}).get(options.name, [])
    merged = merge_bars(stored, rows, ends, options.prefer)
    if options.prefer is None:
        hint = (
            "revised, or on another base? --prefer new; only its new values? --prefer old; another series? --name NAME"
        )
        check_continues(merged, options.name, hint)
    entry.duplicates += merged.unchanged
    entry.reject(merged.refused)
    entry.rows_accepted = merged.changed.height
    entry.corrections, entry.replaced = len(merged.corrections), merged.replaced
    if not merged.changed.height:
        return
    columns = ("symbol", "period", "timestamp", "available_at", "ingested_at", "value")
    txn.upsert(TABLE, options.series.frequency, merged.changed.select(columns))
    settled = {*ends} - {*merged.corrections}
    all_ends = {**meta.get("import_ends", {}), options.name: sorted({*settled, int(rows["timestamp"][-1])})[-_ENDS:]}
    series = {**meta.get("series", {}), options.name: declared}
    txn.set_meta(TABLE, {"series": dict(sorted(series.items())), "import_ends": all_ends})


def _time_column(path: Path, names: Sequence[str]) -> str:
    if (found := time_column(names)) is None:
        raise DataError(f"{path} has no time column", f"its columns: {', '.join(names)}")
    return found


def _value_column(path: Path, names: Sequence[str], when: str, asked: str | None) -> str:
    values = [name for name in names if not is_time_column(name) and name != when]
    if asked is not None:
        found = [name for name in values if plain_name(name) == plain_name(asked)]
        if not found:
            raise DataError(f"{path} has no column {asked!r}", f"its columns: {', '.join(values)}")
        return found[0]
    if len(values) != 1:
        raise DataError(f"{path}: which column holds the value? {', '.join(values)}", "name it: --column NAME")
    return values[0]


def _words(declared: dict[str, Any]) -> str:
    revised = ", revised" if declared["revised"] else ""
    return f"{declared['frequency']} stamped at the {declared['stamp']}, lag {declared['release_lag']}{revised}"
