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
    wanted = list(dict.fromkeys([*seen.before, *seen.after, *(required.columns if required else ())]))
    reason = np.zeros(rows.rows, np.int8)
    spoiled = np.zeros((rows.rows, 2), bool)
    values = [0, 0]
    for here, frame in rows.chunks(snapshot, "fused", wanted):
        if required is not None:
            reason[here] = required.judge(_there(frame, required.columns))
        train = rows.split[here] == TRAIN
        values[0] += int(_there(frame, seen.before)[train].sum())
        values[1] += int(_there(frame, seen.after)[train & (reason[here] == KEPT)].sum())
        for place, names in enumerate((seen.spoiling_before, seen.spoiling_after)):
            spoiled[here, place] = _there(frame, names) < len(names)
    kept = reason == KEPT
    everything = np.ones(rows.rows, bool)
    origins = tuple(
        _origins(rows, part, spoiled[:, place], encoder_length) for place, part in enumerate((everything, kept))
    )
    counts = {name: int((reason == number).sum()) for number, name in enumerate(REASONS) if number != KEPT}
    return Thinned(rows, kept, {name: n for name, n in counts.items() if n}, (values[0], values[1]), origins)  # type: ignore[arg-type]


def _there(frame: pl.DataFrame, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many of these columns each row has a finite value of."""
    if not names:
        return np.zeros(frame.height, np.int64)
    finite = (pl.col(name).is_finite().fill_null(False).cast(pl.Int64) for name in names)
    return frame.select(pl.sum_horizontal(finite)).to_series().to_numpy()


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
