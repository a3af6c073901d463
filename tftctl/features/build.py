"""`tftctl features build`: bars -> features and targets -> fused, in one commit."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import polars as pl

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.progress import Report, silent
from tftctl.features.actions import BuildPlan, describe_plan
from tftctl.features.columns import Column, describe_columns, describe_targets
from tftctl.features.crosssection import CrossSections, cross_sections
from tftctl.features.layout import Layout, lay_out
from tftctl.features.observed import expected_slots, freeze
from tftctl.features.plan import TABLES, Affected, PeriodPlan, examine_groups, plan_build
from tftctl.features.reading import PreparedBars
from tftctl.features.requirements import missing_inputs
from tftctl.features.verdict import carried
from tftctl.features.workers import Engine, Here, Key, Setup, Workers, Written, process_pool, ray_pool
from tftctl.plugins import Registry
from tftctl.store import Store, Transaction

# starting processes costs about as much as computing this many rows here
WORTH_A_POOL = 150_000


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did. `rows` are those of the fused table, `columns` counts feature columns by role.

    `slots_changed` counts frozen slots of the observed calendar that were renewed.
    """

    snapshot: int
    groups: int
    rows: int
    rows_computed: int
    features: int
    targets: int
    seconds: float
    columns: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    slots_changed: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """How a build is spread: `jobs` processes (None: as many as pay), on this machine or on a Ray cluster.

    `load` gives a worker the same plugins; without it everything runs here.
    """

    jobs: int | None = None
    engine: Engine = "processes"
    load: Callable[[], Registry] | None = None


HERE = Spread(jobs=1)


def build(
    store: Store,
    config: FeaturesConfig,
    registry: Registry,
    report: Report = silent,
    spread: Spread = HERE,
    *,
    recalendar: bool = False,
) -> BuildResult:
    """Make what is missing or stale and commit it as one snapshot; nothing changed makes none.

    `recalendar` renews the frozen slots of the observed calendar. Raises DataError when there are no bars, ConfigError
    for definitions that do not fit them.
    """
    started = time.perf_counter()
    with store.write("features build") as txn:
        expected = expected_slots(txn.base, renew=recalendar)
        freeze(txn, expected)
        layout = lay_out(txn.pending(), config, registry, expected.calendar)
        lacking = missing_inputs(txn.pending(), layout)
        setup = None if spread.load is None else Setup(store, txn.base.number, config, expected.calendar, spread.load)
        with _workers(txn, layout, spread, setup) as workers:
            plans = plan_build(txn.pending(), layout, partial(_examine, workers, spread), expected.since_ms)
            computed = _write(txn, layout, plans, workers, _tasks(txn, layout, spread), report)
        if expected.since_ms:
            _describe(txn, layout)  # other slots may leave all rows as they are
        number = txn.commit()
        after = txn.pending()
        return BuildResult(
            snapshot=number,
            groups=sum(len(plan.symbols) for plan in plans.values()),
            rows=after.rows("fused"),
            rows_computed=computed,
            features=sum(column.role not in ("bar", "age") for column in layout.fused),
            targets=len(layout.recipe.targets),
            seconds=round(time.perf_counter() - started, 3),
            columns=_count_roles(layout.fused),
            notes=(*layout.notes, *lacking, *expected.notes),
            slots_changed=expected.slots_changed,
        )


def plan_features(store: Store, config: FeaturesConfig, registry: Registry, *, recalendar: bool = False) -> BuildPlan:
    """What `build` would do now, and why; writes nothing. Raises as `build` does."""
    with store.read() as snapshot:
        expected = expected_slots(snapshot, renew=recalendar)
        layout = lay_out(snapshot, config, registry, expected.calendar)
        missing_inputs(snapshot, layout)
        plans = plan_build(snapshot, layout, partial(examine_groups, PreparedBars(snapshot, layout)), expected.since_ms)
        plan = describe_plan(snapshot, layout, plans)
        return replace(plan, notes=expected.notes, slots_changed=expected.slots_changed)


@contextmanager
def _workers(txn: Transaction, layout: Layout, spread: Spread, setup: Setup | None) -> Iterator[Workers]:
    if setup is not None and spread.engine == "ray":
        with ray_pool(setup) as pool:
            yield pool
    elif setup is not None and _jobs(txn, layout, spread) > 1:
        with process_pool(setup, _jobs(txn, layout, spread)) as pool:
            yield pool
    else:
        yield Here(PreparedBars(txn.pending(), layout))


def _jobs(txn: Transaction, layout: Layout, spread: Spread) -> int:
    if spread.jobs is not None:
        return spread.jobs
    everything = not txn.base.has("fused")
    worth = everything and _bars(txn, layout) >= WORTH_A_POOL
    return (os.cpu_count() or 1) if worth else 1


def _bars(txn: Transaction, layout: Layout) -> int:
    return sum(txn.base.groups("bars", period)[s] for period in layout.periods for s in layout.symbols[period])


