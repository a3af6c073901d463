"""Which columns say the same."""

from __future__ import annotations

import numpy as np
import polars as pl

Array = np.ndarray

LEAST_COMMON = 100
_CHUNK = 8192


def rank_correlation(sample: Array) -> Array:
    """Spearman's correlation of all columns of (rows, columns), NaN where missing: (columns, columns).

    Ties have their mean rank. Each column is ranked among its own values, and two are compared on the rows that both
    have; NaN where these are fewer than 100 or a column does not vary there.
    """
    size = sample.shape[1]
    ranks = np.column_stack([_ranks(sample[:, column]) for column in range(size)]) if size else sample
    common, sums, squares, products = (np.zeros((size, size)) for _ in range(4))
    for first in range(0, len(ranks), _CHUNK):
        part = ranks[first : first + _CHUNK]
        known = (~np.isnan(part)).astype(np.float64)
        part = np.nan_to_num(part, nan=0.0)
        common += known.T @ known
        sums += part.T @ known
        squares += (part * part).T @ known
        products += part.T @ part
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = products - sums * sums.T / common
        variance = squares - sums * sums / common
        found = covariance / np.sqrt(variance * variance.T)
    # what rounding leaves of no variation at all
    still = variance <= 1e-9 * np.maximum(squares, 1e-300)
    found[(common < LEAST_COMMON) | still | still.T] = np.nan
    return found


def clusters(correlation: Array, threshold: float) -> list[list[int]]:
    """Columns joined by chains of |correlation| >= threshold (single linkage), two or more; the largest first."""
    from scipy.sparse.csgraph import connected_components

    with np.errstate(invalid="ignore"):
        joined = np.abs(correlation) >= threshold
    _, labels = connected_components(joined, directed=False)
    members = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return sorted((found for found in members if len(found) > 1), key=lambda found: (-len(found), found[0]))


def _ranks(values: Array) -> Array:
    """Mean ranks, centred and between -1 and 1, NaN where missing."""
    ranks = pl.Series(values).fill_nan(None).rank("average")
    known = ranks.len() - ranks.null_count()
    return ((ranks - (known + 1) / 2) / max(known, 1)).fill_null(float("nan")).to_numpy()
