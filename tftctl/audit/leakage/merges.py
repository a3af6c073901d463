"""Naming a stored column that is not the right one: which wrong way gives it, or lies in its direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tftctl.audit.leakage.classes import ALL_DATA, BACKWARD, CENTRED, LABEL, SHIFT

Array = npt.NDArray[np.float64]
Ways = Mapping[str, Sequence[Array]]

EXPLAINED, ALIKE = 0.95, 0.8
LEAST_ROWS = 8
SHIFTS = (*range(1, 9), 12, 24)
WINDOWS = (3, 5, 7, 9, 11, 21)


def apart32(one: Array, other: Array) -> npt.NDArray[np.bool_]:
    """Different as float32, in which features are stored; NaN equals NaN."""
    with np.errstate(over="ignore"):
        a, b = one.astype(np.float32), other.astype(np.float32)
    return ~((a == b) | (np.isnan(a) & np.isnan(b)))


def wrong_ways(expected: Array, labels: Mapping[str, Array]) -> dict[str, list[Array]]:
    """What rows of one group would hold if they came from later rows, from around them, or from the labels."""
    found = {
        SHIFT: [_ahead(expected, step) for step in SHIFTS],
        CENTRED: [_centred(expected, w) for w in WINDOWS],
    }
    missing = np.isnan(expected)
    if missing.any():
        found[BACKWARD] = [np.where(missing, _next_known(expected), expected)]
    if labels:
        found[LABEL] = list(labels.values())
    return found


def explained_by(stored: Array, expected: Array, apart: npt.NDArray[np.bool_], ways: Ways) -> str | None:
    """The class whose values the stored rows `apart` have, or towards which they lie; None where none fits."""
    s, e = stored[apart], expected[apart]
    if (kind := _straight_line(stored, expected, apart)) is not None:
        return kind
    each = {kind: [way[apart] for way in some] for kind, some in ways.items()}
    shares = {kind: max(_equal(s, way) for way in some) for kind, some in each.items() if some}
    explaining = [kind for kind, share in shares.items() if share >= EXPLAINED]
    if explaining:
        # of several, the one that also gives the rows that are as they should be
        return max(explaining, key=lambda kind: max(_equal(stored, way) for way in ways[kind]))
    alike = {kind: max(_alike(s - e, way - e) for way in some) for kind, some in each.items() if some}
    best = max(alike, key=lambda kind: alike[kind], default=None)
    return best if best is not None and alike[best] >= ALIKE else None


def _equal(one: Array, other: Array) -> float:
    return float((~apart32(one, other)).mean())


def _alike(one: Array, other: Array) -> float:
    """How far two differences go the same way: 1 always, 0 as often as not."""
    both = np.isfinite(one) & np.isfinite(other) & (other != 0)
    if both.sum() < LEAST_ROWS:
        return 0.0
    same = float((np.sign(one[both]) == np.sign(other[both])).mean())
    with np.errstate(invalid="ignore", divide="ignore"):
        line = np.corrcoef(one[both], other[both])[0, 1]
    return max(2 * same - 1, float(np.nan_to_num(line)))


def _straight_line(stored: Array, expected: Array, apart: npt.NDArray[np.bool_]) -> str | None:
    """Nearly every row differs, and by one centre and one scale: taken of all rows, as nothing else is the same."""
    both = np.isfinite(stored) & np.isfinite(expected)
    if both.sum() < 4 * LEAST_ROWS or apart[both].mean() < 0.9 or expected[both].std() == 0:
        return None
    slope, level = np.polyfit(expected[both], stored[both], 1)
    rest = stored[both] - (slope * expected[both] + level)
    return ALL_DATA if rest.std() <= 1e-4 * stored[both].std() else None


def _ahead(values: Array, step: int) -> Array:
    made = np.full(values.size, np.nan)
    if step < values.size:
        made[: values.size - step] = values[step:]
    return made


def _centred(values: Array, window: int) -> Array:
    half = window // 2
    made = np.full(values.size, np.nan)
    if values.size >= window:
        made[half : values.size - half] = np.convolve(values, np.full(window, 1 / window), "valid")
    return made


def _next_known(values: Array) -> Array:
    known = np.flatnonzero(~np.isnan(values))
    place = np.searchsorted(known, np.arange(values.size))
    made = np.full(values.size, np.nan)
    there = place < known.size
    made[there] = values[known[place[there]]]
    return made
