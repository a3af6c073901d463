"""`tftctl select run-pipeline`: evidence, gates, core set, search, walk-forward, report; it goes on where it stopped.

Every stage is keyed by all that it depends on. What is there under the same key is not made again, and what was begun
is completed: evidence cell by cell, the search trial by trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tftctl.core.config.selection import SelectionConfig
from tftctl.core.errors import DataError
from tftctl.core.progress import Report, Say, silent
from tftctl.core.times import iso
from tftctl.select.aggregate_core import (
    Core,
    Rules,
    aggregate,
    at_most,
    check_rules,
    core_key,
    pinned_in,
    summary_document,
    write_summary,
)
from tftctl.select.clusters import correlations
from tftctl.select.evidence import read_facts, replace_json, summarise
from tftctl.select.folds import say_left_out
from tftctl.select.gate_scores import GateScores, read_gates
from tftctl.select.ledger import Ledger
from tftctl.select.nested_fold import nested_start
from tftctl.select.optimize_subset import optimize
from tftctl.select.origin import Origin, origin_of
from tftctl.select.places import Places
from tftctl.select.rolling_validate import fitting_cells, test_blocks, validate, validation_key
from tftctl.select.rows import Pool
from tftctl.select.tree_perm import TreeEvidence, count_evidence, judge
from tftctl.select.work import digest

STATE = "pipeline.json"
Strengths = dict[str, tuple[tuple[str, ...], npt.NDArray[np.float64]]]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What a pipeline is asked. `make_gates` writes gate weights to a path; `gates_key` says of which checkpoint."""

    pool: Pool
    targets: Sequence[str]
    rules: Rules
    stage: str
    settings: SelectionConfig
    places: Places
    ledger: Ledger
    jobs: int | None = None
    skip_unfit: bool = False
    make_gates: Callable[[Path], object] | None = None
    gates_key: str | None = None


@dataclass(slots=True)
class Course:
    """Stages that are done: name, seconds, whether they were there already, a note."""

    say: Say
    stages: list[dict[str, Any]] = field(default_factory=list)

    def done(self, name: str, started: float, *, fresh: bool = False, note: str = "") -> None:
        """Tell of a stage."""
        seconds = round(time.perf_counter() - started, 1)
        self.stages.append({"name": name, "seconds": seconds, "fresh": fresh, "note": note})
        self.say(f"{name}: {note + ', ' if note else ''}{'there already' if fresh else f'{seconds:.0f} s'}")


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """All that a pipeline has found. `selected` is what training should read, empty where nothing is evidence."""

    selected: tuple[str, ...]
    origin: Origin
    trees: TreeEvidence
    core: Core
    gates: GateScores | None
    optimized: Mapping[str, Any] | None
    rolling: Mapping[str, Any] | None
    stages: tuple[Mapping[str, Any], ...]
    nested_first: int


def run(order: Order, say: Say, report: Report = silent) -> Chosen:
    """All stages. Evidence reads only labels that end before the nested fold of the search.

    Raises what the stages raise, and UsageError for rules that cannot be kept, before anything is judged.
    """
    course = Course(say)
    check_rules(order.rules, order.targets, order.pool.features, len(order.pool.periods))
    nested = nested_start(order.pool, order.settings)
    blocks = test_blocks(order.pool, order.targets, order.settings.rolling)
    fitting_cells(order.pool, order.targets, blocks, order.settings, skip_unfit=order.skip_unfit)
    trees = _trees(order, nested, course, report)
    gates = _gates(order, course)
    core = _core(order, trees, gates, course)
    optimized = rolling = None
    if core.selected:
        optimized = _search(order, core, trees, gates, course, report)
        rolling = _walk_forward(order, course, report)
    else:
        say("no feature passes the threshold: there is nothing to search or to validate")
    read = [order.pool.until] if core.selected else []
    origin = origin_of(trees.cells, gates)
    return Chosen(
        selected=final_set(core.selected, pinned_in(core.summary), optimized),
        origin=replace(origin, last_label_end=max([origin.last_label_end, *read])),
        trees=trees,
        core=core,
        gates=gates,
        optimized=optimized,
        rolling=rolling,
        stages=tuple(course.stages),
        nested_first=nested,
    )


