"""A build's plan in words: what would be made, of how many rows, and why (STYLE 15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tftctl.features.layout import Layout
from tftctl.features.plan import PeriodPlan, TablePlan
from tftctl.store import Snapshot


@dataclass(frozen=True, slots=True)
class Action:
    """Columns of one table and period to make for so many groups and rows. `why` is one phrase."""

    table: str
    period: str
    columns: list[str]
    groups: int
    rows: int
    why: str


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """All actions of a build. `rows_to_compute` adds up their rows; `slots_changed` as in `BuildResult`."""

    actions: list[Action]
    rows_to_compute: int
    notes: tuple[str, ...] = ()
    slots_changed: int = 0


def describe_plan(snapshot: Snapshot, layout: Layout, plans: Mapping[str, PeriodPlan]) -> BuildPlan:
    """The actions of the plans, period by period."""
    actions = [
        action
        for plan in plans.values()
        for table, entry in plan.tables.items()
        for action in _actions(snapshot, layout, plans, plan, table, entry)
    ]
    return BuildPlan(actions, sum(action.rows for action in actions))


def _actions(
    snapshot: Snapshot,
    layout: Layout,
    plans: Mapping[str, PeriodPlan],
    plan: PeriodPlan,
    table: str,
    entry: TablePlan,
) -> Iterator[Action]:
    columns = list(layout.marks[table][plan.period])
    bars = snapshot.groups("bars", plan.period)
    rows = sum(bars[symbol] for symbol in plan.symbols)
    if entry.is_new:
        yield Action(table, plan.period, columns, len(plan.symbols), rows, "new")
        return
    for why, names in _reasons(layout, plan.period, table, entry).items():
        yield Action(table, plan.period, names, len(plan.symbols), rows if why != "dropped" else 0, why)
    if table == "fused":
        yield from _fused_rows(snapshot, layout, plans, plan, columns)
    else:
        yield from _own_rows(plan, table, columns, bars)


def _reasons(layout: Layout, period: str, table: str, entry: TablePlan) -> dict[str, list[str]]:
    """Columns to make for all rows, by why."""
    derived = {name: set(r.sources) for r in layout.recipe.rolling(period) for name in r.columns}
    if table == "fused":
        derived |= {column.name: {column.source} for column in layout.fused if column.role == "context"}
    found: dict[str, list[str]] = {}
    for name in entry.stale:
        if name in entry.added:
            why = "added"
        elif name in derived and (table == "fused" or derived[name] & set(entry.stale)):
            why = "stale: made from changed columns"
        else:
            why = "changed"
        found.setdefault(why, []).append(name)
    return found | ({"dropped": list(entry.dropped)} if entry.dropped else {})


def _own_rows(plan: PeriodPlan, table: str, columns: list[str], bars: Mapping[str, int]) -> Iterator[Action]:
    if plan.fresh:
        rows = sum(bars[symbol] for symbol in plan.fresh)
        yield Action(table, plan.period, columns, len(plan.fresh), rows, "new symbols")
    for why, appended in (("new bars", True), ("corrected bars", False)):
        entries = [entry for entry in plan.affected.values() if entry.change.appended == appended]
        spans = [entry.features if table == "features" else entry.labels for entry in entries]
        if entries:
            rows = sum(stop - start for start, stop in spans)
            yield Action(table, plan.period, columns, len(entries), rows, why)


def _fused_rows(
    snapshot: Snapshot, layout: Layout, plans: Mapping[str, PeriodPlan], plan: PeriodPlan, columns: list[str]
) -> Iterator[Action]:
    sources = [plans[q] for q in (plan.period, *layout.contexts(plan.period))]
    bars = snapshot.groups("bars", plan.period)
    fresh = [symbol for symbol in plan.symbols if any(symbol in source.fresh for source in sources)]
    slots = [source.slots_since_ms for source in sources[1:]]
    touched = [s for s in plan.symbols if any(s in named for named in (*slots, *(e.affected for e in sources)))]
    touched = [symbol for symbol in touched if symbol not in fresh]
    if fresh:
        rows = sum(bars[symbol] for symbol in fresh)
        yield Action("fused", plan.period, columns, len(fresh), rows, "new symbols")
    if touched:
        rows = sum(_rows_touched(snapshot, plan, sources, symbol) for symbol in touched)
        yield Action("fused", plan.period, columns, len(touched), rows, "new or corrected bars, own or in context")
    if plan.macro_changed:
        names = [series.name for series in layout.macro]
        rows = sum(bars[symbol] for symbol in plan.symbols)
        yield Action("fused", plan.period, names, len(plan.symbols), rows, "new releases: compared with what is stored")


def _rows_touched(snapshot: Snapshot, plan: PeriodPlan, sources: Sequence[PeriodPlan], symbol: str) -> int:
    """Stored fused rows within reach of a change, and own rows that are new."""
    entries = [source.affected[symbol] for source in sources if symbol in source.affected]
    slots = [source.slots_since_ms[symbol] for source in sources[1:] if symbol in source.slots_since_ms]
    since = min([*slots, *(entry.since_ms for entry in entries)])
    untils = [entry.until_ms for entry in entries] + [None] * len(slots)
    instants = snapshot.scan("fused", plan.period, symbols=[symbol], columns=["available_at"])
    at = snapshot.collect(instants.filter(pl.col("available_at") >= since))["available_at"]
    if None not in untils:
        at = at.filter(at < max(until for until in untils if until is not None))
    own = plan.affected.get(symbol)
    stored = snapshot.groups("fused", plan.period)[symbol]
    return at.len() + (max(0, own.change.rows - stored) if own else 0)
