"""Which rows have to be made again: prepared bars against what the stored rows were made from (SEMANTICS F8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tftctl.core.names import KEY_COLUMNS
from tftctl.features.engine import compute_features, segment_bounds
from tftctl.features.groups import Recipe, label_reach
from tftctl.features.rolling import has_enough
from tftctl.store.rowhash import hash_rows

if TYPE_CHECKING:
    from tftctl.features.definitions import IndicatorInstance

BAR_HASH = "bar_hash"
EVER = -(1 << 62)  # an instant before every bar


@dataclass(frozen=True, slots=True)
class Change:
    """What differs in one group of `rows` prepared bars.

    Bars first..last are all that changed, appeared or lie beside what is gone (first == rows, last == rows - 1 when
    only the end is gone). `appended` when everything before `first` is as it was and nothing is gone. `since_ms` is
    the earliest instant at which a changed row, old or new, is available. `removed` are timestamps of rows gone.
    """

    rows: int
    first: int
    last: int
    appended: bool
    since_ms: int
    removed: tuple[int, ...] = ()


def bar_hashes(prepared: pl.DataFrame) -> pl.Series:
    """One number per prepared bar that is equal exactly where all that indicators can see of the bar is; Int64."""
    hashes = hash_rows(prepared.drop(KEY_COLUMNS[:2]))[:, 0]
    return pl.Series(BAR_HASH, hashes.view(np.int64))


def compare(prepared: pl.DataFrame, known: pl.DataFrame) -> Change | None:
    """The difference between prepared bars and the stored rows of the group; None when there is none.

    `known` has timestamp, available_at and bar_hash of the stored rows, sorted.
    """
    new, old = prepared["timestamp"].to_numpy(), known["timestamp"].to_numpy()
    place = np.minimum(np.searchsorted(old, new), max(old.size - 1, 0))
    kept = (old[place] == new) if old.size else np.zeros(new.size, bool)
    same = kept.copy()
    same[kept] = known[BAR_HASH].to_numpy()[place[kept]] == bar_hashes(prepared).to_numpy()[kept]
    gone = ~np.isin(old, new)
    if same.all() and not gone.any():
        return None
    # where rows are gone, the bars beside them count as changed
    around = np.searchsorted(new, old[gone])
    touched = np.concatenate([np.flatnonzero(~same), around])
    first = int(touched.min())
    last = min(int(touched.max()), new.size - 1)
    instants = [prepared["available_at"].to_numpy()[~same], known["available_at"].to_numpy()[gone]]
    instants.append(known["available_at"].to_numpy()[place[kept & ~same]])
    return Change(
        rows=new.size,
        first=first,
        last=last,
        appended=not gone.any() and bool((~same[first:]).all()),
        since_ms=int(np.concatenate(instants).min()),
        removed=tuple(old[gone].tolist()),
    )


def feature_rows(recipe: Recipe, prepared: pl.DataFrame, change: Change) -> tuple[int, int]:
    """Rows start..stop whose features a change may touch: to the end of what indicators remember."""
    if change.last == prepared.height - 1:
        return change.first, prepared.height
    end = next(stop for _, stop in segment_bounds(prepared) if stop > change.last)
    period = prepared["period"][0]
    memories = [memory for instance in recipe.indicators if (memory := instance.at(period).memory) is not None]
    if len(memories) == len(recipe.indicators):
        end = min(end, change.last + 1 + max(memories, default=0))
    return change.first, _rolled_end(recipe, prepared, end)


def label_rows(recipe: Recipe, prepared: pl.DataFrame, change: Change) -> tuple[int, int]:
    """Rows start..stop whose labels a change may touch: those that look ahead to it or measure by it."""
    calendar, period = recipe.calendars[prepared["symbol"][0]], prepared["period"][0]
    back, ahead = label_reach(recipe.targets, period, calendar.bars_per_year(period))
    return max(0, change.first - ahead), min(prepared.height, change.last + 1 + back)


def _rolled_end(recipe: Recipe, prepared: pl.DataFrame, end: int) -> int:
    """The row from which on no rolling column looks back at rows before `end`."""
    period = prepared["period"][0]
    rolling = [r for r in recipe.rolling(period) if r.samples]
    if not rolling:
        return end
    names = {name for r in rolling for name in r.sources}
    sources: list[IndicatorInstance] = [i.at(period) for i in recipe.indicators if names & set(i.columns)]
    ahead = max(r.samples for r in rolling)
    while True:
        stop = min(prepared.height, end + ahead)
        seen = prepared.slice(end, stop - end).with_columns(
            compute_features(prepared, sources, end, stop).get_columns()
        )
        if stop == prepared.height or all(has_enough(seen, r, seen.height) for r in rolling):
            return stop
        ahead *= 2
