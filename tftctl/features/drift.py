"""How much a distribution has moved."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

BINS = 10
LEAST_SHARE = 1e-4
LEAST_VALUES = 100


def population_stability(before: Array, after: Array) -> float | None:
    """Population stability index of two samples: sum over bins of (q - p) ln(q / p).

    p and q are the shares of `before` and `after` in the bins between the deciles of `before` (a value on an edge
    belongs to the bin below; with at most ten different values each is a bin), floored at 1e-4. Conventions of credit
    scoring: under 0.1 stable, over 0.25 shifted. NaN is left out; None where a sample has fewer than 100 values.
    """
    before, after = before[~np.isnan(before)], after[~np.isnan(after)]
    if min(before.size, after.size) < LEAST_VALUES:
        return None
    edges = bin_edges(before)
    p, q = (_shares(values, edges) for values in (before, after))
    return float(np.sum((q - p) * np.log(q / p)))


def bin_edges(values: Array) -> Array:
    """Upper edges of all bins but the last."""
    different = np.unique(values)
    if different.size <= BINS:
        return different
    return np.unique(np.quantile(values, np.arange(1, BINS) / BINS))


def _shares(values: Array, edges: Array) -> Array:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=edges.size + 1)
    return np.maximum(counts / values.size, LEAST_SHARE)
