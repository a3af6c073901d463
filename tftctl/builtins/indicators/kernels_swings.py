"""Compiled loops over swing highs and lows. Imported only when an indicator of `levels` runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float64]


@njit(cache=True)
def nearest_above(high: Array, close: Array, left: int, right: int, bars: int) -> Array:
    """The lowest swing high above each close; shape (bars,), NaN before `bars` bars are there.

    A swing high is higher than the `left` bars before it and no lower than the `right` bars after it. Of the last
    `bars` bars those count that are confirmed: all bars that make them one are among these. Where none lies above
    the close, the highest high of these bars.
    """
    size = close.size
    level = np.full(size, np.nan)
    swings = np.empty(size, np.int64)
    count = 0
    for t in range(size):
        if t >= left + right and _is_peak(high, t - right, left, right):
            swings[count] = t - right
            count += 1
        if t < bars - 1:
            continue
        nearest, number = np.inf, count - 1
        while number >= 0 and swings[number] - left > t - bars:
            swing = high[swings[number]]
            if close[t] < swing < nearest:
                nearest = swing
            number -= 1
        level[t] = nearest if nearest < np.inf else high[t - bars + 1 : t + 1].max()
    return level


@njit(cache=True)
def _is_peak(high: Array, i: int, left: int, right: int) -> bool:
    return high[i - left : i].max() < high[i] >= high[i + 1 : i + right + 1].max()


@njit(cache=True)
def mean_before(values: Array, bars: int) -> Array:
    """Mean of the `bars` values before each, summed anew every time: nothing older leaves a rounding error."""
    mean = np.full(values.size, np.nan)
    for t in range(bars, values.size):
        total = 0.0
        for step in range(bars, 0, -1):
            total += values[t - step]
        mean[t] = total / bars
    return mean
