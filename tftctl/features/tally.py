"""What is counted of a column, group by group."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

Array = np.ndarray


@dataclass(slots=True)
class Tally:
    """Counts over the groups seen so far; `rows` = values + leading nulls + restart nulls + holes.

    Leading nulls stand before a group's first value (warm-up), restart nulls at the head of a later segment, where
    indicators begin again (T4); every other null is a hole. `infinite` and `nan` are values that should not be (S3).
    """

    rows: int = 0
    leading_nulls: int = 0
    restart_nulls: int = 0
    holes: int = 0
    infinite: int = 0
    nan: int = 0
    low: float = math.inf
    high: float = -math.inf
    digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def add(self, column: pl.Series, segments: Array) -> None:
        """Take in one group's real rows, in order of time."""
        leading, restart, nulls = count_nulls(column.is_null().to_numpy(), segments)
        self.rows += len(column)
        self.leading_nulls += leading
        self.restart_nulls += restart
        self.holes += nulls - leading - restart
        # 0.0 and -0.0 are one value
        values = column.cast(pl.Float64).fill_null(math.nan).to_numpy() + 0.0
        self.digest.update(values.tobytes())
        self.infinite += int(np.isinf(values).sum())
        self.nan += int(np.isnan(values).sum()) - nulls
        finite = values[np.isfinite(values)]
        if finite.size:
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))

    @property
    def values(self) -> int:
        """Rows that are not null."""
        return self.rows - self.leading_nulls - self.restart_nulls - self.holes

    @property
    def coverage(self) -> float:
        """Share of rows that are not null."""
        return self.values / self.rows if self.rows else 0.0

    @property
    def constant(self) -> bool:
        """Whether all values are one."""
        return self.low == self.high


def count_nulls(null: Array, segments: Array) -> tuple[int, int, int]:
    """Nulls of one group before its first value, at the head of later segments, and in all."""
    valid = np.flatnonzero(~null)
    first = int(valid[0]) if valid.size else null.size
    starts = np.flatnonzero(np.diff(segments, prepend=-1))
    ends = np.append(starts[1:], null.size)
    following = np.append(valid, null.size)[np.searchsorted(valid, starts)]
    heads = np.minimum(following, ends) - starts
    return first, int(heads[starts > first].sum()), int(null.sum())
