"""What is counted of columns over training rows, a few rows at a time."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Tallies:
    """Of C columns: `rows`, and arrays (C,) of values, extremes, mean and sum of squared deviations.

    A value that is null, NaN or infinite is missing. With `digests`, `equal` digests a column's values and gaps row by
    row, `mirrored` the same up to sign. With `votes`, `votes` and `favourite` find the one value that can be more than
    half of all (Boyer and Moore 1981: votes of parts add up).
    """

    def __init__(self, columns: int, *, digests: bool = True, votes: bool = True) -> None:
        self.rows = 0
        self._digests, self._votes = digests, votes
        self.values = np.zeros(columns, np.int64)
        self.low, self.high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self.mean, self.squares = np.zeros(columns), np.zeros(columns)
        self.votes, self.favourite = np.zeros(columns, np.int64), np.full(columns, np.nan)
        self._equal = [hashlib.blake2b(digest_size=16) for _ in range(columns)]
        self._mirrored = [hashlib.blake2b(digest_size=16) for _ in range(columns)]
        self._sign = np.zeros(columns)

    def add(self, rows: Array) -> None:
        """Take in (rows, C), NaN where missing; rows must come in one order for all columns."""
        self.rows += len(rows)
        for place, column in enumerate(rows.T):
            known = column[~np.isnan(column)]
            if self._digests:
                self._digest(place, column)
            if known.size:
                self._count(place, known)
            if known.size and self._votes:
                # a value of more than half of the rows is in their middle
                middle = np.partition(known, known.size // 2)[known.size // 2]
                self._vote(place, float(middle), max(0, 2 * int((known == middle).sum()) - known.size))

    @property
    def variance(self) -> Array:
        """Population variance, NaN without values."""
        with np.errstate(invalid="ignore"):
            return np.where(self.values > 0, self.squares / np.maximum(self.values, 1), np.nan)

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Whether there is one value, or none."""
        return (self.values == 0) | (self.low == self.high)

    def equal(self, place: int) -> bytes:
        """Digest of a column; empty where it has no value."""
        return self._equal[place].digest() if self.values[place] else b""

    def mirrored(self, place: int) -> bytes:
        """Digest of a column times the sign of its first value that is not zero."""
        return self._mirrored[place].digest() if self.values[place] else b""

    def _digest(self, place: int, column: Array) -> None:
        plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, and no -0.0
        self._equal[place].update(plain.tobytes())
        if not self._sign[place]:
            moved = plain[~np.isnan(plain) & (plain != 0)]
            self._sign[place] = np.sign(moved[0]) if moved.size else 0.0
        turned = np.where(np.isnan(plain), np.nan, plain * (self._sign[place] or 1.0) + 0.0)
        self._mirrored[place].update(turned.tobytes())

    def _count(self, place: int, known: Array) -> None:
        """Extremes and moments (Chan et al. 1979)."""
        self.low[place] = min(self.low[place], known.min())
        self.high[place] = max(self.high[place], known.max())
        before, total = self.values[place], self.values[place] + known.size
        away = known.mean() - self.mean[place]
        self.squares[place] += known.var() * known.size + away * away * before * known.size / total
        self.mean[place] += away * known.size / total
        self.values[place] = total

    def _vote(self, place: int, value: float, votes: int) -> None:
        if value == self.favourite[place]:
            self.votes[place] += votes
        elif votes > self.votes[place]:
            self.favourite[place], self.votes[place] = value, votes - self.votes[place]
        else:
            self.votes[place] -= votes
