"""`tftctl select optimize-subset`: the set of a pool that scores best, and what it is worth on days not searched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tftctl.core.config.selection import SelectionConfig
from tftctl.core.errors import DataError, UsageError, choices
from tftctl.core.progress import Report, silent
from tftctl.core.times import iso
from tftctl.select.folds import Unfit, make_folds
from tftctl.select.ledger import Ledger
from tftctl.select.nested_fold import NestedScores, nested_rows, nested_start, score_nested, task_seed
from tftctl.select.rows import Pool
from tftctl.select.search import METHODS, Budget, Searched, Subset, Trial, search
from tftctl.select.study import Record, open_record
from tftctl.select.subsets import Task, cells_in, make_task, score_set
from tftctl.select.tree_perm import cells_of
from tftctl.select.work import cell_seed, digest, pool_key, shares

REVISION = 1
FOLDS = 2
COMMAND = "optimize-subset"
# what an objective or the order of trials depends on, of the settings of the search
_KEYED = ("method", "size_penalty", "nested_ratio", "train_rows", "test_rows")


@dataclass(frozen=True, slots=True)
class NestedLook:
    """The best set and the whole pool on the newest training days, from `first` to the last label_end (ms UTC).

    `spent_before`: how many other results were looked at on any of these days before; above 0 the fold is spent, and
    its figures flatter. `seen_by_pool`: labels of these days have ranked the pool; None where nobody knows.
    """

    first: int
    last: int
    scores: NestedScores
    spent_before: int
    seen_by_pool: bool | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "first": iso(self.first),
            "last": iso(self.last),
            **asdict(self.scores),
            "spent_before": self.spent_before,
            "seen_by_pool": self.seen_by_pool,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Optimized:
    """What a search has found. `pool` is best-ranked first; trials are in the order of the search, the whole pool's
    first. `unfit` are the cells that took no part in the search or in the nested fold, and why."""

    method: str
    pool: tuple[str, ...]
    searched: Searched
    nested: NestedLook
    unfit: tuple[Unfit, ...]
    study: Path

    @property
    def selected(self) -> tuple[str, ...]:
        """The best set, in the order of the pool."""
        return _named(self.pool, self.searched.best.subset)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        best, trials = self.searched.best, self.searched.trials
        return {
            "method": self.method,
            "pool": len(self.pool),
            "selected": list(self.selected),
            "size": best.size,
            "objective": best.objective,
            "skill": best.skill,
            "pool_skill": trials[0].skill,
            "trials": len(trials),
            "stopped_by": self.searched.stopped_by,
            "seconds": round(sum(trial.seconds for trial in trials), 1),
            "history": _history(trials),
            "nested": self.nested.document(),
            "unfit": [{"target": cell.target, "period": cell.period, "why": cell.why} for cell in self.unfit],
            "study": str(self.study),
        }


def optimize(
    pool: Pool,
    features: Sequence[str],
    weights: Mapping[str, float],
    settings: SelectionConfig,
    study: Path,
    ledger: Ledger,
    jobs: int | None = None,
    report: Report = silent,
    *,
    evidence_until: int | None = None,
) -> Optimized:
    """Search the features (best-ranked first) for a set, then look at the nested fold once.

    Targets are those of the pool; `weights` gives each its own, 1 without, and 0 leaves it out. `evidence_until` is the
    latest label_end that ranked the features. What `study` knows is not evaluated again. Raises UsageError for a pool
    that cannot be searched, DataError where no (target, period) has enough rows or the study cannot be used.
    """
    features = _checked(pool, features)
    targets = _weighed(pool, weights)
    first = nested_start(pool, settings)
    tasks, unfit = search_tasks(pool.before(first), features, targets, settings)
    rows, small = nested_rows(pool, cells_in(tasks), first, settings)
    key = study_key(pool, features, targets, settings)
    method = settings.optimize.method
    record = open_record(study, key, features, method, {"features": list(features), "data": pool.data})
    searched = _search(record, tasks, settings, jobs, report)
    ledger.count(COMMAND, key, {cell.target: len(searched.trials) for cell in cells_in(tasks)})
    best = _named(features, searched.best.subset)
    last = max(mine.last for mine in rows)
    # a larger budget that finds another set is another look
    spent_before = ledger.spend(digest([key, best]), pool.data, first, last)
    scores = score_nested(pool, rows, best, features, targets, settings, jobs)
    seen_by_pool = None if evidence_until is None else evidence_until > first
    look = NestedLook(first, last, scores, spent_before, seen_by_pool)
    return Optimized(method, features, searched, look, (*unfit, *small), study)


def study_key(pool: Pool, features: Sequence[str], weights: Mapping[str, float], settings: SelectionConfig) -> str:
    """Changes with everything that an objective or the order of trials depends on; the budget is none of it."""
    document = settings.model_dump(mode="json")
    folds = {name: value for name, value in document["folds"].items() if name.startswith("val_")}
    return digest({
        "revision": REVISION,
        "pool": [pool_key(pool), pool.periods],
        "features": list(features),
        "weights": dict(weights),
        "search": {name: document["optimize"][name] for name in _KEYED},
        "settings": [document["seed"], document["trees"], folds],
        "versions": [version("lightgbm"), version("scikit-learn"), version("numpy"), version("optuna")],
    })  # fmt: skip


def search_tasks(
    past: Pool, features: Sequence[str], targets: Mapping[str, float], settings: SelectionConfig
) -> tuple[list[Task], list[Unfit]]:
    """The newest purged folds of every cell that has them. Raises DataError where none has."""
    options = settings.optimize
    sizes = {"folds": FOLDS, "train_rows": options.train_rows, "test_rows": options.test_rows}
    folds = settings.folds.model_copy(update=sizes)
    made, unfit = {}, []
    for cell in cells_of(past, list(targets)):
        try:
            made[cell] = make_folds(past, cell, folds, cell_seed(settings, cell))
        except DataError as error:
            unfit.append(Unfit(cell.target, cell.period, error.message, error.hint))
    if not made:
        raise DataError(unfit[0].why, unfit[0].hint)
    share = shares([cell.target for cell in made], targets)
    edges = np.zeros(1)  # one block of time: a search asks for no interval
    tasks = [
        make_task(past, cell, share[cell.target], fold.train, fold.test, features, edges,
                  task_seed(settings, cell, fold.number))
        for cell, its in made.items()
        for fold in its
    ]  # fmt: skip
    return tasks, unfit


def _search(
    record: Record, tasks: Sequence[Task], settings: SelectionConfig, jobs: int | None, report: Report
) -> Searched:
    """From the start, whatever was done before: subsets that the record knows are not evaluated again."""
    options = settings.optimize
    known = record.trials()
    evaluate = _evaluation(tasks, record.features, settings, jobs)

    def trial_of(subset: Subset) -> Trial:
        if subset not in known:
            known[subset] = evaluate(subset)
            record.add(known[subset])
        return known[subset]

    proposals = METHODS[options.method](len(record.features), settings.seed)
    return search(proposals, Budget(options.trials, options.minutes, options.patience), trial_of, report)


def _evaluation(
    tasks: Sequence[Task], features: Sequence[str], settings: SelectionConfig, jobs: int | None
) -> Callable[[Subset], Trial]:
    """Objective: skill less what the subset's share of the pool costs."""

    def evaluate(subset: Subset) -> Trial:
        started = time.perf_counter()
        found = score_set(tasks, _named(features, subset), settings.trees, 1, jobs)
        objective = found.skill - settings.optimize.size_penalty * sum(subset) / len(subset)
        gain = tuple(found.gain.get(name, 0.0) for name in features)
        return Trial(subset, objective, found.skill, gain, time.perf_counter() - started)

    return evaluate


def _checked(pool: Pool, features: Sequence[str]) -> tuple[str, ...]:
    if not features:
        raise UsageError("there is no feature to search among", "make a core first: tftctl select aggregate-core")
    known = set(pool.features)
    for name in features:
        if name not in known:
            raise UsageError(f"{name!r} has no values in the training rows", choices(name, known, "features"))
    return tuple(dict.fromkeys(features))


def _weighed(pool: Pool, weights: Mapping[str, float]) -> dict[str, float]:
    targets = {target: weight for target in pool.kinds if (weight := float(weights.get(target, 1.0))) > 0}
    if not targets:
        raise UsageError("every target weighs 0", "give one of them a weight, or name another --stage")
    return targets


def _history(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    best = np.maximum.accumulate([trial.objective for trial in trials]).tolist()
    return [
        {"trial": number, "size": trial.size, "skill": trial.skill, "objective": trial.objective, "best": so_far}
        for number, (trial, so_far) in enumerate(zip(trials, best, strict=True), 1)
    ]


def _named(features: Sequence[str], subset: Subset) -> tuple[str, ...]:
    return tuple(name for name, kept in zip(features, subset, strict=True) if kept)
