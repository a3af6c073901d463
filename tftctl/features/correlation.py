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
    moments = PairMoments(sample.shape[1])
    ranks = np.column_stack([_ranks(column) for column in sample.T]) if sample.shape[1] else sample
    for first in range(0, len(ranks), _CHUNK):
        moments.add(ranks[first : first + _CHUNK])
    return moments.correlation()


class PairMoments:
    """Sums over the rows that two columns share, for all pairs, a few rows at a time."""

    def __init__(self, columns: int) -> None:
        self.common, self.sums, self.squares, self.products = (np.zeros((columns, columns)) for _ in range(4))

    def add(self, rows: Array) -> None:
        """Take in (rows, columns), NaN where missing, of values about 0: far from it their sums would cancel out."""
        known = (~np.isnan(rows)).astype(np.float64)
        values = np.nan_to_num(rows, nan=0.0)
        self.common += known.T @ known
        self.sums += values.T @ known
        self.squares += (values * values).T @ known
        self.products += values.T @ values

    def correlation(self) -> Array:
        """Pearson's; NaN where fewer than 100 rows are common or a column does not vary on them."""
        with np.errstate(invalid="ignore", divide="ignore"):
            covariance = self.products - self.sums * self.sums.T / self.common
            variance = self.squares - self.sums * self.sums / self.common
            found = covariance / np.sqrt(variance * variance.T)
        # what rounding leaves of no variation at all
        still = variance <= 1e-9 * np.maximum(self.squares, 1e-300)
        found[(self.common < LEAST_COMMON) | still | still.T] = np.nan
        return found


def clusters(correlation: Array, threshold: float) -> list[list[int]]:
    """Columns joined by chains of |correlation| >= threshold (single linkage), two or more; the largest first."""
    from scipy.sparse.csgraph import connected_components

    with np.errstate(invalid="ignore"):
        joined = np.abs(correlation) >= threshold
    _, labels = connected_components(joined, directed=False)
    members = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return sorted((found for found in members if len(found) > 1), key=lambda found: (-len(found), found[0]))


def linked(strength: Array, limit: float, linkage: str) -> list[list[int]]:
    """Clusters of two or more columns of strength (C, C) whose distance 1 - strength lies below 1 - limit.

    `complete` linkage: all pairs of a cluster; `average`: its pairs on average.
    """
    from scipy.cluster.hierarchy import fcluster
    from scipy.cluster.hierarchy import linkage as link
    from scipy.spatial.distance import squareform

    if len(strength) < 2:
        return []
    distance = np.clip(1 - strength, 0, None)
    np.fill_diagonal(distance, 0)
    tree = link(squareform(distance, checks=False), linkage)
    labels = fcluster(tree, np.nextafter(1 - limit, 0), criterion="distance")
    members = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return [found for found in members if len(found) > 1]


def _ranks(values: Array) -> Array:
    """Mean ranks, centred and between -1 and 1, NaN where missing."""
    ranks = pl.Series(values).fill_nan(None).rank("average")
    known = ranks.len() - ranks.null_count()
    return ((ranks - (known + 1) / 2) / max(known, 1)).fill_null(float("nan")).to_numpy()
