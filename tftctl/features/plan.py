"""What a build would make, and why (SEMANTICS F8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from tftctl.features.changes import BAR_HASH, EVER, Change, compare, feature_rows, label_rows
from tftctl.features.layout import Layout
from tftctl.features.marks import Marks, stale_columns
from tftctl.features.reading import PreparedBars, batches, by_symbol
from tftctl.store import Snapshot

Mode = Literal["keep", "patch", "rewrite"]
TABLES = ("features", "targets", "fused")
# a patch of more than this share of the rows would be compacted at once
LARGEST_PATCH = 0.1


@dataclass(frozen=True, slots=True)
class Affected:
    """Rows of one group that a change touches, start..stop in the numbering of its prepared bars.

    Fused rows are touched where they are available at or after `since_ms` and before `until_ms` (None: to the end).
    """

    change: Change
    features: tuple[int, int]
    labels: tuple[int, int]
    since_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class TablePlan:
    """How a period of a table is brought up to date: left alone, patched row by row, or written anew.

    `stale` columns are made for all rows; the others are copied where the bars are as they were.
    """

    mode: Mode
    stale: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class PeriodPlan:
    """The work of one period. `affected` by symbol; a symbol that is `fresh` had no rows at all, one that is `gone`
    has rows but no bars any more.

    From `cross_since_ms` on cross-sections are made again for all symbols; None where they stand. `slots_since_ms`
    names the symbols whose expected bars are others than at the last build, with the instant from which on they are.
    """

    period: str
    symbols: tuple[str, ...]
    tables: Mapping[str, TablePlan]
    affected: Mapping[str, Affected] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()
    macro_changed: bool = False
    cross_since_ms: int | None = None
    gone: frozenset[str] = frozenset()
    slots_since_ms: Mapping[str, int] = field(default_factory=dict)

    def mode(self, table: str) -> Mode:
        """How a table is brought up to date."""
        return self.tables[table].mode


Examine = Callable[[str, list[str]], Mapping[str, Affected]]


def plan_build(
    snapshot: Snapshot, layout: Layout, examine: Examine, slots_since_ms: Mapping[str, int]
) -> dict[str, PeriodPlan]:
    """Plans by period. `examine(period, symbols)` compares the bars of groups with what their rows were made from.

    `slots_since_ms` gives by period the instant from which on the observed calendar is another than at the last build.
    """
    plans: dict[str, PeriodPlan] = {}
    for period in layout.periods:
        plan = _plan_own(snapshot, layout, period, examine)
        observed = [symbol for symbol in plan.symbols if layout.recipe.calendars[symbol].name == "observed"]
        since = slots_since_ms.get(period)
        plans[period] = plan if since is None else replace(plan, slots_since_ms=dict.fromkeys(observed, since))
    return {period: _with_fused(snapshot, layout, plans, period) for period in layout.periods}


def examine_groups(bars: PreparedBars, period: str, symbols: Sequence[str]) -> dict[str, Affected]:
    """The groups among `symbols` whose bars differ from what their stored rows were made from; their bars are kept."""
    found: dict[str, Affected] = {}
    for batch in batches(bars.snapshot, "bars", period, symbols):
        known = by_symbol(bars.snapshot, "features", period, batch, ["available_at", BAR_HASH])
        for symbol, prepared in bars.each(period, batch):
            affected = _examine(bars.layout, prepared, known[symbol])
            if affected is not None:
                found[symbol] = affected
                bars.keep(period, symbol, prepared)
    return found


def _examine(layout: Layout, prepared: pl.DataFrame, known: pl.DataFrame) -> Affected | None:
    change = compare(prepared, known)
    if change is None:
        return None
    start, stop = feature_rows(layout.recipe, prepared, change)
    # filled bars before `stop` are available with the real bar after it, and are touched like the others
    touched = prepared["available_at"][:stop].max() if stop else None
    after = prepared.slice(stop).filter(~pl.col("is_filled"))["available_at"]
    after = after if touched is None else after.filter(after > touched)
    return Affected(
        change=change,
        features=(start, stop),
        labels=label_rows(layout.recipe, prepared, change),
        since_ms=change.since_ms,
        until_ms=int(after[0]) if after.len() else None,
    )


def _plan_own(snapshot: Snapshot, layout: Layout, period: str, examine: Examine) -> PeriodPlan:
    symbols = layout.symbols[period]
    stored = set(snapshot.symbols("features", period)) if _has(snapshot, "features", period) else set()
    comparable = bool(stored) and BAR_HASH in snapshot.columns("features")
    known = snapshot.meta("features").get("bars", {}).get(period) if comparable else None
    fresh = frozenset(symbol for symbol in symbols if symbol not in stored or not comparable)
    gone = frozenset(stored - set(symbols))
    affected: Mapping[str, Affected] = {}
    if comparable and known != layout.bar_marks[period]:
        affected = examine(period, [symbol for symbol in symbols if symbol not in fresh])
    bars = snapshot.groups("bars", period)
    rows = sum(bars[symbol] for symbol in symbols)
    touched = sum(bars[symbol] for symbol in fresh)
    touched += sum(entry.features[1] - entry.features[0] for entry in affected.values())
    several = touched > LARGEST_PATCH * rows or bool(gone)
    some = bool(fresh or affected)
    tables = {
        table: _table_plan(snapshot, table, period, layout.marks[table][period], some, several)
        for table in ("features", "targets")
    }
    cross_since = _cross_since(layout, tables["features"], affected, bool(fresh))
    return PeriodPlan(period, tuple(symbols), tables, affected, fresh, cross_since_ms=cross_since, gone=gone)


def _cross_since(layout: Layout, features: TablePlan, affected: Mapping[str, Affected], fresh: bool) -> int | None:
    names = {column for instance in layout.recipe.cross for column in instance.columns}
    if not names or features.mode == "keep":
        return None
    if features.mode == "rewrite" and (names & set(features.stale) or fresh or affected):
        return EVER
    return EVER if fresh else min((entry.since_ms for entry in affected.values()), default=None)


def _with_fused(snapshot: Snapshot, layout: Layout, plans: Mapping[str, PeriodPlan], period: str) -> PeriodPlan:
    plan = plans[period]
    sources = [plans[q] for q in (period, *layout.contexts(period))]
    some = any(source.affected or source.fresh for source in sources)
    some = some or any(source.slots_since_ms for source in sources[1:])
    joined = snapshot.meta("fused").get("macro", {}).get(period, {}) if snapshot.has("fused") else {}
    macro_changed = any(joined.get(name) != version for name, version in layout.macro_versions.items())
    # a context period that is new to a symbol gives columns to rows of any age
    several = plan.mode("features") == "rewrite" or any(source.gone or source.fresh - plan.fresh for source in sources)
    several = several or (_has(snapshot, "fused", period) and snapshot.meta("fused").get("origin") != "built")
    marks = layout.marks["fused"][period]
    fused = _table_plan(snapshot, "fused", period, marks, some or macro_changed, several)
    return replace(plan, tables={**plan.tables, "fused": fused}, macro_changed=macro_changed)


def _table_plan(snapshot: Snapshot, table: str, period: str, marks: Marks, some: bool, several: bool) -> TablePlan:
    known: Marks = snapshot.meta(table).get("definitions", {}).get(period, {}) if snapshot.has(table) else {}
    if not (known and _has(snapshot, table, period)):
        return TablePlan("rewrite", tuple(marks), is_new=True)
    stale = tuple(stale_columns(marks, known))
    dropped = tuple(name for name in known if name not in marks)
    if stale or dropped or several or list(known) != list(marks):
        return TablePlan("rewrite", stale, tuple(name for name in stale if name not in known), dropped)
    return TablePlan("patch" if some else "keep")


def _has(snapshot: Snapshot, table: str, period: str) -> bool:
    return snapshot.has(table) and period in snapshot.periods(table)
