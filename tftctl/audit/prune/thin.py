"""Which rows stay, and what that does to windows: segments, forecast origins, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.prune.parts import TRAIN, GroupRows
from tftctl.audit.prune.required import KEPT, REASONS, Required
from tftctl.data.origins import find_origins
from tftctl.data.panel import Group, Panel
from tftctl.store import Snapshot

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Seen:
    """Columns that a pass over rows looks at, at one period.

    `before` and `after` the pruning: all columns that apply, how many of them are inputs, and the inputs whose nulls
    spoil a window (S3).
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    inputs_before: int
    inputs_after: int
    spoiling_before: tuple[str, ...]
    spoiling_after: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Thinned:
    """One group: which rows stay, why the others go, and values of training rows and origins, before and after."""

    rows: GroupRows
    kept: Mask
    reasons: Mapping[str, int]
    values: tuple[int, int]
    origins: tuple[int, int]

    @property
    def removed(self) -> int:
        """Number of rows that go."""
        return int((~self.kept).sum())

    @property
    def segment(self) -> npt.NDArray[np.int32]:
        """Segments of the rows that stay."""
        return renumbered(self.rows.segment, self.kept)


def renumbered(segment: npt.NDArray[np.int32], kept: Mask) -> npt.NDArray[np.int32]:
    """Segments of kept rows such that none reaches over a removed one; as they are where every row stays."""
    if kept.all():
        return segment
    places = np.flatnonzero(kept)
    broken = (np.diff(places) > 1) | (np.diff(segment[places]) != 0)
    return np.concatenate([[0], np.cumsum(broken)]).astype(np.int32)[: places.size]


def thin(snapshot: Snapshot, rows: GroupRows, seen: Seen, required: Required | None, encoder_length: int) -> Thinned:
    """Judge the rows of one group, a few in memory at a time."""
    found = _judge(snapshot, rows, seen, required)
    kept, everything = found.reason == KEPT, np.ones(rows.rows, bool)
    counts = {name: int((found.reason == number).sum()) for number, name in enumerate(REASONS) if number != KEPT}
    return Thinned(
        rows=rows,
        kept=kept,
        reasons={name: number for name, number in counts.items() if number},
        values=(found.values[0], found.values[1]),
        origins=(
            _origins(rows, everything, found.spoiled[0], encoder_length),
            _origins(rows, kept, found.spoiled[1], encoder_length),
        ),
    )


@dataclass(eq=False)
class _Judged:
    """Number of the reason by row; before and after: rows that spoil a window, values of training rows."""

    reason: npt.NDArray[np.int8]
    spoiled: tuple[Mask, Mask]
    values: list[int]


def _judge(snapshot: Snapshot, rows: GroupRows, seen: Seen, required: Required | None) -> _Judged:
    needed = required.columns if required is not None else ()
    wanted = list(dict.fromkeys([*seen.before, *needed]))
    place = {name: number for number, name in enumerate(wanted)}
    counted = [[place[name] for name in names] for names in (seen.before, seen.after)]
    spoiling = [[place[name] for name in names] for names in (seen.spoiling_before, seen.spoiling_after)]
    found = _Judged(np.zeros(rows.rows, np.int8), (np.zeros(rows.rows, bool), np.zeros(rows.rows, bool)), [0, 0])
    for here, frame in rows.chunks(snapshot, "fused", wanted):
        there = _there(frame, wanted)
        if required is not None:
            found.reason[here] = required.judge(there[:, [place[name] for name in needed]].sum(1))
        train = rows.split[here] == TRAIN
        for side, part in enumerate((train, train & (found.reason[here] == KEPT))):
            found.values[side] += int(there[part][:, counted[side]].sum())
            found.spoiled[side][here] = ~there[:, spoiling[side]].all(1)
    return found


def _there(frame: pl.DataFrame, names: Sequence[str]) -> Mask:
    """(rows, columns): whether a row has a finite value of a column."""
    if not names:
        return np.ones((frame.height, 0), bool)
    return frame.select(pl.col(names).is_finite().fill_null(False)).to_numpy()


def _origins(rows: GroupRows, kept: Mask, spoiled: Mask, encoder_length: int) -> int:
    """Rows with a whole window, as a training would find them in the rows that stay."""
    number = int(kept.sum())
    if not number:
        return 0
    features = np.where(spoiled[kept], np.nan, 0.0).astype(np.float32)[:, None]
    panel = Panel(
        groups=(Group(rows.symbol, rows.period, 0, number),),
        columns=("spoiled",),
        targets=(),
        features=features,
        labels=np.empty((number, 0), np.float32),
        label_end=np.empty((number, 0), np.int64),
        timestamp=rows.timestamp[kept],
        available_at=rows.available_at[kept],
        next_timestamp=rows.timestamp[kept],
        segment=renumbered(rows.segment, kept),
        is_filled=rows.is_filled[kept],
        group=np.zeros(number, np.int32),
    )
    return int(find_origins(panel, encoder_length, [0]).usable.sum())
