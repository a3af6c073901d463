"""The newest training days, which no search has seen: what a set is worth there (SEMANTICS A5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tftctl.core.config.selection import SelectionConfig
from tftctl.core.errors import DataError
from tftctl.core.periods import DAY_MS
from tftctl.core.times import iso
from tftctl.select.folds import LEAST_TEST, LEAST_TRAIN, Cell, Unfit, some, thinned
from tftctl.select.rows import Pool, Rows
from tftctl.select.subsets import Gain, Task, block_edges, gain_over, make_task, score_set
from tftctl.select.work import cell_seed, shares


@dataclass(frozen=True, slots=True)
class NestedScores:
    """A set and the whole pool, trained on what is before the fold; `gain` is skill less pool_skill."""

    skill: float
    pool_skill: float
    gain: Gain


@dataclass(frozen=True, slots=True, eq=False)
class NestedRows:
    """Of one cell: rows that are fitted and tested, and when the last test label ends (ms UTC)."""

    cell: Cell
    train: Rows
    test: Rows
    last: int


def nested_start(pool: Pool, settings: SelectionConfig) -> int:
    """Where the newest `nested_ratio` of the training days with labels begins: one instant for all cells (ms UTC).

    Labels that end by it may rank the pool and guide the search. Raises DataError where nothing is before it.
    """
    instants = [
        pool.panel.available_at[pool.labelled(period, target)] for period in pool.periods for target in pool.kinds
    ]
    days = np.unique((np.concatenate(instants) - 1) // DAY_MS)
    nested = max(1, round(settings.optimize.nested_ratio * days.size))
    if days.size <= nested:
        raise DataError(
            f"the training rows have labels on {days.size} days: nothing is left before a nested fold",
            "import more bars",
        )
    return int(days[-nested]) * DAY_MS


def nested_rows(
    pool: Pool, cells: Sequence[Cell], first: int, settings: SelectionConfig
) -> tuple[list[NestedRows], list[Unfit]]:
    """Training labels end by the fold's first instant, test origins lie an embargo after it (S4).

    Cells with too few rows are left out by name. Raises DataError where none is left.
    """
    past = pool.before(first)
    options = settings.optimize
    made: list[NestedRows] = []
    unfit: list[Unfit] = []
    for cell in cells:
        rng = np.random.default_rng([*cell_seed(settings, cell), 3])
        train, test = past.labelled(cell.period, cell.target), pool.labelled(cell.period, cell.target)
        test = test[pool.panel.available_at[test] >= first + pool.embargo_ms]
        why = _why_unfit(pool, cell, train, test)
        if why is not None:
            unfit.append(Unfit(cell.target, cell.period, f"the nested fold from {iso(first)[:10]} on: {why}",
                               "raise nested_ratio, or leave it out (--periods, --targets)"))  # fmt: skip
            continue
        train, last = some(train, options.train_rows, rng), int(pool.ends(test, cell.target).max())
        made.append(NestedRows(cell, train, thinned(pool.panel.available_at, test, options.test_rows, rng), last))
    if not made:
        raise DataError(unfit[0].why, unfit[0].hint)
    return made, unfit


def _why_unfit(pool: Pool, cell: Cell, train: Rows, test: Rows) -> str | None:
    if train.size < LEAST_TRAIN or test.size < LEAST_TEST:
        return (f"{cell.target} at {cell.period} has {train.size} rows before it and {test.size} in it, and needs "
                f"{LEAST_TRAIN} and {LEAST_TEST}")  # fmt: skip
    for rows, where in ((train, "before it"), (test, "in it")):
        if np.ptp(pool.labels(rows, cell.target)) == 0:
            return f"the labels of {cell.target} at {cell.period} {where} are all alike"
    return None


def score_nested(
    pool: Pool,
    rows: Sequence[NestedRows],
    best: Sequence[str],
    features: Sequence[str],
    targets: Mapping[str, float],
    settings: SelectionConfig,
    jobs: int | None = None,
) -> NestedScores:
    """Fit and test the best set and the whole pool, once each; blocks of time are the same for all cells."""
    cells = [mine.cell for mine in rows]
    share = shares([cell.target for cell in cells], targets)
    begin = min(int(pool.panel.available_at[mine.test].min()) for mine in rows)
    edges = block_edges(begin, max(mine.last for mine in rows), cells)
    tasks: list[Task] = [
        make_task(pool, mine.cell, share[mine.cell.target], mine.train, mine.test, features, edges,
                  task_seed(settings, mine.cell, 0))
        for mine in rows
    ]  # fmt: skip
    mine, whole = (score_set(tasks, names, settings.trees, edges.size, jobs) for names in (best, features))
    return NestedScores(mine.skill, whole.skill, gain_over(tasks, mine.losses, whole.losses, settings.seed))


def task_seed(settings: SelectionConfig, cell: Cell, fold: int) -> int:
    """Of the trees of one fold of a cell: the same for every set."""
    return int(np.random.default_rng([*cell_seed(settings, cell), fold, 11]).integers(2**31))