def _examine(workers: Workers, spread: Spread, period: str, symbols: list[str]) -> dict[str, Affected]:
    jobs = spread.jobs or 1
    size = max(1, len(symbols) if jobs == 1 else len(symbols) // (4 * jobs))
    chunks = [(period, symbols[start : start + size]) for start in range(0, len(symbols), size)]
    found: dict[str, Affected] = {}
    for part in workers.examine(chunks):
        found |= part
    return dict(sorted(found.items()))


def _tasks(txn: Transaction, layout: Layout, spread: Spread) -> list[list[str]]:
    """Runs of consecutive symbols with about as many bars each: few enough for few files, enough to balance."""
    weight: dict[str, int] = {}
    for period in layout.periods:
        for symbol in layout.symbols[period]:
            weight[symbol] = weight.get(symbol, 0) + txn.base.groups("bars", period)[symbol]
    jobs = _jobs(txn, layout, spread) if spread.engine == "processes" else 16
    target = max(sum(weight.values()) / (1 if jobs == 1 else 3 * jobs), 1)
    tasks: list[list[str]] = []
    filled = target
    for symbol in sorted(weight):
        if filled >= target:
            tasks.append([])
            filled = 0
        tasks[-1].append(symbol)
        filled += weight[symbol]
    return tasks


def _write(
    txn: Transaction,
    layout: Layout,
    plans: Mapping[str, PeriodPlan],
    workers: Workers,
    tasks: Sequence[list[str]],
    report: Report,
) -> int:
    """Do what the plans ask for; returns the number of fused rows made."""
    for table in TABLES:
        for period in txn.base.periods(table) if txn.base.has(table) else []:
            if period not in plans:
                txn.drop(table, period)
    if all(plan.mode(table) == "keep" for plan in plans.values() for table in TABLES):
        if not _described(txn, layout):
            _describe(txn, layout)
        return 0
    done: dict[int, Written] = {}
    with tempfile.TemporaryDirectory(prefix="tftctl-") as folder:
        cross = _cross_sections(layout, plans, workers, Path(folder), report)
        for number, written in workers.make(plans, cross, tasks):
            done[number] = written
            report("features", sum(len(tasks[n]) for n in done), sum(map(len, tasks)))
    _put(txn, plans, [done[number] for number in sorted(done)])
    _describe(txn, layout)
    return sum(written.rows for written in done.values())


def _cross_sections(
    layout: Layout, plans: Mapping[str, PeriodPlan], workers: Workers, folder: Path, report: Report
) -> dict[str, CrossSections]:
    """What symbols see of each other, by period, where it is not what is stored."""
    made: dict[str, CrossSections] = {}
    wanted = [plan for plan in plans.values() if plan.cross_since_ms is not None]
    for done, plan in enumerate(wanted, 1):
        assert plan.cross_since_ms is not None
        own, since = folder / plan.period, plan.cross_since_ms
        own.mkdir()
        workers.gather([(plan.period, [symbol], since, own) for symbol in plan.symbols])
        made[plan.period] = cross_sections(layout.recipe, plan.symbols, since, own)
        report("cross-sections", done, len(wanted))
    return made


def _put(txn: Transaction, plans: Mapping[str, PeriodPlan], parts: Sequence[Written]) -> None:
    for period, plan in plans.items():
        for table in TABLES:
            key = table, period
            if plan.mode(table) == "rewrite":
                columns = next(part.columns[key] for part in parts if key in part.columns)
                txn.adopt(table, period, columns, [part.segments.get(key, []) for part in parts])
            elif plan.mode(table) == "patch":
                _patch(txn, key, parts)


def _patch(txn: Transaction, key: Key, parts: Sequence[Written]) -> None:
    frames = [frame for part in parts for frame in part.patches.get(key, [])]
    removed = [keys for part in parts for keys in part.removed.get(key, [])]
    if removed:
        txn.delete(*key, pl.concat(removed))
    if frames:
        txn.upsert(*key, pl.concat(frames))


def _described(txn: Transaction, layout: Layout) -> bool:
    """Whether the columns are stored with the roles and texts that they have now."""
    columns = {"features": layout.own, "fused": layout.fused}
    return all(txn.base.meta(name)["columns"] == describe_columns(found) for name, found in columns.items())


def _describe(txn: Transaction, layout: Layout) -> None:
    marks = layout.marks
    txn.set_meta(
        "features",
        {"columns": describe_columns(layout.own), "definitions": marks["features"], "bars": layout.bar_marks},
    )
    txn.set_meta("targets", {"targets": describe_targets(layout.recipe.targets), "definitions": marks["targets"]})
    made_from = ("bars", "macro", "factors", "calendar")
    pending = txn.pending()
    txn.set_meta(
        "fused",
        {
            "columns": describe_columns(layout.fused),
            "definitions": marks["fused"],
            "macro": dict.fromkeys(layout.periods, layout.macro_versions),
            "config": layout.recipe.config.model_dump(mode="json"),
            "calendars": layout.calendar_meta,
            "made_from": {name: pending.data_version(name) if pending.has(name) else None for name in made_from},
            "origin": "built",
            "audit": carried(txn.base.meta("fused")),
        },
    )


def _count_roles(columns: Sequence[Column]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for column in columns:
        counts[column.role] = counts.get(column.role, 0) + 1
    return counts
