"""A day more, and one corrected bar: seconds beside a full build, and the same tables."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from builds import TABLES, run_build, store_in
from markets import add_bars, fill_store
from measure import median, seconds_of, table

if TYPE_CHECKING:
    from tftctl.core.config.features import FeaturesConfig
    from tftctl.store import Store

DAY_MS = 86_400_000
# raw bars by period, one frame per symbol
Bars = Mapping[str, list[pl.DataFrame]]


def appended(bars: Bars, config: FeaturesConfig, days: int, folder: Path | None) -> str:
    """The markdown report of one run, all in this process."""
    end = max(int(frame["available_at"][-1]) for frames in bars.values() for frame in frames)
    cuts = [end - DAY_MS * back for back in range(days, -1, -1)]
    with store_in(folder) as grown:
        put(grown, within(bars, 0, cuts[0]))
        full = [build_seconds(grown, config)]
        steps = []
        for since, until in pairwise(cuts):
            add(grown, within(bars, since, until))
            steps.append(build_seconds(grown, config))
        with store_in(folder) as fresh:
            put(fresh, bars)
            full.append(build_seconds(fresh, config))
            after_days = compare(grown, fresh)
        wrong = other_bar(bars)
        add_bars(grown, "1h", wrong)
        corrected = build_seconds(grown, config)
        with store_in(folder) as fresh:
            put(fresh, bars)
            add_bars(fresh, "1h", wrong)
            full.append(build_seconds(fresh, config))
            after_correction = compare(grown, fresh)
    return report(bars, full, steps, corrected, after_days, after_correction)


def report(
    bars: Bars, full: list[Any], steps: list[Any], corrected: Any, after_days: list[Any], after_correction: list[Any]
) -> str:
    """Two tables: seconds, and equality."""
    whole = median([seconds for seconds, _ in full])
    lines = [
        [name, len(found), median([s for s, _ in found]), median([s for s, _ in found]) / whole, found[-1][1]]
        for name, found in (("full build", full), ("one day more", steps), ("one corrected bar", [corrected]))
    ]
    size = ", ".join(f"{sum(frame.height for frame in frames):,} at {period}" for period, frames in bars.items())
    times = table(["build", "times", "median s", "of the full build", "fused rows computed"], lines)
    header = ["after", "table", "columns", "rows", "values", "bit-equal", "largest relative difference", "in column"]
    equal = [["the days", *row] for row in after_days] + [["the correction", *row] for row in after_correction]
    symbols = max(len(frames) for frames in bars.values())
    return (
        f"{symbols} symbols, bars: {size}; default configuration with its contexts; one process, warm.\n\n{times}\n\n"
        f"Every stored value beside that of a build from nothing:\n\n{table(header, equal)}"
    )


def build_seconds(store: Store, config: FeaturesConfig) -> tuple[float, int]:
    """Seconds, and fused rows computed."""
    seconds, result = seconds_of(lambda: run_build(store, config, 1))
    return seconds, result.rows_computed


def within(bars: Bars, since: int, until: int) -> dict[str, list[pl.DataFrame]]:
    """Bars that become available in (since, until]."""
    at = pl.col("available_at")
    return {p: [frame.filter((at > since) & (at <= until)) for frame in frames] for p, frames in bars.items()}


def put(store: Store, bars: Bars) -> None:
    """Let the store hold these."""
    for period, frames in bars.items():
        fill_store(store, period, [frame for frame in frames if frame.height])


def add(store: Store, bars: Bars) -> None:
    """As an import of each period does."""
    for period, frames in bars.items():
        add_bars(store, period, pl.concat(frames))


def other_bar(bars: Bars) -> pl.DataFrame:
    """The middle hour of the first symbol with another high, close and volume."""
    frame = bars["1h"][0]
    bar = frame.slice(frame.height // 2, 1)
    return bar.with_columns(
        high=pl.col("high") * 1.001, close=(pl.col("high") + pl.col("low")) / 2, volume=2 * pl.col("volume") + 1
    )


def compare(grown: Store, fresh: Store) -> list[list[Any]]:
    """By table and period: columns, rows, values, share equal bit for bit, largest relative difference and its column.

    Exits when the two have other rows or columns.
    """
    rows = []
    with grown.read() as mine, fresh.read() as other:
        for name in TABLES:
            for period in other.periods(name):
                rows.append(_compare(f"{name} {period}", *(s.scan(name, period).collect() for s in (mine, other))))
    return rows


def _compare(name: str, mine: pl.DataFrame, other: pl.DataFrame) -> list[Any]:
    key = ["symbol", "timestamp"]
    mine, other = mine.sort(key), other.sort(key)
    if mine.columns != other.columns or not mine.select(key).equals(other.select(key)):
        raise SystemExit(f"{name}: {mine.shape} and {other.shape} with other keys or columns")
    values = [column for column in other.columns if column not in key]
    equal, worst, where = 0, 0.0, "none"
    for column in values:
        same = mine[column].eq_missing(other[column])
        equal += int(same.sum())
        apart = 0.0 if same.all() else _difference(mine[column], other[column])
        if apart > worst:
            worst, where = apart, column
    total = len(values) * other.height
    share = "all" if equal == total else f"{100 * equal / total:.6f} %"
    return [name, len(values), other.height, total, share, worst, where]


def _difference(mine: pl.Series, other: pl.Series) -> float:
    if not mine.dtype.is_float() or not mine.is_null().equals(other.is_null()):
        return float("inf")
    a, b = (column.drop_nulls().cast(pl.Float64).to_numpy() for column in (mine, other))
    return float(np.max(np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), np.median(np.abs(b)) or 1.0)))
