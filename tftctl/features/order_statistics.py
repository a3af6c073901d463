"""Rolling median and median absolute deviation, exact, by a sorted window."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def rolling_median_mad(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Median and median absolute deviation from it of the last `window` values: two float64 arrays of shape (n,).

    `values` float64 (n,) without NaN. NaN before the window is full. O(window) per value: the window is kept sorted,
    and the deviations of a sorted window are met in order by walking outwards from the median.
    """
    n = values.size
    median, mad = np.full(n, np.nan), np.full(n, np.nan)
    ordered = np.empty(window)
    for t in range(n):
        size = min(t, window)
        if t >= window:
            place = np.searchsorted(ordered, values[t - window])
            ordered[place : window - 1] = ordered[place + 1 : window]
            size = window - 1
        place = np.searchsorted(ordered[:size], values[t])
        for k in range(size, place, -1):
            ordered[k] = ordered[k - 1]
        ordered[place] = values[t]
        if t >= window - 1:
            median[t] = 0.5 * (ordered[(window - 1) // 2] + ordered[window // 2])
            mad[t] = _median_deviation(ordered, median[t])
    return median, mad


@njit(cache=True)
def _median_deviation(ordered: np.ndarray, centre: float) -> float:
    size = ordered.size
    right = np.searchsorted(ordered, centre)
    left = right - 1
    middle, before = 0.0, 0.0
    for _ in range(size // 2 + 1):
        before = middle
        if right == size or (left >= 0 and centre - ordered[left] <= ordered[right] - centre):
            middle = centre - ordered[left]
            left -= 1
        else:
            middle = ordered[right] - centre
            right += 1
    return middle if size % 2 else 0.5 * (before + middle)
