"""Block bootstrap of mean losses, and the distribution of the greatest of many that mean nothing.

The largest studentised mean of probes, each centred on its own, over resampled blocks of time is the null distribution
of White (2000) and of Romano and Wolf (2005): its quantile bounds the chance that any of them is passed by luck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DRAWS = 10_000
_CHUNK = 500
INTERVAL = 0.95
LARGEST_Z = 37.0  # beyond it a tail of the normal distribution is 0 in float64


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Of U units: mean (U,), its standard error, and the ends of its 95 % interval, all over `blocks` resampled.

    `draws` (D, U) are the resampled means.
    """

    mean: Array
    se: Array
    low: Array
    high: Array
    draws: Array
    blocks: int

    @property
    def z(self) -> Array:
        """mean / se as a normal number, 0 where nothing varies: of few blocks it is t-distributed (blocks - 1)."""
        from scipy.stats import norm, t

        ratio = np.divide(self.mean, self.se, out=np.zeros_like(self.mean), where=self.se > 0)
        if self.blocks < 2:
            return np.zeros_like(ratio)
        tail = norm.isf(t.sf(np.abs(ratio), self.blocks - 1))
        return np.sign(ratio) * np.minimum(tail, LARGEST_Z)


def block_means(sums: Array, rows: Array, seed: int, draws: int = DRAWS) -> Means:
    """Means per row of sums (U, B) over blocks of `rows` (B,) rows, and what resampling the blocks makes of them."""
    rng = np.random.default_rng(seed)
    mean = sums.sum(1) / rows.sum()
    drawn = np.empty((draws, len(sums)))
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        counts = rng.multinomial(rows.size, np.full(rows.size, 1 / rows.size), size).astype(np.float64)
        drawn[start : start + size] = (counts @ sums.T) / (counts @ rows)[:, None]
    tail = (1 - INTERVAL) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail), axis=0)
    there = int((rows > 0).sum())
    wider = np.sqrt(there / max(there - 1, 1))  # resampling takes the blocks' own mean for the true one
    return Means(mean, drawn.std(0) * wider, low, high, drawn, there)


def greatest(means: Means) -> Array:
    """(D,): in each draw the largest studentised deviation of any unit from its own mean; 0 where none varies."""
    varying = means.se > 0
    if not varying.any():
        return np.zeros(len(means.draws))
    return ((means.draws[:, varying] - means.mean[varying]) / means.se[varying]).max(1)


def adjusted_p(z: Array, largest: Array) -> Array:
    """Chance that the largest of the null units is at least z: a p-value for all units together."""
    ranked = np.sort(largest)
    above = ranked.size - np.searchsorted(ranked, z, side="left")
    return (above + 1) / (ranked.size + 1)
