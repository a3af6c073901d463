"""Loops over windows of instants, every window summed on its own: nothing is left of what has gone out of it."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def rolling_beta(returns: np.ndarray, market: np.ndarray, window: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Beta and correlation to `market` (instants,) of each column of `returns` (instants, symbols) over the window.

    Instants without both are left out; NaN where fewer than `least` are left, or either does not move.
    """
    beta = np.full(returns.shape, np.nan)
    correlation = np.full(returns.shape, np.nan)
    for s in range(returns.shape[1]):
        for t in range(window - 1, returns.shape[0]):
            count, mean_r, mean_m = 0, 0.0, 0.0
            for k in range(t - window + 1, t + 1):
                if np.isfinite(returns[k, s]) and np.isfinite(market[k]):
                    count += 1
                    mean_r += returns[k, s]
                    mean_m += market[k]
            if count < least or not np.isfinite(returns[t, s]):
                continue
            mean_r /= count
            mean_m /= count
            both, own, other = 0.0, 0.0, 0.0
            for k in range(t - window + 1, t + 1):
                if np.isfinite(returns[k, s]) and np.isfinite(market[k]):
                    both += (returns[k, s] - mean_r) * (market[k] - mean_m)
                    own += (returns[k, s] - mean_r) ** 2
                    other += (market[k] - mean_m) ** 2
            if other > 0:
                beta[t, s] = both / other
                if own > 0:
                    correlation[t, s] = both / np.sqrt(own * other)
    return beta, correlation


@njit(cache=True)
def rolling_excess(returns: np.ndarray, reference: np.ndarray, window: int, least: int) -> np.ndarray:
    """Sum over the window of `returns` (instants, symbols) less `reference` (instants,); NaN as in `rolling_beta`."""
    excess = np.full(returns.shape, np.nan)
    for s in range(returns.shape[1]):
        for t in range(window - 1, returns.shape[0]):
            count, total = 0, 0.0
            for k in range(t - window + 1, t + 1):
                if np.isfinite(returns[k, s]) and np.isfinite(reference[k]):
                    count += 1
                    total += returns[k, s] - reference[k]
            if count >= least and np.isfinite(returns[t, s]):
                excess[t, s] = total
    return excess