def final_set(selected: Sequence[str], pinned: Collection[str], optimized: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The set that the search has found, with what is pinned; the whole core where the nested fold speaks against it.

    It does when the whole 95 % interval of the gain over the core lies below 0.
    """
    if optimized is None or optimized["nested"]["gain"]["high"] < 0:
        return tuple(selected)
    kept = {*optimized["selected"], *pinned}
    return tuple(name for name in selected if name in kept)


def _trees(order: Order, nested: int, course: Course, report: Report) -> TreeEvidence:
    started = time.perf_counter()
    found = judge(
        order.pool.before(nested), order.targets, order.settings, order.places.trees, order.jobs, report,
        skip_unfit=order.skip_unfit,
    )  # fmt: skip
    say_left_out(course.say, (unfit.why for unfit in found.unfit))
    count_evidence(order.ledger, found)
    part = f", {found.fresh} of them there already" if 0 < found.fresh < len(found.cells) else ""
    note = f"{len(found.cells)} cells{part}"
    course.done("tree-perm", started, fresh=found.fresh == len(found.cells), note=note)
    return found


def _gates(order: Order, course: Course) -> GateScores | None:
    if order.make_gates is None:
        return None
    started = time.perf_counter()
    fresh = order.places.gates.is_file() and _state(order).get("tft-gating") == _gates_mark(order)
    if not fresh:
        order.make_gates(order.places.gates)
        _remember(order, "tft-gating", _gates_mark(order))
    gates = read_gates(order.places.gates)
    course.done("tft-gating", started, fresh=fresh, note=f"{gates.facts.get('origins')} origins")
    return gates


def _gates_mark(order: Order) -> str:
    """The checkpoint, and the very files that were made of it: other commands may write there, too."""
    path = order.places.gates
    files = [path.read_text(encoding="utf-8"), path.with_suffix(".json").read_text(encoding="utf-8")]
    return digest([order.gates_key, *files])


def _core(order: Order, trees: TreeEvidence, gates: GateScores | None, course: Course) -> Core:
    started = time.perf_counter()
    rules = at_most(order.rules, trees.cells)
    core = aggregate(trees.cells, rules, gates)
    write_summary(order.places.core, core, {**origin_of(trees.cells, gates).document(), "stage": order.stage})
    order.ledger.count("aggregate-core", core_key(trees.cells, rules, gates), {c.target: 1 for c in trees.cells})
    course.done("aggregate-core", started, note=f"{len(core.selected)} of {core.summary.height} features")
    return core


def _search(
    order: Order, core: Core, trees: TreeEvidence, gates: GateScores | None, course: Course, report: Report
) -> dict[str, Any]:
    started = time.perf_counter()
    until = origin_of(trees.cells, gates).last_label_end
    found = optimize(
        order.pool, core.selected, order.rules.weights, order.settings, order.places.study, order.ledger, order.jobs,
        report, evidence_until=until,
    ).document()  # fmt: skip
    say_left_out(course.say, (unfit["why"] for unfit in found["unfit"]), " of the search")
    note = f"{found['size']} of {found['pool']} features after {found['trials']} trials ({found['stopped_by']})"
    course.done("optimize-subset", started, note=note)
    return found


def _walk_forward(order: Order, course: Course, report: Report) -> dict[str, Any]:
    started = time.perf_counter()
    key = validation_key(order.pool, order.targets, order.rules, order.settings)
    path = order.places.rolling / "result.json"
    there = _undamaged(path)
    trials = order.ledger.trials(order.targets)
    fresh = there is not None and there.get("key") == key and there.get("trials_before") == trials
    if fresh and there is not None:
        found = dict(there["found"])
    else:
        found = validate(
            order.pool, order.targets, order.rules, order.settings, order.ledger, order.jobs, report,
            folder=order.places.rolling, skip_unfit=order.skip_unfit,
        ).document()  # fmt: skip
        # as many as there are once this validation has been counted itself
        replace_json(path, {"key": key, "trials_before": order.ledger.trials(order.targets), "found": found})
    say_left_out(course.say, (unfit["why"] for unfit in found["unfit"]))
    course.done("rolling-validate", started, fresh=fresh, note=f"{len(found['folds'])} test blocks")
    return found


def strengths(pool: Pool, settings: SelectionConfig) -> Strengths:
    """|Spearman| of each period's columns, for the cluster map."""
    return {period: (pool.periods[period], correlations(pool, period, [settings.seed])) for period in pool.periods}


def _state(order: Order) -> Mapping[str, Any]:
    return _undamaged(order.places.folder / STATE) or {}


def _undamaged(path: Path) -> Mapping[str, Any] | None:
    """What a run before has left; where that is damaged, it is made again."""
    try:
        return read_facts(path)
    except DataError:
        return None


def _remember(order: Order, stage: str, key: str | None) -> None:
    replace_json(order.places.folder / STATE, {**_state(order), stage: key})


def document(order: Order, chosen: Chosen, command: str, seconds: float, now: int) -> dict[str, Any]:
    """The report: everything that was found, JSON-able."""
    pool = order.pool
    gates = None if chosen.gates is None else {
        name: chosen.gates.facts.get(name)
        for name in ("run", "checkpoint", "cut", "last_label_end", "chosen_by_validation", "why", "origins")
    }  # fmt: skip
    return {
        "command": command,
        "made_at": iso(now),
        "snapshot": pool.snapshot,
        "data": pool.data,
        "cut": iso(pool.cut),
        "until": iso(chosen.nested_first),
        "last_label_end": iso(chosen.origin.last_label_end),
        "stage": order.stage,
        "targets": list(order.targets),
        "periods": list(pool.periods),
        "pool": len(pool.features),
        "seconds": round(seconds, 1),
        "stages": [dict(stage) for stage in chosen.stages],
        "evidence": [summarise(cell) for cell in chosen.trees.cells],
        "unfit": [{"target": unfit.target, "period": unfit.period, "why": unfit.why} for unfit in chosen.trees.unfit],
        "absent": {period: list(names) for period, names in pool.absent.items() if names},
        "core": summary_document(chosen.core),
        "gates": gates,
        "optimize": chosen.optimized,
        "rolling": chosen.rolling,
        "selected": list(chosen.selected),
        "allowlist": None,
    }
