"""How far validation has moved from training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tftctl.features.drift import LEAST_VALUES

Array = npt.NDArray[np.float64]


def kolmogorov_smirnov(before: Array, after: Array) -> float | None:
    """Two-sample statistic: the largest distance of the two empirical distribution functions (Smirnov 1939).

    NaN is left out; None where a sample has fewer than 100 values.
    """
    before, after = np.sort(before[~np.isnan(before)]), np.sort(after[~np.isnan(after)])
    if min(before.size, after.size) < LEAST_VALUES:
        return None
    every = np.sort(np.concatenate([before, after]))  # sorted, they are found fast
    first, second = (np.searchsorted(part, every, side="right") / part.size for part in (before, after))
    return float(np.abs(first - second).max())
