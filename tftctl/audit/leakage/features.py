"""Features of one group, recomputed from bars that end earlier or go on otherwise (SEMANTICS A1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from tftctl.audit.leakage.compare import columns_of, differing, missing_rows, not_as_stored
from tftctl.audit.leakage.effort import FUTURE_BARS, SPARE_BARS, WHOLE_GROUPS, Effort
from tftctl.audit.leakage.evidence import UNSTEADY, Evidence, Unproven
from tftctl.audit.leakage.variants import other_futures
from tftctl.audit.leakage.world import Group
from tftctl.core.errors import PluginError
from tftctl.core.periods import DAY_MS
from tftctl.core.times import iso

WHOLE = (0.62, 0.97)  # of a group: where all bars before a cut are compared


def fresh_features(group: Group, evidence: Evidence) -> tuple[pl.DataFrame, list[str]]:
    """Feature rows of all bars, and the columns that are the same in two identical runs."""
    names = group.columns()
    _run_on_few(group, names)
    fresh = group.run(group.prepared, names)
    again = group.run(group.prepared, names)
    unstable = {name for name in names if not fresh[name].equals(again[name], null_equal=True)}
    for rolling in group.rolling():
        if unstable & set(rolling.sources):
            unstable |= set(rolling.columns)
    for name in names:
        if name in unstable:
            evidence.unproven.append(Unproven(name, *group.name, UNSTEADY))
    return fresh, [name for name in names if name not in unstable]


def _run_on_few(group: Group, names: list[str]) -> None:
    """First of all: a plugin that fits itself once, to what it sees first, then is not what the store has."""
    try:
        group.run(group.prepare(group.bars.head(max(group.bars.height // 3, 1))), names)
    except PluginError:
        return  # the cuts find it, and name it


def compare_stored(table: str, fresh: pl.DataFrame, stored: pl.DataFrame, names: Sequence[str], group: tuple[str, str],
                   evidence: Evidence) -> None:  # fmt: skip
    """Note stored columns that are not what the bars give now (STALE); rows by timestamp."""
    if not fresh["timestamp"].equals(stored["timestamp"]):
        evidence.outdated(table, "timestamp", group, missing_rows(fresh, stored))
        return
    for name in ("available_at", "is_filled"):
        evidence.outdated(table, name, group, fresh["timestamp"].filter(~fresh[name].eq_missing(stored[name])))
    stamps = fresh["timestamp"].to_numpy()
    for name in names:
        there = name in stored.columns
        evidence.outdated(table, name, group, stamps[not_as_stored(fresh[name], stored[name])] if there else stamps)


def try_cuts(
    group: Group, fresh: pl.DataFrame, names: list[str], effort: Effort, evidence: Evidence, number: int
) -> list[str]:
    """Windows around several cuts with five other futures each; in some groups also all bars up to two cuts.

    Returns the columns that can be computed of all these bars.
    """
    trial = _Cuts(group, list(names), evidence)
    for share in WHOLE if number < WHOLE_GROUPS else ():
        trial.compare(0, group.bars.height, int(share * group.bars.height), fresh, only_cut=True)
    past = _reach(group) + SPARE_BARS
    for place, cut in enumerate(cut_places(group.bars, effort.cuts, number)):
        low, high = max(0, cut - past), min(group.bars.height, cut + 1 + FUTURE_BARS)
        trial.compare(low, high, cut, None, seed=place)
    return trial.names


class _Cuts:
    """Columns of a group under comparison; those that fail on some bars drop out."""

    def __init__(self, group: Group, names: list[str], evidence: Evidence) -> None:
        self.group, self.names, self.evidence = group, names, evidence
        self.tolerances = group.tolerances()

    def compare(self, low: int, high: int, cut: int, base: pl.DataFrame | None, *, seed: int = 0,
                only_cut: bool = False) -> None:  # fmt: skip
        """Bars low..high with other futures after bar `cut`; `base` is what the undisturbed ones give, where known."""
        bars = self.group.bars.slice(low, high - low)
        instant = int(self.group.bars["available_at"][cut])
        base = self._run(bars) if base is None else base
        expected = _known_by(base, instant)
        self.evidence.cuts.append(instant)
        for how, changed in other_futures(bars, cut - low + 1, seed):
            self._hold(expected, _known_by(self._run(changed), instant), f"{how} after {iso(instant)}")
            if only_cut:
                return

    def _hold(self, expected: pl.DataFrame, found: pl.DataFrame, how: str) -> None:
        before, after = columns_of(expected, self.names), columns_of(found, self.names)
        stamps = expected["timestamp"].to_numpy()
        for name in self.names:
            apart = differing(before[name], after[name], self.tolerances.get(name, 0.0))
            if apart.any():
                self.evidence.suspect(name, self.group.name, stamps[apart], how)
            if name not in self.evidence.valid and np.isfinite(before[name]).any():
                self.evidence.valid.add(name)

    def _run(self, bars: pl.DataFrame) -> pl.DataFrame:
        prepared = self.group.prepare(bars)
        try:
            return self.group.run(prepared, self.names)
        except PluginError:
            failing = self.group.culprits(prepared, self.names)
            if not failing:
                raise
            for name, why in failing.items():
                if name in self.names:
                    self.evidence.unproven.append(Unproven(name, *self.group.name, f"fails on other bars: {why}"))
            self.names = [name for name in self.names if name not in failing]
            return self.group.run(prepared, self.names)


def cut_places(bars: pl.DataFrame, count: int, number: int) -> list[int]:
    """Last bars before cuts, spread over the group: at the ends of days, one bar before, one after, in between.

    `number` of the group: each has others.
    """
    at = bars["available_at"].to_numpy()
    least = min(at.size - 1, 32)
    places = []
    for place, share in enumerate((np.arange(count) + (0.5 + 0.618 * number) % 1) / count):
        instant = int(at[int(share * (at.size - 1))])
        midnight = int(np.searchsorted(at, instant // DAY_MS * DAY_MS, side="right")) - 1
        places.append(midnight + (0, 1, -1, 2)[(place + number) % 4])
    return sorted({int(np.clip(place, least, at.size - 1)) for place in places})


def _reach(group: Group) -> int:
    """Bars before the first value of any column, as far as they declare it."""
    first = max((f.first_valid for instance in group.instances() for f in instance.features), default=0)
    return first + max((rolling.samples for rolling in group.rolling()), default=0)


def _known_by(rows: pl.DataFrame, instant: int) -> pl.DataFrame:
    return rows.filter(~pl.col("is_filled") & (pl.col("available_at") <= instant))
