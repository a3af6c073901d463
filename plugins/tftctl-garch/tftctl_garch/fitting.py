"""Parameters from one window of past returns: fitted by `arch`, kept only if the likelihood says so."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from arch.univariate import ConstantMean

from tftctl_garch import filters
from tftctl_garch.models import Model

Array = npt.NDArray[np.float64]

EWMA_DECAY = 0.94
# standard deviations from a hundredth to a hundred times that of the window
VARIANCE_SPREAD = 1e4
MOVED_SHARE = 0.5
# returns are rounded to this before a fit: the last bits of a price on another scale must not move the optimiser
RETURN_GRAIN = 1e-8
# log-likelihood units by which the optimiser may stop short of a special case of its own model
STOPPED_SHORT = 0.1
ROUNDING = 1e-6
REMEMBERED_FITS = 1024  # 16 MB of windows of 2,000 returns


@dataclass(frozen=True, slots=True)
class Window:
    """Past returns (n,) with their mean and variance; `variance` is where every filter over them begins."""

    returns: Array
    mean: float
    variance: float

    @property
    def can_be_fitted(self) -> bool:
        """Enough of the returns are not zero: a halted symbol has no volatility to estimate."""
        return bool(np.count_nonzero(self.returns) >= MOVED_SHARE * self.returns.size)


def window_of(returns: Array) -> Window | None:
    """The rounded returns; None where they are all alike, as when prices stand still, or one is not finite."""
    if not returns.size or not np.isfinite(returns).all():
        return None
    window = _measured(np.round(returns / RETURN_GRAIN) * RETURN_GRAIN)
    return window if window.variance > RETURN_GRAIN**2 else None


def variances(model: Model, theta: Array, returns: Array, initial: float) -> Array:
    """Conditional variances (n + 1,) of returns (n,), the last one a forecast, from an explicit initial variance."""
    return model.filter(returns, theta, initial, initial / VARIANCE_SPREAD, initial * VARIANCE_SPREAD)


def likelihood(model: Model, theta: Array, window: Window) -> float:
    """Gaussian log-likelihood of the window by our own filter; -inf where it is not a number."""
    found = filters.log_likelihood(window.returns, theta[0], variances(model, theta, window.returns, window.variance))
    return float(found) if np.isfinite(found) else -np.inf


def constant_likelihood(window: Window) -> float:
    """Log-likelihood of one variance for the whole window, a special case of all three models."""
    return -0.5 * window.returns.size * (np.log(2 * np.pi * window.variance) + 1)


def ewma_likelihood(window: Window) -> float:
    """Log-likelihood of RiskMetrics' moving average from the same initial variance."""
    variance = filters.ewma(window.returns, window.mean, EWMA_DECAY, window.variance)
    return float(filters.log_likelihood(window.returns, window.mean, variance))


def fit(model: Model, window: Window) -> Array | None:
    """Parameters (mu, omega, ...) of the returns in the window; None when no fit deserves the name.

    The convergence flag of the optimiser is not asked. A fit must be as good as a constant variance, which is a
    special case of it. One that does not beat an exponential mean as well is tried again from another start.
    """
    if not window.can_be_fitted:
        return None
    theta = _remembered_fit(model, window.returns.tobytes())
    return None if theta is None else np.array(theta)


@lru_cache(maxsize=REMEMBERED_FITS)
def _remembered_fit(model: Model, raw: bytes) -> tuple[float, ...] | None:
    """Audits and checks compute one segment many times, its end cut off or changed: most windows come again."""
    window = _measured(np.frombuffer(raw).copy())
    constant = constant_likelihood(window)
    suspect = max(constant, ewma_likelihood(window))
    first, second = _likeliest_starts(model, window)
    theta, reached = _fitted_from(model, window, first)
    if reached < suspect:
        again, reached_again = _fitted_from(model, window, second)
        theta, reached = (again, reached_again) if reached_again > reached else (theta, reached)
    return tuple(theta.tolist()) if theta is not None and reached > constant - STOPPED_SHORT else None


def _measured(returns: Array) -> Window:
    return Window(returns, float(returns.mean()), float(returns.var()))


def _likeliest_starts(model: Model, window: Window) -> tuple[Array, Array]:
    """The best two of the model's starts for this window."""
    unit = Window(window.returns / np.sqrt(window.variance), 0.0, 1.0)
    scores = [likelihood(model, np.array([0.0, *start]), unit) for start in model.starts]
    best, second = np.argsort(scores, kind="stable")[:-3:-1]
    return np.array(model.starts[best]), np.array(model.starts[second])


def _fitted_from(model: Model, window: Window, start: Array) -> tuple[Array | None, float]:
    unit = float(np.sqrt(window.variance))
    found = arch_parameters(model, window.returns / unit, start)
    if found is None or not _admissible(model, found):
        return None, -np.inf
    theta = model.rescale(found, unit)
    return theta, likelihood(model, theta, window)


def _admissible(model: Model, found: Array) -> bool:
    """Finite, and within bounds and constraints, which an optimiser that gives up may leave."""
    after_mean = found[1:]
    inside = all(low - ROUNDING <= after_mean[at] <= high + ROUNDING for at, (low, high) in model.bounds.items())
    kept = all(np.dot(row, after_mean) >= limit - ROUNDING for row, limit in model.constraints)
    return bool(np.isfinite(found).all()) and inside and kept


def arch_parameters(model: Model, returns: Array, start: Array) -> Array | None:
    """What `arch` estimates on returns of unit variance (n,), from their mean and `start`; None if it fails.

    Unit variance because the optimiser's tolerance is absolute: on percent returns of 0.05 a bar it stops tens of
    log-likelihood units short and reports convergence.
    """
    mean_model = ConstantMean(returns, rescale=False)
    mean_model.volatility = _process(model, start)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = mean_model.fit(disp="off", show_warning=False, backcast=1.0)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            return None
    return np.asarray(found.params, dtype=np.float64)


def _process(model: Model, start: Array) -> Any:
    """The process of `arch` with our start, narrower bounds, and no constraint that the bounds contain.

    Half of the time of a fit went into numerical derivatives of constraints like alpha >= 0.
    """
    process = model.process()
    theirs = process.bounds
    rows, limits = (np.array(part, dtype=np.float64) for part in zip(*model.constraints, strict=True))
    process.bounds = lambda resids: [model.bounds.get(at, pair) for at, pair in enumerate(theirs(resids))]
    process.constraints = lambda: (rows, limits)
    process.starting_values = lambda resids: start
    return process
