"""How good a set of features is: trees on it alone, scored on later or purged rows of every (target, period).

Losses are kept per block of time, and blocks are the same for all cells: what moves together is resampled together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.core.config.selection import Trees
from tftctl.core.records import Kind
from tftctl.select.fit import Values, constant_loss, fit_trees
from tftctl.select.folds import Cell
from tftctl.select.importance import scaled_labels, sums
from tftctl.select.rows import Pool, Rows
from tftctl.select.trees import tree_outputs
from tftctl.select.work import in_threads

Array = npt.NDArray[np.float64]
DRAWS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One fold of one cell in memory: values (rows, F) of the columns `names`, labels, and each test row's block."""

    cell: Cell
    kind: Kind
    weight: float
    names: tuple[str, ...]
    train: Values
    train_labels: Array
    test: Values
    test_labels: Array
    block: Rows
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Of one task, per block: `rows`, summed losses of the `constant` and of the `model`, each (B,); `gain` by name."""

    rows: Array
    constant: Array
    model: Array
    gain: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Of a set on all tasks: `skill` is the weighted mean of 1 - loss / loss of the best constant forecast.

    `losses` are in the order of the tasks; `gain` is the weighted mean share of the training loss that a feature saves.
    """

    features: tuple[str, ...]
    skill: float
    losses: tuple[Losses, ...]
    gain: Mapping[str, float]


def make_task(
    pool: Pool, cell: Cell, weight: float, train: Rows, test: Rows, names: Sequence[str], edges: Array, seed: int
) -> Task:
    """Gather the rows of a fold; `edges` are the instants at which blocks of time begin."""
    places = {name: place for place, name in enumerate(pool.panel.columns)}
    here = set(pool.periods[cell.period])
    mine = tuple(name for name in names if name in here)
    columns = [places[name] for name in mine]
    return Task(
        cell=cell,
        kind=pool.kinds[cell.target],
        weight=weight,
        names=mine,
        train=np.ascontiguousarray(pool.panel.features[train][:, columns]),
        train_labels=scaled_labels(pool, cell, train, train),
        test=np.ascontiguousarray(pool.panel.features[test][:, columns]),
        test_labels=scaled_labels(pool, cell, train, test),
        block=np.searchsorted(edges, pool.panel.available_at[test], side="right") - 1,
        seed=seed,
    )


def block_edges(first: int, last: int, cells: Sequence[Cell], blocks: int = 40) -> Array:
    """Where blocks begin: equal ones, at least twice the longest label span of all cells (M6)."""
    width = max((2 * cell.span_ms for cell in cells), default=1)
    number = int(np.clip((last - first) // max(width, 1), 1, blocks))
    return np.linspace(first, last, number + 1)[:-1]


def score_set(
    tasks: Sequence[Task], features: Sequence[str], trees: Trees, blocks: int, jobs: int | None = None
) -> Score:
    """Fit and score a set on every task, several at once; the same whatever `jobs` is."""
    wanted = set(features)
    found = dict(in_threads(lambda place: _losses(tasks[place], wanted, trees, blocks), range(len(tasks)), jobs))
    losses = tuple(found[place] for place in range(len(tasks)))
    return Score(tuple(features), skill_of(tasks, losses), losses, _gains(tasks, losses))


def skill_of(tasks: Sequence[Task], losses: Sequence[Losses]) -> float:
    """Weighted mean over cells; the folds of a cell are one."""
    return float(weighted(tasks, [1 - _ratio(tasks, losses, cell) for cell in cells_in(tasks)]))


def cells_in(tasks: Sequence[Task]) -> list[Cell]:
    """The cells of tasks, each once."""
    return list(dict.fromkeys(task.cell for task in tasks))


def weighted(tasks: Sequence[Task], values: Sequence[Array | float]) -> Array:
    """Mean of one value per cell (in the order of `cells_in`), by the weights of their targets."""
    weight = {task.cell: task.weight for task in tasks}
    shares = np.array([weight[cell] for cell in cells_in(tasks)])
    return np.tensordot(shares / shares.sum(), np.array(values), axes=1)


def per_block(tasks: Sequence[Task], losses: Sequence[Losses], cell: Cell) -> tuple[Array, Array, Array]:
    """Rows, constant and model losses (B,) of a cell, its folds one after the other."""
    mine = [found for task, found in zip(tasks, losses, strict=True) if task.cell == cell]
    return (
        np.concatenate([found.rows for found in mine]),
        np.concatenate([found.constant for found in mine]),
        np.concatenate([found.model for found in mine]),
    )


def _ratio(tasks: Sequence[Task], losses: Sequence[Losses], cell: Cell) -> float:
    _, constant, model = per_block(tasks, losses, cell)
    return float(model.sum() / constant.sum())


def _losses(task: Task, wanted: set[str], trees: Trees, blocks: int) -> Losses:
    kept = [place for place, name in enumerate(task.names) if name in wanted]
    constant = constant_loss(task.kind, task.train_labels, task.test_labels)
    rows, base = (sums(task.block, blocks, values) for values in (np.ones(constant.size), constant))
    if not kept:
        return Losses(rows, base, base, {})  # nothing to go by at this period: the constant forecast
    fitted = fit_trees(np.ascontiguousarray(task.train[:, kept]), task.train_labels, task.kind, trees, task.seed)
    forecast = tree_outputs(fitted.nodes, np.ascontiguousarray(task.test[:, kept].T)).sum(0)
    model = sums(task.block, blocks, fitted.loss(forecast, task.test_labels))
    gain = {task.names[place]: float(share) for place, share in zip(kept, fitted.gain, strict=True)}
    return Losses(rows, base, model, gain)


def _gains(tasks: Sequence[Task], losses: Sequence[Losses]) -> dict[str, float]:
    total: dict[str, float] = {}
    for task, found in zip(tasks, losses, strict=True):
        for name, share in found.gain.items():
            total[name] = total.get(name, 0.0) + task.weight * share
    return total


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much the skill of one set exceeds another's: bootstrap over blocks of time, 95 % interval."""

    value: float
    se: float
    low: float
    high: float


def gain_over(tasks: Sequence[Task], better: Sequence[Losses], other: Sequence[Losses], seed: int) -> Gain:
    """Skill of `better` less skill of `other` on the same tasks; blocks are resampled for all cells together.

    Every cell has the same number of blocks (folds times blocks), empty ones included.
    """
    cells = cells_in(tasks)
    parts = [(per_block(tasks, better, cell), per_block(tasks, other, cell)) for cell in cells]
    size = parts[0][0][0].size
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(size, np.full(size, 1 / size), DRAWS).astype(np.float64)
    point, drawn = [], []
    for (_, constant, mine), (_, _, theirs) in parts:
        point.append(float((theirs - mine).sum() / constant.sum()))
        base = counts @ constant
        drawn.append(np.divide(counts @ (theirs - mine), base, out=np.zeros(DRAWS), where=base > 0))
    draws = weighted(tasks, drawn)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Gain(float(weighted(tasks, point)), float(draws.std()), float(low), float(high))
