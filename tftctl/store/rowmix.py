"""The inner loops of the row hash, compiled: one pass over a column, nothing allocated (see `rowhash`)."""

from __future__ import annotations

import numpy as np
from numba import njit

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(cache=True, inline="always")
def _mixed(word: np.uint64) -> np.uint64:
    """splitmix64's finaliser."""
    word = (word ^ (word >> _30)) * _FIRST
    word = (word ^ (word >> _27)) * _SECOND
    return word ^ (word >> _31)


@njit(cache=True)
def add_column(total: np.ndarray, words: np.ndarray, seed: np.uint64) -> None:
    """Add the mixed words of a column to the rows' totals, both uint64 (rows,)."""
    for row in range(words.size):
        total[row] += _mixed(np.uint64(words[row]) + seed)


@njit(cache=True)
def add_column_with_nulls(total: np.ndarray, words: np.ndarray, valid: np.ndarray, first: int, seed: np.uint64) -> None:
    """The same where a row's bit in Arrow's bitmap `valid`, counted from bit `first`, is set."""
    for row in range(words.size):
        bit = (valid[(first + row) >> 3] >> np.uint8((first + row) & 7)) & np.uint8(1)
        total[row] += _mixed(np.uint64(words[row]) + seed) * np.uint64(bit)


@njit(cache=True)
def finish(total: np.ndarray, salt: np.uint64, out: np.ndarray) -> None:
    """One lane of the hash, uint64 (rows,)."""
    for row in range(total.size):
        out[row] = _mixed(total[row] ^ salt)
