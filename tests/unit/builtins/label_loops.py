"""SEMANTICS L1 as a loop over rows, for the tests of built-in targets: what a label may be, row by row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from builtin_bars import target

from tftctl import testing

COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Rows:
    """Plain lists of one segment."""

    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]

    def returns(self, first: int, last: int) -> list[float]:
        """Log returns of bars first..last."""
        return [math.log(self.close[i] / self.close[i - 1]) for i in range(first, last + 1)]


Label = Callable[[Rows, int, int], "float | None"]


def every_row(bars: pl.DataFrame, h: int, label: Label) -> list[float | None]:
    """`label(rows, t, h)` of every row that L1 does not blank; t counts within its segment."""
    found: list[float | None] = []
    for segment in bars.partition_by("segment", maintain_order=True):
        rows = Rows(*(segment[name].to_list() for name in COLUMNS))
        filled = segment["is_filled"].to_list()
        found += [label(rows, t, h) if allowed(filled, t, h) else None for t in range(len(filled))]
    return found


def allowed(filled: list[bool], t: int, h: int) -> bool:
    """The horizon is there, its ends are real, and at most a tenth of it is filled."""
    if t + h >= len(filled) or filled[t] or filled[t + h]:
        return False
    return sum(filled[t + 1 : t + h + 1]) / h <= 0.1


def past_volatility(close: list[float], t: int) -> float | None:
    """L2: standard deviation of 100 log returns, null where it is missing or 0."""
    if t < 100:
        return None
    returns = [math.log(close[i] / close[i - 1]) for i in range(t - 99, t + 1)]
    deviation = statistics.stdev(returns)
    return deviation if deviation > 0 and any(returns) else None


def agree(found: np.ndarray, expected: list[float | None]) -> None:
    """The same numbers, null in the same rows."""
    wanted = np.array([math.nan if value is None else value for value in expected])
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-12)


def holes(bars: pl.DataFrame, filled: list[int], breaks: list[int]) -> pl.DataFrame:
    """Make some bars filled ones (flat at the close before, without volume) and others the first of a segment."""
    close = bars["close"].to_numpy().copy()
    for t in sorted(filled):
        close[t] = close[t - 1]
    is_filled = np.isin(np.arange(bars.height), filled)
    flat = {
        name: pl.Series(np.where(is_filled, close, bars[name].to_numpy())) for name in ("open", "high", "low", "close")
    }
    return bars.with_columns(
        **flat,
        volume=pl.Series(np.where(is_filled, 0.0, bars["volume"].to_numpy())),
        is_filled=pl.Series(is_filled),
        segment=pl.Series(np.isin(np.arange(bars.height), breaks).cumsum().astype(np.int32)),
    )


def random_holes(seed: int = 5) -> tuple[list[int], list[int]]:
    """Filled bars and breaks for 600 rows."""
    filled = np.random.default_rng(seed).choice(np.arange(3, 580), 25, replace=False).tolist()
    return [*filled, 400, 401, 402], [150, 151, 320]


def findings(name: str, **params: Any) -> list[str]:
    """What `tftctl.testing` says of a target with these parameters."""
    instance = target(name, **params)
    return [str(finding) for finding in testing.check_target(instance.record, instance.params)]
