"""The three variance processes: that of `arch`, our filter of it, and where the search for its parameters begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from arch.univariate import APARCH, EGARCH, GARCH

from tftctl_garch import filters

Array = npt.NDArray[np.float64]
Starts = tuple[tuple[float, ...], ...]
Bounds = Mapping[int, tuple[float, float]]
Constraints = tuple[tuple[tuple[float, ...], float], ...]

# below one half a shock is forgotten within the bar, and hourly data hardly tell such a beta from any other;
# at one the variance of the start would be remembered for ever
BETA = (0.5, 0.999)
EGARCH_ALPHA = (0.0, 1.0)
# and alpha >= |gamma|: no shock may lower the variance below what its absence would (Wintenberger 2013). Beyond that,
# a variance that is too small takes every return for a large shock, falls further, and stays there


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One model of order one; parameters are mu, omega, alpha, ... in the order of `arch`.

    `rescale(theta, unit)` takes parameters of returns in that unit to those of the returns themselves. `bounds` are
    narrower than those of `arch`, by the place of a parameter after the mean. `starts` are parameters after the mean
    for returns of unit variance: the search begins at the likeliest. `constraints` are rows a and limits b of
    a . parameters after the mean >= b, as far as bounds do not say it.
    """

    process: Callable[[], Any]
    filter: Callable[[Array, Array, float, float, float], Array]
    rescale: Callable[[Array, float], Array]
    bounds: Bounds
    starts: Starts
    constraints: Constraints


def _garch_units(theta: Array, unit: float) -> Array:
    mu, omega, alpha, beta = theta
    return np.array([mu * unit, omega * unit**2, alpha, beta])


def _egarch_units(theta: Array, unit: float) -> Array:
    mu, omega, alpha, gamma, beta = theta
    return np.array([mu * unit, omega + (1 - beta) * 2 * np.log(unit), alpha, gamma, beta])


def _aparch_units(theta: Array, unit: float) -> Array:
    mu, omega, alpha, gamma, beta, delta = theta
    return np.array([mu * unit, omega * unit**delta, alpha, gamma, beta, delta])


def _garch_starts() -> Starts:
    return tuple((1 - total, alpha, total - alpha) for alpha in (0.03, 0.1, 0.2) for total in (0.9, 0.97, 0.995))


def _egarch_starts() -> Starts:
    grid = product((0.05, 0.15, 0.3), (-0.7, 0.0, 0.4), (0.7, 0.9, 0.98))
    return tuple((0.0, alpha, tilt * alpha, beta) for alpha, tilt, beta in grid)


def _aparch_starts() -> Starts:
    grid = product((0.03, 0.08, 0.15), (-0.5, 0.0, 0.5), (0.9, 0.98), (1.0, 1.8))
    return tuple((1 - total, alpha, gamma, total - alpha, delta) for alpha, gamma, total, delta in grid)


MODELS = {
    "garch": Model(
        process=lambda: GARCH(1, 0, 1),
        filter=filters.garch,
        rescale=_garch_units,
        bounds={2: BETA},
        starts=_garch_starts(),
        constraints=(((0, -1, -1), -1),),
    ),
    "egarch": Model(
        process=lambda: EGARCH(1, 1, 1),
        filter=filters.egarch,
        rescale=_egarch_units,
        bounds={1: EGARCH_ALPHA, 3: BETA},
        starts=_egarch_starts(),
        constraints=(((0, 1, 1, 0), 0), ((0, 1, -1, 0), 0)),
    ),
    "aparch": Model(
        process=lambda: APARCH(1, 1, 1),
        filter=filters.aparch,
        rescale=_aparch_units,
        bounds={3: BETA},
        starts=_aparch_starts(),
        constraints=(((0, -1, 0, -1, 0), -1),),
    ),
}
