"""Exact rational arithmetic as an oracle, and what two implementations may differ by."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import talib


def moments(window: np.ndarray) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Mean, and second to fourth central population moments, without rounding."""
    values = [Fraction(float(value)) for value in window]
    mean = sum(values) / len(values)
    powers = [sum((value - mean) ** k for value in values) / len(values) for k in (2, 3, 4)]
    return mean, powers[0], powers[1], powers[2]


def covariance(x: np.ndarray, y: np.ndarray) -> Fraction:
    """Population covariance without rounding."""
    a, b = ([Fraction(float(value)) for value in values] for values in (x, y))
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    return sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True)) / len(a)


def root(value: Fraction) -> float:
    """Square root to the last digit, also where numerator and denominator overflow floats."""
    shift = 1 << 200
    return math.isqrt(value.numerator * shift * shift // value.denominator) / shift


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference relative to the value or, near zero, to the column's usual size; nulls in the same places."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    usual = np.nanmedian(np.abs(expected))
    return float(np.nanmax(np.abs(found - expected) / np.maximum(np.abs(expected), usual)))


def by_loop(size: int, first: int, formula: Callable[[int], float]) -> np.ndarray:
    """formula(t) from bar `first` on, NaN before."""
    return np.array([math.nan] * first + [formula(t) for t in range(first, size)])


def prices_in_half_ticks(size: int, seed: int = 4) -> np.ndarray:
    """A walk of half ticks about 60,000."""
    steps = np.random.default_rng(seed).integers(-6, 7, size)
    return 60_000 + 0.5 * np.cumsum(steps)


def pips(size: int, seed: int = 5) -> np.ndarray:
    """A walk of pips about 1.1."""
    steps = np.random.default_rng(seed).integers(-6, 7, size)
    return np.round(1.1 + 1e-5 * np.cumsum(steps), 5)


def spiked_volume(size: int, seed: int = 6) -> np.ndarray:
    """Usual volumes, and 1e12 once in the first quarter and once in the last."""
    volume = np.exp(5 + np.random.default_rng(seed).standard_normal(size))
    volume[[size // 4, size - size // 4]] = 1e12
    return volume


def population_deviation(values: np.ndarray, window: int) -> np.ndarray:
    """TA-Lib's."""
    return talib.STDDEV(values, timeperiod=window, nbdev=1.0)
