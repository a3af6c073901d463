"""Which rows can be forecast origins, and why the others cannot (SEMANTICS S1, S3, T3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.data.panel import Panel

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Origins:
    """`usable` (N,) marks rows with a whole, complete window. `left_out` counts the others: reason -> (G,)."""

    usable: npt.NDArray[np.bool_]
    left_out: dict[str, npt.NDArray[np.int64]]


def find_origins(panel: Panel, encoder_length: int, required: Sequence[int]) -> Origins:
    """`required` are the column numbers whose nulls spoil a window (the row's own period's inputs)."""
    null = _any_null(panel.features, list(required))
    seen = np.concatenate(([0], np.cumsum(null)))
    start = np.maximum(np.arange(panel.rows) + 1 - encoder_length, 0)
    short = panel.position() < encoder_length - 1
    spoiled = (seen[1:] - seen[start]) > 0
    reasons = {
        "filled bar": panel.is_filled,
        "fewer bars in the segment than the encoder needs": short & ~panel.is_filled,
        "a missing value in the window": spoiled & ~short & ~panel.is_filled,
    }
    usable = ~(panel.is_filled | short | spoiled)
    counts = {reason: np.bincount(panel.group[rows], minlength=len(panel.groups)) for reason, rows in reasons.items()}
    return Origins(usable, counts)


def _any_null(features: npt.NDArray[np.float32], columns: list[int]) -> npt.NDArray[np.bool_]:
    """Rows with a null in any of the columns, a chunk at a time: the matrix can be larger than memory."""
    starts = range(0, features.shape[0], _CHUNK)
    return np.concatenate([np.isnan(features[start : start + _CHUNK, columns]).any(axis=1) for start in starts])
