"""Rolling median and median absolute deviation, exact, by a sorted window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from tftctl.core.rolling import sorted_window

Array = npt.NDArray[np.float64]


@njit(cache=True)
def rolling_median_mad(values: Array, window: int) -> tuple[Array, Array]:
    """Median of the last `window` values, and their median absolute deviation from it (not scaled), both (n,).

    Input (n,) without NaN; NaN before the window is full. The window is kept sorted: O(window) per value, and the
    deviation is found by bisection.
    """
    median, deviation = np.full(values.size, np.nan), np.full(values.size, np.nan)
    low, high = (window - 1) // 2, window // 2
    ordered = np.empty(0)
    for t in range(window - 1, values.size):
        ordered = sorted_window(ordered, values, window, t)
        centre = _middle(ordered[low], ordered[high])
        median[t] = centre
        deviation[t] = _middle(_nearest(ordered, centre, low + 1), _nearest(ordered, centre, high + 1))
    return median, deviation


@njit(cache=True)
def _middle(low: float, high: float) -> float:
    return low if low == high else 0.5 * (low + high)


@njit(cache=True)
def _nearest(ordered: Array, centre: float, rank: int) -> float:
    """The rank-th smallest distance to `centre` in an ascending array; bisection over runs of `rank` values."""
    first, last = 0, ordered.size - rank
    while first < last:
        i = (first + last) // 2
        if centre - ordered[i] > ordered[i + rank - 1] - centre:
            first = i + 1
        else:
            last = i
    best = max(centre - ordered[first], ordered[first + rank - 1] - centre)
    if first > 0:
        best = min(best, max(centre - ordered[first - 1], ordered[first + rank - 2] - centre))
    return best
