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
    days = np.unique(_day(available_at))
    test = round(days.size * test_ratio)
    val = round(days.size * val_ratio)
    return _cuts(days, val, test, embargo_ms)


def cuts_by_days(available_at: Instants, val_days: int, test_days: int, embargo_ms: int = 0) -> Cuts:
    """Count calendar days back from the last row. Raises DataError when nothing is left to train on."""
    days = _day(available_at)
    days = np.arange(days.min(), days.max() + 1)
    return _cuts(days, val_days, test_days, embargo_ms)


def choice_end(available_at: Instants, cuts: Cuts) -> int:
    """The instant that divides validation (S6): its first part chooses checkpoints, stages and thresholds.

    The first part has half of validation's days with rows, or one more; of a single day it has all.
    """
    days = np.unique(_day(available_at[(available_at > cuts.first) & (available_at <= cuts.second)]))
    return int(days[days.size - days.size // 2]) * DAY_MS if days.size > 1 else cuts.second


def assign(t0: Instants, t1: Instants, cuts: Cuts) -> npt.NDArray[np.int8]:
    """Split number of each label span (t0, t1]: 0 train, 1 val, 2 test, -1 where it reaches over a cut or embargo.

    t0 is the origin's available_at, t1 the latest label_end of its enabled targets.
    """
    split = np.full(t0.shape, LEFT_OUT, np.int8)
    split[t1 <= cuts.first] = 0
    split[(t0 >= cuts.first + cuts.embargo_ms) & (t1 <= cuts.second)] = 1
    split[t0 >= cuts.second + cuts.embargo_ms] = 2
    return split


def _day(available_at: Instants) -> Instants:
    """The UTC day that a row belongs to: midnight is the end of one, as it is of a label span (t0, t1]."""
    return (available_at - 1) // DAY_MS


def _cuts(days: Instants, val: int, test: int, embargo_ms: int) -> Cuts:
    if min(val, test, days.size - val - test) < 1:
        raise DataError(
            f"{days.size} days cannot be split into training, {val} days of validation and {test} of test",
            "import more bars, or change val_ratio, test_ratio, val_days, test_days",
        )
    return Cuts(int(days[days.size - val - test]) * DAY_MS, int(days[days.size - test]) * DAY_MS, embargo_ms)
