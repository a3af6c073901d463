"""What remains of a gain when it is remembered how many choices were tried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

STATISTIC = (
    "gain less the expected maximum of N trials without skill (Bailey and Lopez de Prado 2014), in its standard errors"
)
_EULER = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Deflated:
    """`gain` and `p` after `trials`: the chance of so large a gain as the best of that many trials without skill."""

    trials: int
    gain: float
    p: float | None


def expected_maximum(trials: int) -> float:
    """Of so many independent standard normal numbers, about: (1 - g) q(1 - 1/N) + g q(1 - 1/(N e)), g Euler's constant.

    0 for a single one. Bailey and Lopez de Prado (2014), The Deflated Sharpe Ratio, equation 6.
    """
    if trials < 2:
        return 0.0
    normal = NormalDist()
    return (1 - _EULER) * normal.inv_cdf(1 - 1 / trials) + _EULER * normal.inv_cdf(1 - 1 / (trials * math.e))


def deflate(gain: float, se: float, trials: int) -> Deflated:
    """Take what luck would give the best of so many trials from a gain. `p` is None where nothing varies."""
    expected = expected_maximum(trials)
    p = 1 - NormalDist().cdf(gain / se - expected) if se > 0 else None
    return Deflated(trials, gain - expected * se, p)
