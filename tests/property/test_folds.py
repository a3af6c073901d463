"""Folds share nothing: for random label spans, panels, gaps and row orders, against loops (SEMANTICS S4)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tftctl.core.errors import DataError
from tftctl.core.periods import DAY_MS
from tftctl.data.splits import Fold, combinatorial_purged, purged_kfold, walk_forward

HOUR = 3_600_000
Panel = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    """t0, t1 and window_start of a few groups with gaps, labels of any length, rows in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    t0, t1, start = [], [], []
    for _ in range(draw(st.integers(1, 3))):
        step = int(rng.choice([1, 4, 24])) * HOUR
        bars = int(rng.integers(40, 160))
        times = int(rng.integers(0, 40)) * HOUR + step * np.sort(rng.choice(bars * 2, bars, replace=False))
        span = step * rng.integers(1, int(rng.integers(2, 30)), bars)
        t0.append(times)
        t1.append(times + span)
        start.append(times - step * int(rng.integers(1, 40)))
    order = rng.permutation(sum(part.size for part in t0))
    return tuple(np.concatenate(parts)[order].astype(np.int64) for parts in (t0, t1, start))  # type: ignore[return-value]


def days_of(t0: np.ndarray) -> int:
    """Number of days with rows."""
    return int(np.unique((t0 - 1) // DAY_MS).size)


@st.composite
def divided(draw: st.DrawFn, least: int, most: int) -> tuple[Panel, int]:
    """A panel and a number of blocks that it has days for: fewer days are refused (test_too_few_days_are_told)."""
    panel = draw(panels())
    days = days_of(panel[0])
    assume(days >= least)
    return panel, draw(st.integers(least, min(most, days)))


def check(fold: Fold, t0: np.ndarray, t1: np.ndarray) -> None:
    """Every row is somewhere once; no training label overlaps a test label."""
    rows = np.concatenate([fold.train, fold.test, fold.left_out])
    assert np.array_equal(np.sort(rows), np.arange(t0.size))
    for test in fold.test:
        assert not ((t0[fold.train] < t1[test]) & (t0[test] < t1[fold.train])).any()


@settings(max_examples=60, deadline=None)
@given(divided(2, 5), st.integers(0, 30))
def test_two_sided_folds_do_not_overlap(drawn: tuple[Panel, int], embargo_hours: int) -> None:
    """Neither labels nor the encoder windows of later training rows; the embargo is kept on both sides of a block."""
    (t0, t1, start), folds = drawn
    embargo = embargo_hours * HOUR
    tested = []
    for fold in purged_kfold(t0, t1, start, folds, embargo):
        check(fold, t0, t1)
        tested += fold.test.tolist()
        ((first, last),) = fold.blocks
        until = max([t1[row] for row in fold.test], default=first) + embargo
        for row in fold.train:
            assert t1[row] <= first or start[row] >= until
        for row in fold.left_out:  # nothing is left out without a reason
            held = first <= t0[row] < last
            assert (held and t0[row] < first + embargo) or (t1[row] > first and start[row] < until)
    assert len(tested) == len(set(tested))


@settings(max_examples=30, deadline=None)
@given(divided(3, 5), st.integers(1, 2), st.integers(0, 30))
def test_every_choice_of_blocks_is_a_fold(drawn: tuple[Panel, int], tests: int, embargo_hours: int) -> None:
    """The number of combinations, and each row in as many tests as blocks that hold it are chosen."""
    (t0, t1, start), blocks = drawn
    found = list(combinatorial_purged(t0, t1, start, blocks, tests, embargo_hours * HOUR))
    assert len(found) == {1: blocks, 2: blocks * (blocks - 1) // 2}[tests]
    assert len({fold.blocks for fold in found}) == len(found)
    for fold in found:
        check(fold, t0, t1)


@settings(max_examples=40, deadline=None)
@given(panels(), st.integers(1, 3), st.integers(0, 30), st.one_of(st.none(), st.integers(1, 5)))
def test_walk_forward_trains_before_and_tests_after(
    panel: Panel, folds: int, embargo_hours: int, train_days: int | None
) -> None:
    """Blocks follow each other to the last day; training labels end before each, and may begin at most so long ago."""
    t0, t1, _ = panel
    embargo = embargo_hours * HOUR
    if days_of(t0) < 6:
        return
    found = list(walk_forward(t0, t1, folds, 0.2, embargo, train_days))
    assert len(found) == folds
    ends = [fold.blocks[0] for fold in found]
    assert all(before[1] <= after[0] for before, after in pairwise(ends))
    assert ends[-1][1] >= t0.max()
    for fold in found:
        check(fold, t0, t1)
        first, last = fold.blocks[0]
        trained, tested = set(fold.train.tolist()), set(fold.test.tolist())
        for row in range(t0.size):
            train = t1[row] <= first and (train_days is None or t0[row] >= first - train_days * DAY_MS)
            test = t0[row] >= first + embargo and t1[row] <= last
            assert (row in trained) == train
            assert (row in tested) == test


def test_too_few_days_are_told() -> None:
    """With what there is, and what to do."""
    t0 = np.arange(30) * HOUR
    for made in (
        lambda: list(purged_kfold(t0, t0 + HOUR, t0, 5)),
        lambda: list(walk_forward(t0, t0 + HOUR, 3, 0.3)),
        lambda: list(combinatorial_purged(np.arange(300) * HOUR, t0, t0, 4, 4)),
    ):
        with pytest.raises(DataError) as caught:
            made()
        assert caught.value.hint
