"""Which rows are training rows, cut exactly as a training cuts them (SEMANTICS S4, A4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError
from tftctl.core.progress import Report, silent
from tftctl.data.cuts import training_cuts
from tftctl.data.panel import Panel, choose_groups, load_rows
from tftctl.data.splits import LEFT_OUT, Cuts, Instants, assign
from tftctl.store import Snapshot

TRAIN, VALIDATION = 0, 1
# values in memory at a time: a row group of 200 columns
CHUNK_VALUES = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class GroupRows:
    """Instants of one group's rows in order of time; `split` is -1 where a row is filled, purged, or not trained on."""

    symbol: str
    period: str
    timestamp: Instants
    available_at: Instants
    label_end: Instants
    segment: npt.NDArray[np.int32]
    is_filled: npt.NDArray[np.bool_]
    trained: bool
    split: npt.NDArray[np.int8]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.timestamp.size

    def of(self, part: int) -> npt.NDArray[np.int64]:
        """Row numbers of a part."""
        return np.flatnonzero(self.split == part)

    def at(self, cuts: Cuts) -> GroupRows:
        """The rows with other cuts."""
        split = assign(self.available_at, self.label_end, cuts)
        split[self.is_filled | (not self.trained)] = LEFT_OUT
        return replace(self, split=split)

    def chunks(self, snapshot: Snapshot, table: str, columns: Sequence[str]) -> Iterator[tuple[slice, pl.DataFrame]]:
        """Their columns with the key, a few rows at a time."""
        size = max(1, CHUNK_VALUES // max(1, len(columns)))
        for start in range(0, self.rows, size):
            stop = min(start + size, self.rows)
            until = int(self.timestamp[stop]) if stop < self.rows else None
            lazy = snapshot.scan(
                table, self.period, symbols=[self.symbol], columns=columns,
                since=int(self.timestamp[start]), until=until,
            )  # fmt: skip
            yield slice(start, stop), snapshot.collect(lazy)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """All groups of the fused table under one pair of cuts. `targets` are those whose labels had to end."""

    groups: tuple[GroupRows, ...]
    cuts: Cuts
    targets: tuple[str, ...]

    def at(self, cuts: Cuts) -> Parts:
        """The same rows with other cuts."""
        return replace(self, groups=tuple(group.at(cuts) for group in self.groups), cuts=cuts)

    def of(self, period: str) -> list[GroupRows]:
        """Groups of a period."""
        return [group for group in self.groups if group.period == period]

    @property
    def periods(self) -> list[str]:
        """Periods from short to long."""
        return list(dict.fromkeys(group.period for group in self.groups))

    def rows(self, period: str, part: int) -> int:
        """Number of rows of a part."""
        return sum(int((group.split == part).sum()) for group in self.of(period))

    def last_label_end(self, part: int) -> int | None:
        """Latest instant that a label of a part reaches."""
        ends = [int(group.label_end[rows].max()) for group in self.groups if (rows := group.of(part)).size]
        return max(ends, default=None)


def read_parts(snapshot: Snapshot, targets: Sequence[str], config: ModelConfig, report: Report = silent) -> Parts:
    """Rows of all groups, one in memory at a time. Raises DataError where there is no training row, or what
    `load_rows` and `training_cuts` raise."""
    trained = set(choose_groups(snapshot, config.periods, config.symbols))
    every = choose_groups(snapshot, None, None)
    groups = []
    for done, (symbol, period) in enumerate(every, 1):
        panel = load_rows(snapshot, targets, [period], [symbol])
        groups.append(_group(panel, (symbol, period) in trained))
        report("rows", done, len(every))
    instants = np.concatenate([group.available_at for group in groups if group.trained])
    nothing = Cuts(0, 0)
    parts = Parts(tuple(groups), nothing, tuple(targets)).at(training_cuts(instants, config))
    require_training_rows(parts)
    return parts


def require_training_rows(parts: Parts) -> None:
    """Raise DataError where no row can be judged by."""
    if parts.last_label_end(TRAIN) is None:
        raise DataError("there is no training row to judge by", "import more bars, or lower val_ratio and test_ratio")


def _group(panel: Panel, trained: bool) -> GroupRows:
    (group,) = panel.groups
    return GroupRows(
        symbol=group.symbol,
        period=group.period,
        timestamp=panel.timestamp,
        available_at=panel.available_at,
        label_end=panel.last_label_end(),
        segment=panel.segment,
        is_filled=panel.is_filled,
        trained=trained,
        split=np.full(panel.rows, LEFT_OUT, np.int8),
    )
