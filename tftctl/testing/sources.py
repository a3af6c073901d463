"""Checks of sources: the first frames that they yield with default parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, get_args

import polars as pl

from tftctl.core.names import BAR_COLUMNS, name_problem
from tftctl.core.periods import period_ms
from tftctl.core.records import Scale, Source, SourceFrame
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
    first = {"columns": lambda: _labelled(frame, _columns(record, frame))}
    then = {"time": lambda: _labelled(frame, _time(frame))}
    if record.provides == "bars":
        then["bars"] = lambda: _labelled(frame, _bars(frame.frame))
    return run_checks(name, first, then)


def _labelled(frame: SourceFrame, details: Iterator[str]) -> Iterator[str]:
    return (f"{frame.symbol} {frame.period}: {detail}" for detail in details)


def _columns(record: Source, frame: SourceFrame) -> Iterator[str]:
    table: Any = frame.frame
    if not isinstance(table, pl.DataFrame):
        yield f"frame is a {type(table).__name__}, not a Polars DataFrame"
        return
    period_ms(frame.period)
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


def _bars(frame: pl.DataFrame) -> Iterator[str]:
    rules: dict[str, Any] = {
        "a price is null, NaN, infinite or not positive": _is_bad_price(),
        "high is below open, close or low": pl.col("high") < pl.max_horizontal("open", "close", "low"),
        "low is above open or close": pl.col("low") > pl.min_horizontal("open", "close"),
        "volume is negative or infinite": (pl.col("volume") < 0) | pl.col("volume").cast(pl.Float64).is_infinite(),
    }
    for text, rule in rules.items():
        rows = frame.with_row_index("_row").filter(rule)["_row"]
        if rows.len():
            yield f"{text} at row {rows[0]} ({rows.len()} in all)"


def _is_bad_price() -> pl.Expr:
    prices = [pl.col(name).cast(pl.Float64) for name in ("open", "high", "low", "close")]
    return ~pl.all_horizontal(*(price.is_finite().fill_null(False) & (price > 0).fill_null(False) for price in prices))
