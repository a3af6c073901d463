"""Columns made from the last valid values of others, also across segments (SEMANTICS T4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tftctl.features.engine import numbers

# what every computation sees besides its sources
ROW_STATE = ("is_filled", "bar_index")


@dataclass(frozen=True, slots=True)
class RollingColumns:
    """`compute` takes rows of one group in order of time, with `is_filled`, `bar_index` and `sources` in Float64.

    A row's values depend on itself and on the last `samples` rows before it that are real bars with a valid value of
    each source. `definition` is JSON-able and says all that the numbers depend on besides the sources.
    """

    sources: tuple[str, ...]
    columns: tuple[str, ...]
    samples: int
    compute: Callable[[pl.DataFrame], Mapping[str, pl.Series]]
    definition: Any


def sampled(frame: pl.DataFrame, values: np.ndarray) -> np.ndarray:
    """Rows of a frame that count as samples of one of its columns: real bars with a value."""
    return ~frame["is_filled"].to_numpy() & ~np.isnan(values)


def has_enough(frame: pl.DataFrame, rolling: RollingColumns, rows: int) -> bool:
    """Whether the first `rows` rows hold all samples that the rows after them look back at."""
    if rolling.samples == 0:
        return True
    first = frame.slice(0, rows)
    valid = np.logical_and.reduce([sampled(first, numbers(first[name])) for name in rolling.sources])
    return int(valid.sum()) >= rolling.samples
