"""Means and spreads of many origins, put together from those of few (Chan, Golub and LeVeque 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean of `count` values, and the sum of their squared deviations from it; arrays of one shape."""

    count: int
    mean: Array
    squares: Array

    @property
    def spread(self) -> Array:
        """Standard deviation (ddof 0)."""
        return np.sqrt(self.squares / self.count)


def moments(values: Array) -> Moments:
    """Of the rows of an array (N, V)."""
    mean = values.mean(axis=0)
    return Moments(len(values), mean, ((values - mean) ** 2).sum(axis=0))


def merge(parts: Sequence[Moments]) -> Moments:
    """Of all values of which each part has some."""
    if len(parts) == 1:
        return parts[0]
    count = sum(part.count for part in parts)
    means = np.stack([part.mean for part in parts])
    shares = np.array([part.count / count for part in parts]).reshape(-1, *[1] * (means.ndim - 1))
    mean = (shares * means).sum(axis=0)
    between = (shares * (means - mean) ** 2).sum(axis=0) * count
    return Moments(count, mean, between + np.sum([part.squares for part in parts], axis=0))
