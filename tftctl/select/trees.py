"""Fitted trees as plain arrays, and what they forecast when some columns take other rows' values.

A feature is split on in few trees: only those are walked again when it is permuted.
Importing this module imports numba.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
LEAF = -1
# where a missing value goes: to the side of 0, left, right
AS_ZERO, LEFT, RIGHT = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """Nodes of all trees, one tree after the other; `roots` (T,) are their first.

    feature: column or -1 for a leaf; left where value <= threshold; missing: one of the three above; value of a leaf.
    The forecast is `scale` times the sum over trees.
    """

    feature: npt.NDArray[np.int32]
    threshold: Array
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    missing: npt.NDArray[np.int8]
    value: Array
    roots: npt.NDArray[np.int32]
    scale: float = 1.0

    def users(self, columns: int) -> list[Numbers]:
        """Per column the trees that split on it."""
        tree = np.repeat(np.arange(self.roots.size), np.diff(np.append(self.roots, self.feature.size)))
        inner = self.feature != LEAF
        pairs = np.unique(np.stack([self.feature[inner].astype(np.int64), tree[inner]]), axis=1)
        ends = np.searchsorted(pairs[0], np.arange(columns + 1))
        return [pairs[1, start:stop] for start, stop in pairwise(ends)]


def tree_outputs(nodes: Nodes, values: npt.NDArray[np.float32]) -> Array:
    """(T, rows): what each tree gives for values (columns, rows): a tree reads few columns, one row after the other."""
    out = np.empty((nodes.roots.size, values.shape[1]))
    _outputs(nodes.feature, nodes.threshold, nodes.left, nodes.right, nodes.missing, nodes.value, nodes.roots, values,
             out)  # fmt: skip
    return out * nodes.scale


def moved_change(
    nodes: Nodes,
    outputs: Array,
    trees: Numbers,
    values: npt.NDArray[np.float32],
    source: Numbers,
    moved: npt.NDArray[np.bool_],
) -> Array:
    """(rows,): by how much the forecast changes when the moved columns take the values of rows `source`.

    `values` (columns, rows); `trees` are those that split on them, `outputs` what `tree_outputs` gave.
    """
    change = np.zeros(values.shape[1])
    _change(nodes.feature, nodes.threshold, nodes.left, nodes.right, nodes.missing, nodes.value, nodes.roots[trees],
            values, source, moved, change)  # fmt: skip
    return change * nodes.scale - outputs[trees].sum(0)


@njit(cache=True, nogil=True)
def _goes_left(value: float, threshold: float, missing: int) -> bool:
    if np.isnan(value):
        return missing == 1 or (missing == 0 and threshold >= 0.0)
    return value <= threshold


@njit(cache=True, nogil=True)
def _outputs(feature, threshold, left, right, missing, value, roots, values, out):  # type: ignore[no-untyped-def]
    for tree in range(roots.size):
        for row in range(values.shape[1]):
            node = roots[tree]
            while feature[node] != -1:
                x = values[feature[node], row]
                node = left[node] if _goes_left(x, threshold[node], missing[node]) else right[node]
            out[tree, row] = value[node]


@njit(cache=True, nogil=True)
def _change(  # type: ignore[no-untyped-def]
    feature, threshold, left, right, missing, value, roots, values, source, moved, out
):
    for tree in range(roots.size):
        for row in range(values.shape[1]):
            node = roots[tree]
            while feature[node] != -1:
                column = feature[node]
                x = values[column, source[row]] if moved[column] else values[column, row]
                node = left[node] if _goes_left(x, threshold[node], missing[node]) else right[node]
            out[row] += value[node]
