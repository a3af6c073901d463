"""`tftctl audit leakage`: every column recomputed with other futures, every join done again (SEMANTICS A1, A2)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tftctl.audit.findings import Audit, Finding
from tftctl.audit.leakage import judge
from tftctl.audit.leakage.adopted import audit_adopted
from tftctl.audit.leakage.effort import Effort
from tftctl.audit.leakage.evidence import Evidence
from tftctl.audit.leakage.resampling import displaced_bars
from tftctl.audit.leakage.rows import early_releases
from tftctl.audit.leakage.work import audit_cross, audit_group, class_of
from tftctl.audit.prune.writing import first_origin
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import DataError
from tftctl.core.frequencies import lag_ms
from tftctl.core.progress import Report, silent
from tftctl.core.times import iso
from tftctl.core.verdicts import worst
from tftctl.features.layout import Layout, lay_out
from tftctl.features.observed import expected_slots
from tftctl.features.reading import PreparedBars
from tftctl.features.workers import Setup, process_pool, with_bars
from tftctl.plugins import Registry
from tftctl.store import Snapshot, Store

# bars from which on other processes pay
WORTH_A_POOL = 20_000
CHECKS = (
    "features",
    "identity",
    "labels",
    "fusion",
    "cross-section",
    "normalisation",
    "adjustment",
    "bars",
    "macro",
    "stored",
    "determinism",
)
CHECKED = (
    "every feature and score, recomputed from bars that end at the cuts, and that are scaled up, scaled down, shuffled "
    "and removed after them, is the same: to the last bit, or to the tolerance that it declares",
    "indicators: single bars, changed one at a time, change none of the 32 rows before them",
    "no column is a label or a straight line of one",
    "every label stands whatever comes after its end, reads the past by its yardstick alone, and reads its horizon",
    "every context and macro value is what DuckDB's ASOF join on available_at gives",
    "normalised values have centre and scale of the values before them",
    "slower bars are no later hours of faster ones than their stamp says, where both are there",
)


@dataclass(frozen=True, slots=True)
class Spread:
    """`jobs` processes (None: as many as pay); `load` gives a worker the same plugins, without it all runs here."""

    jobs: int | None = None
    load: Callable[[], Registry] | None = None


# a function of prepared bars and the rest of a task -> results with the number of their task, in any order
Run = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[tuple[int, Any]]]


def audit_leakage(
    store: Store, snapshot: Snapshot, registry: Registry, report: Report = silent, spread: Spread | None = None
) -> Audit:
    """Audit what the features, targets, fused and macro tables of a snapshot know.

    Raises DataError where there are no features, ConfigError where definitions or plugins are gone that they were
    made with.
    """
    if snapshot.has("fused") and first_origin(snapshot) == "adopted":
        return audit_adopted(snapshot, report)
    config = _config_of(snapshot)
    expected = expected_slots(snapshot)
    layout = lay_out(snapshot, config, registry, expected.calendar)
    spread = spread or Spread()
    setup = None
    if spread.load is not None:
        setup = Setup(store, snapshot.number, config, expected.calendar, spread.load)
    with _runner(snapshot, layout, setup, spread.jobs) as run:
        evidence = _gather(run, snapshot, layout, report)
        sources = {column: r.sources for p in layout.periods for r in layout.recipe.rolling(p) for column in r.columns}
        asked = judge.to_classify(evidence, sources)
        columns, tasks = list(asked), [(suspicion,) for suspicion in asked.values()]
        classes = {columns[number]: found for number, found in run(class_of, tasks)}
    judge.inherited(classes, evidence, sources)
    shown = _shown(snapshot, layout)
    leaks = [leak for leak in judge.leaks(evidence, classes) if leak.column in shown]
    known = {leak.column for leak in leaks}
    findings = [
        *leaks,
        *judge.displaced(displaced_bars(snapshot, layout)),
        *_macro(snapshot, layout),
        *judge.blind_targets(evidence, [t.column for t in layout.recipe.targets if t.column not in known]),
        *_stored(snapshot, layout, evidence),
        *(found for found in judge.unproven(evidence, known) if found.column in shown),
        *judge.never_compared(evidence, list(snapshot.meta("fused").get("columns", {}))),
    ]
    return Audit("leakage", tuple(findings), CHECKED, _facts(snapshot, layout, evidence, findings), CHECKS)


def _config_of(snapshot: Snapshot) -> FeaturesConfig:
    if not (snapshot.has("fused") and snapshot.has("bars")):
        raise DataError("there are no features to audit", "make them: tftctl features build")
    return FeaturesConfig.model_validate(snapshot.meta("fused").get("config", {}))


@contextmanager
def _runner(snapshot: Snapshot, layout: Layout, setup: Setup | None, jobs: int | None) -> Iterator[Run]:
    """Runs tasks here, or in processes where there is enough to do."""
    rows = sum(snapshot.rows("bars", period) for period in layout.periods)
    wanted = jobs or ((os.cpu_count() or 1) if rows >= WORTH_A_POOL else 1)
    if setup is None or wanted == 1:
        bars = PreparedBars(snapshot, layout)
        yield lambda function, tasks: ((number, function(bars, *task)) for number, task in enumerate(tasks))
    else:
        with process_pool(setup, wanted) as pool:
            yield lambda function, tasks: pool.results(
                [pool.submit(with_bars, setup, function, *task) for task in tasks]
            )


def _gather(run: Run, snapshot: Snapshot, layout: Layout, report: Report) -> list[Evidence]:
    """Evidence of all groups, the largest first so that processes end together, then of the cross-sections."""
    sizes = {(p, s): snapshot.groups("bars", p)[s] for p in layout.periods for s in layout.symbols[p]}
    effort = Effort(len(sizes), sum(sizes.values()))
    order = sorted(sizes, key=lambda group: (-sizes[group], group))
    tasks = [(*group, effort, number) for number, group in enumerate(order)]
    crossed = [(period, effort) for period in layout.periods] if layout.recipe.cross else []
    found: list[tuple[int, Evidence]] = []
    for number, evidence in run(audit_group, tasks):
        found.append((number, evidence))
        report("groups audited", len(found), len(tasks))
    found += [(len(tasks) + number, evidence) for number, evidence in run(audit_cross, crossed)]
    return [evidence for _, evidence in sorted(found, key=lambda entry: entry[0])]


def _shown(snapshot: Snapshot, layout: Layout) -> set[str | None]:
    """Columns and labels of the tables, and what these are made from; what was pruned away altogether is not theirs."""
    columns = snapshot.meta("fused").get("columns", {})
    made = [i for i in (*layout.recipe.cross, *layout.recipe.contextual) if set(i.columns) & set(columns)]
    return {
        None, "available_at", *columns, *(str(entry["source"]) for entry in columns.values()),
        *(name for instance in made for name in instance.inputs), *(t.column for t in layout.recipe.targets),
    }  # fmt: skip


def _stored(snapshot: Snapshot, layout: Layout, evidence: Sequence[Evidence]) -> Iterator[Finding]:
    behind = [period for period in layout.periods if not _is_current(snapshot, layout, period)]
    if behind:
        text = f"at {', '.join(behind)} bars or definitions are others than those that the tables were made from"
        yield Finding("stored", judge.STALE, f"{text}; make them again: tftctl features build", verdict="NOT PROVEN")
        return
    yield from judge.stale(evidence)


def _is_current(snapshot: Snapshot, layout: Layout, period: str) -> bool:
    features, targets = (snapshot.meta(table) for table in ("features", "targets"))
    fused, labels = snapshot.meta("fused"), targets.get("definitions", {}).get(period)
    pruned = "pruned" in fused
    return (
        (pruned or fused.get("definitions", {}).get(period) == layout.marks["fused"][period])
        and fused.get("macro", {}).get(period, {}) == layout.macro_versions
        and features.get("bars", {}).get(period) == layout.bar_marks[period]
        and features.get("definitions", {}).get(period) == layout.marks["features"][period]
        and ("pruned" in targets or labels == layout.marks["targets"][period])
    )


def _macro(snapshot: Snapshot, layout: Layout) -> Iterator[Finding]:
    declared = snapshot.meta("macro").get("series", {}) if snapshot.has("macro") else {}
    for series in layout.macro:
        entry = declared[series.name]
        stamps = early_releases(series, lag_ms(entry.get("release_lag", "0h")))
        if stamps:
            yield judge.early(series.name, stamps)
        if entry.get("revised"):
            yield judge.revised(series.name)


def _facts(
    snapshot: Snapshot, layout: Layout, evidence: Sequence[Evidence], findings: Sequence[Finding]
) -> dict[str, Any]:
    cuts = sorted({cut for one in evidence for cut in one.cuts})
    there = snapshot.meta("fused").get("columns", {})
    names = [c.name for c in layout.fused if c.role not in ("bar", "age") and c.name in there]
    names += [target.column for target in layout.recipe.targets]
    return {
        "snapshot": snapshot.number,
        "groups": sum(len(layout.symbols[period]) for period in layout.periods),
        "verdicts": {name: worst(found.verdict for found in findings if found.column == name) for name in names},
        "cuts": {"count": len(cuts), "first": iso(cuts[0]), "last": iso(cuts[-1])} if cuts else {"count": 0},
        "single_rows": sum(one.poked for one in evidence),
    }
