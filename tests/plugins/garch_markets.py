"""Simulated markets, the kernel on one segment, and the textbook recursions as loops."""

from __future__ import annotations

import math

import numpy as np
from tftctl_garch.rolling import conditional_volatility
from tftctl_garch.settings import RefitParams

NAMES = ("garch", "egarch", "aparch")
SMALL = RefitParams(fit_window=200, refit_every=60, min_fit=120)
THETA = {
    "garch": np.array([0.0004, 2e-6, 0.08, 0.9]),
    "egarch": np.array([0.0004, -0.3, 0.15, -0.05, 0.965]),
    "aparch": np.array([0.0004, 3e-5, 0.07, 0.4, 0.91, 1.3]),
}


def simulated(size: int, seed: int = 3, scale: float = 1.0) -> np.ndarray:
    """Closes of a GARCH(1,1) market with a leverage effect."""
    rng = np.random.default_rng(seed)
    variance, log_price = 1e-4, np.zeros(size)
    for t in range(1, size):
        shock = math.sqrt(variance) * rng.standard_normal()
        variance = 2e-6 + 0.05 * shock**2 + 0.08 * shock**2 * (shock < 0) + 0.88 * variance
        log_price[t] = log_price[t - 1] + shock * scale
    return 100 * np.exp(log_price)


def run(name: str, close: np.ndarray, params: RefitParams = SMALL, first_bar: int = 0) -> dict[str, np.ndarray]:
    """The kernel on one segment, columns by `next`, `now` and `residual`."""
    bars = {"close": close, "bar_index": np.arange(first_bar, first_bar + close.size, dtype=float)}
    return {key.rpartition("_")[2]: values for key, values in conditional_volatility(name, bars, params).items()}


def log_returns(close: np.ndarray) -> np.ndarray:
    return np.concatenate(([math.nan], np.diff(np.log(close))))


def naive_variances(name: str, returns: np.ndarray, theta: np.ndarray, initial: float) -> list[float]:
    """The textbook recursions, one float after the other."""
    mu, omega, alpha, *rest = (float(value) for value in theta)
    found = []
    if name == "garch":
        (beta,) = rest
        variance = omega + alpha * initial + beta * initial
        for r in returns:
            found.append(variance)
            variance = omega + alpha * (r - mu) ** 2 + beta * variance
    elif name == "egarch":
        gamma, beta = rest
        variance = math.exp(omega + beta * math.log(initial))
        for r in returns:
            found.append(variance)
            z = (r - mu) / math.sqrt(variance)
            logarithm = omega + alpha * (abs(z) - math.sqrt(2 / math.pi)) + gamma * z + beta * math.log(variance)
            variance = math.exp(logarithm)
    else:
        gamma, beta, delta = rest
        variance = (omega + (alpha + beta) * math.sqrt(initial) ** delta) ** (2 / delta)
        for r in returns:
            found.append(variance)
            shock = abs(r - mu) - gamma * (r - mu)
            variance = (omega + alpha * shock**delta + beta * math.sqrt(variance) ** delta) ** (2 / delta)
    return [*found, variance]
