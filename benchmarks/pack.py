"""`pack`: 17 outputs, this engine beside its peers, single thread, each in a process of its own, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import peers
import peers_polars
from markets import Market, prepared
from measure import Process, forget_peak, median, one_thread_each, resident_now, seconds_of, served, table

WARM_UP = 1000  # bars of each stretch after which every seed is forgotten
AGREE = 1e-9  # relative; beyond it a peer means something else: `ta` adds the volume to OBV when the close stays
SHORTEST = 100  # stretches below are left out for all: peers refuse them
SIDES = [
    peers.Side("tftctl engine", "tftctl", peers.engine_prepare, peers.engine_run, peers.engine_columns),
    peers.Side("TA-Lib loop over NumPy", "talib", peers.arrays, peers.talib_run, peers.joined),
    peers.Side(
        "TA-Lib, pandas groupby",
        "talib",
        peers.pandas_frame,
        peers.by_group(peers.talib_group),
        peers.pandas_columns,
    ),
    peers.Side(
        "pandas-ta-classic",
        "pandas_ta_classic",
        peers.pandas_frame,
        peers.by_group(peers.pandas_ta_group),
        peers.pandas_columns,
    ),
    peers.Side("ta", "ta", peers.pandas_frame, peers.by_group(peers.ta_group), peers.pandas_columns),
    peers.Side(
        "Polars .over, staged",
        "polars",
        peers_polars.polars_frame,
        peers_polars.staged_run,
        peers_polars.polars_columns,
    ),
    peers.Side(
        "Polars .over, one deep expression per output",
        "polars",
        peers_polars.polars_frame,
        peers_polars.deep_run,
        peers_polars.polars_columns,
    ),
]


def pack(market: Market, repeats: int, only: str | None = None) -> str:
    """Time every side `repeats` times in turns; the markdown report."""
    one_thread_each()
    chosen = [side for side in SIDES if side is SIDES[0] or only is None or only in side.name]
    skipped = [side.name for side in chosen if not side.installed]
    sides = [side for side in chosen if side.installed]
    with ExitStack() as stack:
        running = {side.name: stack.enter_context(served(serve, SIDES.index(side), market)) for side in sides}
        bars, times, growth = _measure(running, repeats)
        differences = _compare(running)
    ours = median(times[SIDES[0].name])
    rows = [
        [
            side.name,
            bars / median(times[side.name]) / 1e6,
            median(times[side.name]),
            min(times[side.name]),
            median(times[side.name]) / ours,
            growth[side.name],
            *differences.get(side.name, ("", "")),
        ]
        for side in sides
    ]
    header = [
        "side", "million bars/s per core", "median s", "best s", "time / engine's", "peak MiB above its input",
        "largest relative difference", "columns that differ",
    ]  # fmt: skip
    notes = [
        f"{market}: {bars:,} bars, 17 outputs, one thread, {repeats} rounds in turns after one that is not counted.",
        "The engine's indicators make 21 columns, of which 17 are shared. Differences are to the engine, after "
        f"{WARM_UP:,} bars of each stretch, relative to the value or the column's median size, OBV from there on.",
        *(f"Skipped, not installed: {name}." for name in skipped),
    ]
    return "\n".join([*notes, "", table(header, rows)])


def serve(number: int, market: Market) -> Callable[[str], Any]:
    """In the process of one side: answers `run` with seconds and MiB, `columns` with its outputs after the warm-up."""
    side = SIDES[number]
    frames = [frame.filter(frame["segment"].is_in(_long_segments(frame))) for frame in prepared(market)]
    side.run(side.prepare([frames[0].head(SHORTEST)]))  # imports and compiles what it needs
    data = side.prepare(frames)
    groups = [part.height for part in peers.stretches(frames)]
    made: Any = None

    def answer(question: str) -> Any:
        nonlocal made
        if question == "columns":
            return {name: _settled(name, values, groups) for name, values in side.columns(made).items()}
        made = None
        forget_peak()
        before, _ = resident_now()
        seconds, made = seconds_of(lambda: side.run(data))
        return sum(groups), seconds, resident_now()[1] - before

    return answer


def _long_segments(frame: Any) -> list[int]:
    import polars as pl

    sizes = frame.group_by("segment").len().filter(pl.col("len") >= SHORTEST)
    return sizes["segment"].to_list()


def _settled(name: str, values: np.ndarray, groups: list[int]) -> np.ndarray:
    ends = np.cumsum(groups)
    parts = [values[end - size + WARM_UP : end] for end, size in zip(ends, groups, strict=True) if size > WARM_UP]
    if name == "obv":  # libraries begin it differently
        parts = [part - part[0] for part in parts]
    return np.concatenate(parts or [np.empty(0)])


def _measure(running: Mapping[str, Process], repeats: int) -> tuple[int, dict[str, list[float]], dict[str, float]]:
    times: dict[str, list[float]] = {name: [] for name in running}
    growth: dict[str, float] = {}
    bars = 0
    for turn in range(repeats + 1):
        for name, process in running.items():
            bars, seconds, grown = process.call("run")
            if turn == 0:
                growth[name] = grown  # later runs reuse what the first has freed
            else:
                times[name].append(seconds)
    return bars, times, growth


def _compare(running: Mapping[str, Process]) -> dict[str, tuple[float, str]]:
    """By side: the largest difference of the columns that agree, and the others, each with its own."""
    ours = running[SIDES[0].name].call("columns")
    found = {}
    for name, process in running.items():
        if name != SIDES[0].name:
            theirs = process.call("columns")
            apart = {column: difference(ours[column], theirs[column]) for column in ours}
            others = [f"{column} {value:.1e}" for column, value in apart.items() if value > AGREE]
            found[name] = max((v for v in apart.values() if v <= AGREE), default=0.0), ", ".join(others) or "none"
    return found


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest, relative to the value or the column's median size; infinite where one of the two is missing."""
    if not found.size:
        return 0.0
    if (np.isnan(found) != np.isnan(expected)).any():
        return float("inf")
    usual = np.nanmedian(np.abs(expected)) or 1.0
    return float(np.nanmax(np.abs(found - expected) / np.maximum(np.abs(expected), usual)))
