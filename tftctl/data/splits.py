"""Splits by instants, the same for all symbols and periods (SEMANTICS S4). No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tftctl.core.errors import DataError
from tftctl.core.periods import DAY_MS

Instants = npt.NDArray[np.int64]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
LEFT_OUT = -1


@dataclass(frozen=True, slots=True)
class Cuts:
    """Training ends at `first`, validation at `second` (ms UTC); `embargo_ms` keeps later origins away from both."""

    first: int
    second: int
    embargo_ms: int = 0


def cuts_by_ratio(available_at: Instants, val_ratio: float, test_ratio: float, embargo_ms: int = 0) -> Cuts:
    """Divide the unique UTC days that have rows. Raises DataError when a part would get no day."""
    days = np.unique(available_at // DAY_MS)
    test = round(days.size * test_ratio)
    val = round(days.size * val_ratio)
    return _cuts(days, val, test, embargo_ms)


def cuts_by_days(available_at: Instants, val_days: int, test_days: int, embargo_ms: int = 0) -> Cuts:
    """Count calendar days back from the last row. Raises DataError when nothing is left to train on."""
    last = int(available_at.max()) // DAY_MS + 1
    days = np.arange(int(available_at.min()) // DAY_MS, last)
    return _cuts(days, val_days, test_days, embargo_ms)


def assign(t0: Instants, t1: Instants, cuts: Cuts) -> npt.NDArray[np.int8]:
    """Split number of each label span (t0, t1]: 0 train, 1 val, 2 test, -1 where it reaches over a cut or embargo.

    t0 is the origin's available_at, t1 the latest label_end of its enabled targets.
    """
    split = np.full(t0.shape, LEFT_OUT, np.int8)
    split[t1 <= cuts.first] = 0
    split[(t0 >= cuts.first + cuts.embargo_ms) & (t1 <= cuts.second)] = 1
    split[t0 >= cuts.second + cuts.embargo_ms] = 2
    return split


def _cuts(days: Instants, val: int, test: int, embargo_ms: int) -> Cuts:
    if min(val, test, days.size - val - test) < 1:
        raise DataError(
            f"{days.size} days cannot be split into training, {val} days of validation and {test} of test",
            "import more bars, or change val_ratio, test_ratio, val_days, test_days",
        )
    return Cuts(int(days[days.size - val - test]) * DAY_MS, int(days[days.size - test]) * DAY_MS, embargo_ms)
