"""Splits by instants, the same for all symbols and periods (SEMANTICS S4). No torch here.

A row's label covers (t0, t1]: t0 is its available_at, t1 the latest label_end of its targets. Rows may stand in any
order, labels may have any length, and there may be many rows at one instant: everything is decided by instants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
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


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers of one fold, ascending; `left_out` are those that are in neither: purged, embargoed, or not in it.

    `blocks` are the (first, last) instants of its test blocks: a test label begins at or after `first` and, in
    walk-forward folds, ends by `last`.
    """

    train: Instants
    test: Instants
    left_out: Instants
    blocks: tuple[tuple[int, int], ...]


def walk_forward(
    t0: Instants,
    t1: Instants,
    folds: int,
    test_share: float,
    embargo_ms: int = 0,
    train_days: int | None = None,
) -> Iterator[Fold]:
    """Train before, test after, `folds` times: the last `folds * test_share` of the days with rows are test blocks.

    Training labels end by the block's first instant, test labels begin `embargo_ms` after it and end by its last. With
    `train_days` training begins so many days before the block, else at the first row. Raises DataError when a part
    would get no day.
    """
    days = np.unique(_day(t0))
    size = round(days.size * test_share)
    if folds < 1 or size < 1 or days.size - folds * size < 1:
        raise DataError(
            f"{days.size} days cannot be split into {folds} test blocks of {test_share:g} and something before them",
            "use fewer folds or a smaller share, or import more bars",
        )
    for number in range(folds):
        begin = days.size - (folds - number) * size
        first, last = int(days[begin]) * DAY_MS, (int(days[begin + size - 1]) + 1) * DAY_MS
        train = t1 <= first
        if train_days is not None:
            train &= t0 >= first - train_days * DAY_MS
        yield _fold(train, (t0 >= first + embargo_ms) & (t1 <= last), ((first, last),))


def purged_kfold(t0: Instants, t1: Instants, window_start: Instants, folds: int, embargo_ms: int = 0) -> Iterator[Fold]:
    """Each of `folds` blocks of days once for test, the others for training (Lopez de Prado 2018, chapter 7).

    `window_start` is the instant at which a row's encoder window begins: a training row after a block needs all of it
    after the block's last label_end and the embargo (S4), one before it a label that ends by the block's first instant.
    Raises DataError when a block would get no day.
    """
    yield from combinatorial_purged(t0, t1, window_start, folds, 1, embargo_ms)


def combinatorial_purged(
    t0: Instants, t1: Instants, window_start: Instants, blocks: int, test_blocks: int, embargo_ms: int = 0
) -> Iterator[Fold]:
    """Every choice of `test_blocks` among `blocks` blocks of days for test (Lopez de Prado 2018, chapter 12).

    As `purged_kfold`, for every block of the choice. Raises DataError when a block would get no day or none is left.
    """
    spans = _blocks(t0, blocks)
    if not 1 <= test_blocks < blocks:
        raise DataError(f"{test_blocks} of {blocks} blocks for test leave nothing to train on", "test fewer blocks")
    for chosen in combinations(spans, test_blocks):
        yield _two_sided(t0, t1, window_start, chosen, spans[0][0], embargo_ms)


def _two_sided(
    t0: Instants,
    t1: Instants,
    window_start: Instants,
    chosen: Sequence[tuple[int, int]],
    beginning: int,
    embargo_ms: int,
) -> Fold:
    """Neighbouring blocks are one: between them there is nothing to be kept apart."""
    train, test = np.ones(t0.shape, bool), np.zeros(t0.shape, bool)
    for first, last in _joined(chosen):
        inside = (t0 >= (first + embargo_ms if first > beginning else first)) & (t0 < last)
        until = int(t1[inside].max(initial=first)) + embargo_ms
        train &= (t1 <= first) | (window_start >= until)
        test |= inside
    return _fold(train & ~test, test, tuple(chosen))


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        if joined and joined[-1][1] == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _blocks(t0: Instants, blocks: int) -> list[tuple[int, int]]:
    """Divide the days with rows into neighbouring blocks of as many days, or one more: (first, last) instants."""
    days = np.unique(_day(t0))
    if blocks < 2 or days.size < blocks:
        raise DataError(f"{days.size} days cannot be divided into {blocks} blocks", "use fewer blocks, but at least 2")
    edges = np.linspace(0, days.size, blocks + 1).round().astype(int)
    firsts = [int(days[edge]) * DAY_MS for edge in edges[:-1]]
    end = (int(days[-1]) + 1) * DAY_MS + 1  # t0 at the last midnight belongs to the last day
    return list(zip(firsts, [*firsts[1:], end], strict=True))


def _fold(train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_], blocks: tuple[tuple[int, int], ...]) -> Fold:
    return Fold(np.flatnonzero(train), np.flatnonzero(test), np.flatnonzero(~(train | test)), blocks)


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
