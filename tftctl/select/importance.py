"""By how much the loss on test rows grows when a feature takes its values at other times.

One fold after the other: trees are fitted on its training rows, on the features and as many null probes, and asked on
its test rows. Losses are summed per block of time, so that intervals can be bootstrapped over blocks (SEMANTICS M6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.core.config.selection import SelectionConfig
from tftctl.select.fit import Fitted, Values, constant_loss, fit_trees
from tftctl.select.folds import Cell, TestFold, block_width
from tftctl.select.rows import Pool, Rows
from tftctl.select.shifts import make_grid, permuted_blocks
from tftctl.select.trees import moved_change, tree_outputs

Array = npt.NDArray[np.float64]
# standardised labels of a regression are cut off here: squares of a few crashes would be all that counts
LABEL_CLIP = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class FoldLosses:
    """Per block of time of a fold's test rows: `rows` (B,), summed losses `constant` and `model` (B,), and `increase`
    (U, B) of every unit. `gain` (columns,) of the fit."""

    rows: Array
    constant: Array
    model: Array
    increase: Array
    gain: Array


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What is fitted and permuted: `columns` of the pool; column F + i is a probe, `probes[i]` of them shifted.

    `units` are the columns, by their number among those, that are permuted together; `source` gives, for each
    of `rows`, the place among them from which its probes come, -1 for none.
    """

    columns: Rows
    probes: Rows
    units: tuple[Rows, ...]
    rows: Rows
    source: Rows


def scaled_labels(pool: Pool, cell: Cell, trained: Rows, rows: Rows) -> Array:
    """Labels of `rows`: a regression's standardised per symbol by the training labels and cut off at +-5."""
    labels = pool.labels(rows, cell.target)
    if pool.kinds[cell.target] == "binary":
        return labels
    known, group, trained_group = pool.labels(trained, cell.target), pool.panel.group[rows], pool.panel.group[trained]
    overall = known.mean(), known.std()
    for number in np.unique(group):
        mine = known[trained_group == number]
        centre, scale = (mine.mean(), mine.std()) if mine.size >= 30 and np.ptp(mine) > 0 else overall
        here = group == number
        labels[here] = (labels[here] - centre) / scale
    return np.clip(labels, -LABEL_CLIP, LABEL_CLIP)


def read_values(pool: Pool, design: Design, rows: Rows) -> Values:
    """(rows, F + P) of the features and of the probes, in row-major order."""
    features = pool.panel.features
    own = features[rows][:, design.columns]
    if not design.probes.size:
        return np.ascontiguousarray(own)
    source = design.source[np.searchsorted(design.rows, rows)]
    probes = features[design.rows[source]][:, design.columns[design.probes]]
    probes[source < 0] = np.nan
    return np.concatenate([own, probes], axis=1)


def measure_fold(
    pool: Pool, cell: Cell, fold: TestFold, design: Design, settings: SelectionConfig, seed: Sequence[int]
) -> FoldLosses:
    """Fit, then permute every unit in turn."""
    kind = pool.kinds[cell.target]
    rng = np.random.default_rng([*seed, fold.number])
    trained = scaled_labels(pool, cell, fold.train, fold.train)
    fitted = fit_trees(read_values(pool, design, fold.train), trained, kind, settings.trees, int(rng.integers(2**31)))
    label = scaled_labels(pool, cell, fold.train, fold.test)
    values = np.ascontiguousarray(read_values(pool, design, fold.test).T)
    instants = pool.panel.available_at[fold.test]
    width = block_width(instants, cell.span_ms)
    block, blocks = _blocks(instants, width)
    grid = make_grid(instants, pool.panel.group[fold.test].astype(np.int64))
    outputs = tree_outputs(fitted.nodes, values)
    forecast = outputs.sum(0)
    model = fitted.loss(forecast, label)
    sources = [permuted_blocks(grid, width, rng) for _ in range(settings.repeats)]
    return FoldLosses(
        rows=sums(block, blocks, np.ones(block.size)),
        constant=sums(block, blocks, constant_loss(kind, trained, label)),
        model=sums(block, blocks, model),
        increase=_increases(fitted, outputs, forecast, model, label, values, sources, design, (block, blocks)),
        gain=fitted.gain,
    )


def _increases(
    fitted: Fitted,
    outputs: Array,
    forecast: Array,
    model: Array,
    label: Array,
    values: Values,
    sources: Sequence[Rows],
    design: Design,
    blocks: tuple[Rows, int],
) -> Array:
    """(U, B) summed over the rows of a block, the mean over repeats."""
    users = fitted.nodes.users(len(values))
    found = np.zeros((len(design.units), blocks[1]))
    for number, unit in enumerate(design.units):
        trees = np.unique(np.concatenate([users[column] for column in unit]))
        if not trees.size:
            continue
        moved = np.zeros(len(values), bool)
        moved[unit] = True
        for source in sources:
            change = moved_change(fitted.nodes, outputs, trees, values, source, moved)
            found[number] += sums(*blocks, fitted.loss(forecast + change, label) - model)
    return found / len(sources)


def _blocks(instants: Rows, width: int) -> tuple[Rows, int]:
    """Block of each row, and how many there are."""
    _, block = np.unique((instants - instants.min()) // width, return_inverse=True)
    return block, int(block.max()) + 1


def sums(block: Rows, blocks: int, values: Array) -> Array:
    """Sum of values (rows,) in each block: (B,)."""
    return np.bincount(block, values, blocks).astype(np.float64)
