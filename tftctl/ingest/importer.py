"""`tftctl data import`: files -> checked bars -> the store, in one commit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tftctl.core.errors import DataError, TftctlError, UsageError
from tftctl.core.names import name_problem
from tftctl.core.progress import Report, silent
from tftctl.core.records import Scale
from tftctl.core.times import iso, now_ms
from tftctl.ingest.checking import Batch, ImportOptions, check_group
from tftctl.ingest.columns import VENDOR_EXTRAS
from tftctl.ingest.files import find_files
from tftctl.ingest.groups import group_rows
from tftctl.ingest.identity import normal_symbol
from tftctl.ingest.reading import RawTable, read_tables
from tftctl.ingest.report import FileReport, ImportReport, report_folder, write_report
from tftctl.ingest.staging import Staging
from tftctl.store import Store

__all__ = ["ImportOptions", "import_bars"]


def import_bars(
    store: Store, reports: Path, paths: Sequence[Path], options: ImportOptions, report: Report = silent
) -> ImportReport:
    """Read, check and store bars. What cannot be decided is refused by line, the rest of its file is kept.

    Raises DataError when a path is missing, or when the only file cannot be used at all; UsageError for a time zone or
    calendar that there is not; StoreError when the store cannot be written. In all cases nothing is stored.
    """
    files = find_files(paths)
    now = now_ms()
    if options.as_of is not None and options.as_of > now:
        raise UsageError(f"--as-of {iso(options.as_of)} lies in the future", "it says when the files were fetched")
    if options.symbol is not None:
        _check_symbol(options.symbol)
    for name in options.extras:
        if problem := name_problem(name):
            raise DataError(f"--extra {name}: {problem}", "rename the column in the file")
    batches: list[Batch] = []
    failures: list[FileReport] = []
    for done, path in enumerate(files, 1):
        read, failed = _read_file(path, options, now)
        batches += read
        failures += failed
        report("reading", done, len(files))
    if len(files) == 1 and not batches and len(failures) == 1:
        raise DataError(*_split(failures[0].error))
    return _store(store, reports, batches, failures, options, now)


def _check_symbol(given: str) -> None:
    try:
        normal_symbol(given)
    except DataError as error:
        raise UsageError(f"--symbol {error.message}", error.hint) from None


def _read_file(path: Path, options: ImportOptions, now: int) -> tuple[list[Batch], list[FileReport]]:
    batches: list[Batch] = []
    failures: list[FileReport] = []
    try:
        for table in read_tables(path, trust_pickle=options.trust_pickle):
            read, failed = _read_table(path, table, options, now)
            batches += read
            failures += failed
    except DataError as error:
        return batches, [*failures, FileReport(str(path), error=_joined(path, error))]
    return batches, failures


def _read_table(path: Path, table: RawTable, options: ImportOptions, now: int) -> tuple[list[Batch], list[FileReport]]:
    """The groups of a table; a group that cannot be used does not keep the others out."""
    place = str(path) if table.member is None else f"{path}:{table.member}"
    whole = FileReport(place, rows_read=table.rows.height)
    try:
        if table.error is not None:
            raise table.error
        grouped = group_rows(path, table, symbol=options.symbol, period=options.period, extras=list(options.extras))
        if options.strict and grouped.refused.height:
            raise DataError(
                f"{path}: {grouped.refused.height} rows name no symbol or period, and --strict takes all or nothing",
                "mend them, or name both: --symbol, --period",
            )
    except DataError as error:
        whole.fail(_joined(path, error))
        return [], [whole]
    batches: list[Batch] = []
    failures: list[FileReport] = []
    if grouped.refused.height:
        homeless = FileReport(place, rows_read=grouped.refused.height)
        homeless.reject(grouped.refused)
        failures.append(homeless)
    for group in grouped.groups:
        entry = FileReport(place, group.symbol, group.period, group.rows.height)
        try:
            batches.append(check_group(path, group, entry, options, now))
        except DataError as error:  # a zone or calendar that there is not is a fault of the command line
            entry.fail(_joined(path, error))
            failures.append(entry)
    return batches, failures


def _store(
    store: Store, reports: Path, batches: list[Batch], failures: list[FileReport], options: ImportOptions, now: int
) -> ImportReport:
    # of two files that overlap, the one that ends later was fetched later (T7)
    batches.sort(key=lambda batch: (batch.report.symbol, batch.report.period, _last(batch.bars)))
    with store.write("data import") as txn:
        staging = Staging(txn, options.prefer)
        for batch in batches:
            try:
                staging.add(batch.report, batch.market, batch.bars, strict=options.strict)
            except DataError as error:
                batch.report.fail(_joined(Path(batch.report.path), error))
        staging.write(_scales(batches, options))
        files = tuple(sorted([*(b.report for b in batches), *failures], key=lambda file: file.path))
        folder = report_folder(reports, now)
        write_report(folder, files)
        try:
            number = txn.commit()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return ImportReport(files, number, str(folder))


def _scales(batches: Sequence[Batch], options: ImportOptions) -> dict[str, Scale | None]:
    declared: dict[str, Scale | None] = {**dict.fromkeys(VENDOR_EXTRAS), **options.optional_extras, **options.extras}
    there = {name for batch in batches for name in batch.bars.columns}
    return {name: scale for name, scale in declared.items() if name in there}


def _last(bars: pl.DataFrame) -> int:
    return int(bars["timestamp"].max() or 0)  # type: ignore[arg-type]


def _joined(path: Path, error: TftctlError) -> str:
    """Message and hint in one line, the file named."""
    message = error.message if path.name in error.message else f"{path}: {error.message}"
    return f"{message}; {error.hint}" if error.hint else message


def _split(text: str | None) -> tuple[str, str]:
    message, _, hint = (text or "").rpartition("; ")
    return (message, hint) if message else (hint, "")
