"""Real rows of a table, by group and in blocks of columns: bounded memory however long or wide it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tftctl.store import Snapshot

Array = np.ndarray
# values of one group in memory at a time
BLOCK_VALUES = 2**24


@dataclass(frozen=True, slots=True)
class Group:
    """The real (unfilled) rows of one symbol at a period: how many, and the first and last open time in ms."""

    symbol: str
    rows: int
    first: int
    last: int


def find_groups(snapshot: Snapshot, table: str, period: str, symbols: Sequence[str]) -> list[Group]:
    """The groups of these symbols that have real rows."""
    found = [_group(read_rows(snapshot, table, period, symbol)["timestamp"], symbol) for symbol in symbols]
    return [group for group in found if group is not None]


def read_rows(
    snapshot: Snapshot, table: str, period: str, symbol: str, columns: Sequence[str] = ("timestamp", "segment")
) -> pl.DataFrame:
    """Columns of one symbol's real rows, in order of time."""
    rows = snapshot.scan(table, period, symbols=[symbol], columns=[*columns, "is_filled"])
    return snapshot.collect(rows.filter(~pl.col("is_filled")))


def read_columns(
    snapshot: Snapshot, table: str, period: str, group: Group, columns: Sequence[str]
) -> Iterator[tuple[int, pl.Series]]:
    """Number and values of every column of one group, real rows only."""
    size = max(1, BLOCK_VALUES // max(group.rows, 1))
    for first in range(0, len(columns), size):
        block = columns[first : first + size]
        frame = read_rows(snapshot, table, period, group.symbol, block)
        for number, name in enumerate(block, first):
            yield number, frame[name]


def choose_rows(counts: Mapping[str, int], limit: int, seed: int = 0) -> dict[str, Array]:
    """Row numbers by group, ascending: `limit` of all rows with equal chances, or all where there are fewer."""
    total = sum(counts.values())
    chosen = np.arange(total)
    if total > limit:
        chosen = np.sort(np.random.default_rng(seed).choice(total, limit, replace=False, shuffle=False))
    ends = np.cumsum(list(counts.values()))
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    return {name: part - (end - counts[name]) for name, part, end in zip(counts, parts, ends, strict=True)}


def _group(times: pl.Series, symbol: str) -> Group | None:
    return Group(symbol, times.len(), int(times[0]), int(times[-1])) if times.len() else None
