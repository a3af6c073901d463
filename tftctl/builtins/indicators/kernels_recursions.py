"""Changes of bars and recursions over them, compiled: directional movement, stochastics, on-balance volume, returns.

Plain passes that compile to vectors, then recursions without branches that depend on prices: a processor guesses
those wrong on every other bar. All functions take contiguous float64 arrays of shape (bars,) and return such
arrays. Importing this module imports numba: do it inside the function that calls.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float64]

# TA-Lib's: movement and ranges below it are none
NO_RANGE = 1e-14
# relative moves up to which 6 terms of the series of the logarithm reach the last digit
SMALL_MOVE = 0.03


@njit(cache=True, error_model="numpy")
def directional_movement(high: Array, low: Array, close: Array, period: int) -> tuple[Array, Array, Array]:
    """ADX, +DI and -DI by Wilder's sums as TA-Lib seeds them; NaN before bar 2 period - 1, and bar period for DI."""
    adx, plus, minus, total = np.full(high.size, np.nan), np.zeros(high.size), np.zeros(high.size), np.zeros(high.size)
    _movements(high[1:], low[1:], high[:-1], low[:-1], close[:-1], plus[1:], minus[1:], total[1:])
    for sums in (plus, minus, total):
        sums[:period] = np.cumsum(sums[:period])
    _decaying_sums(plus, minus, total, period, 1 - 1 / period)
    for t in range(high.size):
        scale = 100.0 / total[t] if total[t] > NO_RANGE else 0.0
        plus[t] *= scale
        minus[t] *= scale
        both = plus[t] + minus[t]
        # what the mean takes in; NaN lets it stand
        total[t] = 100.0 * abs(plus[t] - minus[t]) / both if both > NO_RANGE else np.nan
    plus[:period], minus[:period] = np.nan, np.nan
    if high.size >= 2 * period:
        adx[2 * period - 1] = np.nansum(total[period : 2 * period]) / period
        _mean_of_known(total, adx, 2 * period, 1 / period)
    return adx, plus, minus


@njit(cache=True, error_model="numpy")
def _movements(
    high: Array, low: Array, high_before: Array, low_before: Array, close_before: Array,
    plus: Array, minus: Array, ranges: Array,
) -> None:  # fmt: skip
    """Upward and downward movement and true range of each bar. Without branches: compiled to vectors."""
    for t in range(high.size):
        up, down, before = high[t] - high_before[t], low_before[t] - low[t], close_before[t]
        ranges[t] = max(high[t] - low[t], max(abs(high[t] - before), abs(low[t] - before)))
        plus[t] = up if up > max(down, 0.0) else 0.0
        minus[t] = down if down > max(up, 0.0) else 0.0


@njit(cache=True, error_model="numpy")
def _decaying_sums(a: Array, b: Array, c: Array, start: int, keep: float) -> None:
    """sum[t] = keep sum[t-1] + x[t] in place, from bar `start` on, of three arrays at once."""
    if 0 < start < a.size:
        x, y, z = a[start - 1], b[start - 1], c[start - 1]
        for t in range(start, a.size):
            x, y, z = x * keep + a[t], y * keep + b[t], z * keep + c[t]
            a[t], b[t], c[t] = x, y, z


@njit(cache=True, error_model="numpy")
def _mean_of_known(values: Array, made: Array, start: int, share: float) -> None:
    """Wilder's mean from bar `start` on; a NaN lets it stand."""
    mean = made[start - 1]
    for t in range(start, values.size):
        new = values[t]
        mean = mean * (1 - share) + new * share if new == new else mean
        made[t] = mean


@njit(cache=True, error_model="numpy")
def smoothed_stochastic(
    close: Array, lowest: Array, highest: Array, first: int, k_length: int, d_length: int
) -> tuple[Array, Array]:
    """K and D: Wilder's mean of the raw stochastic (0 for 0/0), known from bar `first` on, and that of K.

    Wilder's mean of n begins with the plain mean of the first n. As in TA-Lib, K is shown from where D begins.
    """
    k_line, d_line = np.full(close.size, np.nan), np.full(close.size, np.nan)
    raw = np.empty(close.size)
    for t in range(close.size):
        extent = highest[t] - lowest[t]
        share = 100.0 * (close[t] - lowest[t]) / extent
        raw[t] = share if extent != 0.0 else 0.0
    k_first, d_first = first + k_length - 1, first + k_length + d_length - 2
    if d_first < close.size:
        k = np.sum(raw[first : k_first + 1]) / k_length
        k_line[k_first] = k
        for t in range(k_first + 1, d_first + 1):
            k = k * (1 - 1 / k_length) + raw[t] / k_length
            k_line[t] = k
        d = np.sum(k_line[k_first : d_first + 1]) / d_length
        d_line[d_first] = d
        _two_means(raw, k_line, d_line, d_first + 1, 1 / k_length, 1 / d_length)
    k_line[:d_first] = np.nan
    return k_line, d_line


@njit(cache=True, error_model="numpy")
def _two_means(raw: Array, k_line: Array, d_line: Array, start: int, k_share: float, d_share: float) -> None:
    """Wilder's mean from bar `start` on, and that of it: two recursions in the time of one."""
    k, d, k_keep, d_keep = k_line[start - 1], d_line[start - 1], 1 - k_share, 1 - d_share
    for t in range(start, raw.size):
        k = k * k_keep + raw[t] * k_share
        d = d * d_keep + k * d_share
        k_line[t], d_line[t] = k, d


@njit(cache=True, error_model="numpy")
def signed_volume_sum(close: Array, volume: Array) -> Array:
    """Running sum of volume with the sign of the close's change; begins with the first volume."""
    made = np.empty(close.size)
    total = 0.0
    for t in range(close.size):
        change = close[t] - close[t - 1] if t else 1.0
        total += volume[t] if change > 0.0 else (-volume[t] if change < 0.0 else 0.0)
        made[t] = total
    return made


@njit(cache=True, error_model="numpy")
def log_changes(close: Array) -> Array:
    """ln(close[t] / close[t-1]) to the last digit or two, NaN at the first bar.

    2 artanh(s) with s = (b - a) / (b + a): the difference of two prices is exact. The series for small s takes a
    fifth of the time of a logarithm.
    """
    made = np.full(close.size, np.nan)
    now, before, out = close[1:], close[:-1], made[1:]
    large = 0
    for t in range(out.size):
        s = (now[t] - before[t]) / (now[t] + before[t])
        q = s * s
        series = q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q / 13)))))
        out[t] = 2.0 * (s + s * series)
        large += not abs(s) <= SMALL_MOVE
    if large:
        for t in range(out.size):
            if not abs(now[t] - before[t]) <= SMALL_MOVE * (now[t] + before[t]):
                out[t] = math.log1p((now[t] - before[t]) / before[t])
    return made
