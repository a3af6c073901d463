"""Checks of sources: the first frames that they yield with default parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, get_args

import polars as pl

from tftctl.core.names import BAR_COLUMNS, name_problem
from tftctl.core.periods import parse_period, period_ms
from tftctl.core.records import BASES, Scale, Source, SourceFrame
from tftctl.core.times import now_ms
from tftctl.ingest.bars import REASON, bar_problems, place_on_calendar
from tftctl.ingest.identity import normal_symbol
from tftctl.ingest.market import market_of
from tftctl.testing.report import Finding, malformed, run_checks

FRAMES = 4


def check(record: Source) -> list[Finding]:
    """See `tftctl.testing.check_source`."""
    problems = malformed("source", record)
    if problems:
        return problems
    name = f"source {record.name}"
    frames: list[SourceFrame] = []
    failed = run_checks(name, {"fetch": lambda: _fetch(record, frames)}, {})
    return failed or [finding for frame in frames for finding in _check(name, record, frame)]


def _fetch(record: Source, frames: list[SourceFrame]) -> Iterator[str]:
    """Fill `frames` with the first few; a source may have thousands."""
    frame: Any
    for frame in islice(record.fetch(record.params()), FRAMES):
        if not isinstance(frame, SourceFrame):
            yield f"it yields a {type(frame).__name__}, not a SourceFrame"
            return
        frames.append(frame)
    keys = [(frame.symbol, frame.period) for frame in frames]
    if not keys:
        yield "it yields nothing with its default parameters"
    for symbol, period in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"{symbol} {period} comes twice"


def _check(name: str, record: Source, frame: SourceFrame) -> list[Finding]:
    columns = {"columns": lambda: _labelled(frame, _columns(record, frame))}
    time = {"time": lambda: _labelled(frame, _time(frame))}
    bars = {"bars": lambda: _labelled(frame, _bars(frame))} if record.provides == "bars" else {}
    return run_checks(name, columns, {}) or run_checks(name, time, bars)


def _labelled(frame: SourceFrame, details: Iterator[str]) -> Iterator[str]:
    return (f"{frame.symbol} {frame.period}: {detail}" for detail in details)


def _columns(record: Source, frame: SourceFrame) -> Iterator[str]:
    table: Any = frame.frame
    if not isinstance(table, pl.DataFrame):
        yield f"frame is a {type(table).__name__}, not a Polars DataFrame"
        return
    yield from _labels(frame)
    documented = ("timestamp", *(BAR_COLUMNS if record.provides == "bars" else ("value",)))
    expected = {*documented, *frame.extras}
    for column in [*documented, *frame.extras]:
        if column not in table.columns:
            yield f"it lacks the column {column!r}"
        elif not table.schema[column].is_numeric():
            yield f"{column!r} is {table.schema[column]}, not a number"
    for column in sorted(set(table.columns) - expected):
        yield f"it has the column {column!r}, which extras does not declare"
    yield from _extras(record, frame)


def _labels(frame: SourceFrame) -> Iterator[str]:
    period_ms(frame.period)
    if normal_symbol(frame.symbol) != frame.symbol:
        yield f"{frame.symbol!r} cannot be a symbol, {normal_symbol(frame.symbol)!r} can"
    if frame.basis not in BASES:
        yield f"basis is {frame.basis!r}, not one of {', '.join(BASES)}"
    market_of(frame.calendar, frame.basis, 0)


def _extras(record: Source, frame: SourceFrame) -> Iterator[str]:
    for name, scale in frame.extras.items():
        if problem := name_problem(name):
            yield f"the extra column {name!r} cannot be used: {problem}"
        if scale not in get_args(Scale):
            yield f"the scale of {name!r} is {scale!r}, not one of {', '.join(get_args(Scale))}"
    for name in sorted(set(record.planted) - set(frame.extras)):
        yield f"{name!r} is said to be planted and is not there"


def _time(frame: SourceFrame) -> Iterator[str]:
    stamps = frame.frame["timestamp"]
    if not stamps.len():
        yield "it has no rows"
    elif stamps.dtype != pl.Int64:
        yield f"timestamp is {stamps.dtype}, not Int64 (milliseconds UTC)"
    elif stamps.null_count():
        yield "a timestamp is null"
    elif not (stamps.diff().drop_nulls() > 0).all():
        yield "timestamps are not unique and ascending"


def _bars(frame: SourceFrame) -> Iterator[str]:
    """The checks that a file's rows go through, with the row where each first fails."""
    period = parse_period(frame.period)
    rows = frame.frame.select(pl.col("timestamp"), pl.col(*BAR_COLUMNS).cast(pl.Float64).fill_nan(None))
    market = market_of(frame.calendar, frame.basis, 0).anchored(period, rows["timestamp"])
    judged = place_on_calendar(rows.with_columns(bar_problems().alias(REASON)), market.calendar, period, now_ms())
    refused = judged.with_row_index("_row").filter(pl.col(REASON).is_not_null())
    for reason, first, count in refused.group_by(REASON, maintain_order=True).agg(
        pl.col("_row").first(), pl.len().alias("count")
    ).iter_rows():  # fmt: skip
        yield f"{reason} at row {first} ({count} in all)"
    for name in frame.extras:
        if frame.frame[name].cast(pl.Float64).is_infinite().any():
            yield f"the extra column {name!r} has an infinite number"
