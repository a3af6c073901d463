"""Variance recursions of order one, from parameters, returns and an explicit initial variance.

Each takes returns (n,), parameters in the order that `arch` has them, and the variance before the first return; it
gives variances (n + 1,): that of every return, known one bar before it, and last the forecast of the next one.
The first step follows `arch`: what came before counts as a shock of the initial variance (EGARCH: as an average one).
Variances stay within `low` and `high`, so that no outlier can make the recursion overflow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float64]

MEAN_ABS_NORMAL = np.sqrt(2 / np.pi)
HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


@njit(cache=True, error_model="numpy", inline="always")
def _within(value: float, low: float, high: float) -> float:
    if value < low:
        return low
    return high if value > high else value


@njit(cache=True, error_model="numpy")
def garch(returns: Array, theta: Array, initial: float, low: float, high: float) -> Array:
    """s2[t] = omega + alpha e[t-1]^2 + beta s2[t-1], e = r - mu (Bollerslev 1986). theta: mu, omega, alpha, beta."""
    mu, omega, alpha, beta = theta
    variance = np.empty(returns.size + 1)
    variance[0] = _within(omega + (alpha + beta) * initial, low, high)
    for t in range(returns.size):
        shock = returns[t] - mu
        variance[t + 1] = _within(omega + alpha * shock * shock + beta * variance[t], low, high)
    return variance


@njit(cache=True, error_model="numpy")
def egarch(returns: Array, theta: Array, initial: float, low: float, high: float) -> Array:
    """ln s2[t] = omega + alpha (|z[t-1]| - sqrt(2/pi)) + gamma z[t-1] + beta ln s2[t-1] (Nelson 1991).

    z = (r - mu) / s. theta: mu, omega, alpha, gamma, beta.
    """
    mu, omega, alpha, gamma, beta = theta
    lowest, highest = np.log(low), np.log(high)
    variance = np.empty(returns.size + 1)
    log_variance = _within(omega + beta * np.log(initial), lowest, highest)
    variance[0] = np.exp(log_variance)
    for t in range(returns.size):
        z = (returns[t] - mu) / np.sqrt(variance[t])
        surprise = alpha * (np.abs(z) - MEAN_ABS_NORMAL) + gamma * z
        log_variance = _within(omega + surprise + beta * log_variance, lowest, highest)
        variance[t + 1] = np.exp(log_variance)
    return variance


@njit(cache=True, error_model="numpy")
def aparch(returns: Array, theta: Array, initial: float, low: float, high: float) -> Array:
    """s[t]^d = omega + alpha (|e[t-1]| - gamma e[t-1])^d + beta s[t-1]^d, e = r - mu (Ding, Granger, Engle 1993).

    theta: mu, omega, alpha, gamma, beta, d.
    """
    mu, omega, alpha, gamma, beta, delta = theta
    lowest, highest = low ** (delta / 2), high ** (delta / 2)
    variance = np.empty(returns.size + 1)
    power = _within(omega + (alpha + beta) * initial ** (delta / 2), lowest, highest)
    variance[0] = power ** (2 / delta)
    for t in range(returns.size):
        shock = returns[t] - mu
        power = _within(omega + alpha * (np.abs(shock) - gamma * shock) ** delta + beta * power, lowest, highest)
        variance[t + 1] = power ** (2 / delta)
    return variance


@njit(cache=True, error_model="numpy")
def ewma(returns: Array, mean: float, decay: float, initial: float) -> Array:
    """s2[t] = decay s2[t-1] + (1 - decay) (r[t-1] - mean)^2: the RiskMetrics baseline; shape (n + 1,) as above."""
    variance = np.empty(returns.size + 1)
    variance[0] = initial
    for t in range(returns.size):
        shock = returns[t] - mean
        variance[t + 1] = decay * variance[t] + (1 - decay) * shock * shock
    return variance


@njit(cache=True, error_model="numpy")
def log_likelihood(returns: Array, mean: float, variance: Array) -> float:
    """Gaussian log-likelihood of returns (n,) around `mean` under the first n of `variance`."""
    total = -HALF_LOG_2PI * returns.size
    for t in range(returns.size):
        shock = returns[t] - mean
        total -= 0.5 * (np.log(variance[t]) + shock * shock / variance[t])
    return total
