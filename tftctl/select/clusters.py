"""Features that say much the same, by their rank correlation on training rows of one period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tftctl.features.correlation import linked, rank_correlation
from tftctl.select.rows import Pool

Array = npt.NDArray[np.float64]
SAMPLE_ROWS = 10_000


def correlations(pool: Pool, period: str, seed: Sequence[int]) -> Array:
    """|Spearman| (F, F) of a period's columns on a sample of its training rows; 0 where nothing can be said."""
    rows = np.flatnonzero(pool.of(period) & (pool.panel.available_at <= pool.until) & ~pool.panel.is_filled)
    if rows.size > SAMPLE_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE_ROWS, replace=False, shuffle=False))
    values = pool.panel.features[rows][:, pool.columns(period)].astype(np.float64)
    strength = np.nan_to_num(np.abs(rank_correlation(values)))
    np.fill_diagonal(strength, 1.0)
    return strength


def clusters(strength: Array, limit: float) -> list[list[int]]:
    """Two or more columns of which all pairs correlate above the limit (complete linkage)."""
    return linked(strength, limit, "complete")
