"""Folds against purgedcv, an independent implementation of Lopez de Prado's purging (SEMANTICS S4).

What it cannot handle, and is therefore left to the loops of test_folds.py:
- encoder windows of training rows after a test block (here every window is the row itself);
- blocks of days: it counts rows, so blocks are the same only where every day has as many rows;
- rows in any order, and panels, through its splitters: times must rise, and a cut by count goes through an instant.
  Its `purge` and `apply_embargo` take any rows, so panels are compared through these;
- an embargo between training and the test rows after it, and a walk-forward test label that must end in its block:
  it keeps these test rows, ours are exactly the others; its walk-forward has no training window in days.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from purgedcv import CombinatorialPurgedCV, PurgedKFold, WalkForwardSplit, apply_embargo, purge
from test_folds import HOUR, Panel, divided

from tftctl.core.periods import DAY_MS
from tftctl.data.splits import Fold, combinatorial_purged, purged_kfold, walk_forward

MINUTE = 60_000
Spans = tuple[np.ndarray, np.ndarray]


@st.composite
def cases(draw: st.DrawFn, days: int, block: int) -> tuple[Spans, int]:
    """t0 and t1 of one series with as many bars every day, and an embargo shorter than a block of so many days.

    Without an embargo labels have any length; with one they have the same: among the rows that it takes from the test
    could be the one whose label ends last. No bar is complete at midnight and no label ends with a bar: its blocks
    begin at a bar, ours at midnight. It drops a row that begins at the very end of an embargo, which none does.
    """
    bars = draw(st.sampled_from([1, 2, 6, 24]))
    step = DAY_MS // bars
    t0 = np.arange(days * bars, dtype=np.int64) * step + 30 * MINUTE
    longest = draw(st.integers(1, 3 * bars))
    embargo = draw(st.integers(0, block * bars - 1)) * step
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = np.full(t0.size, longest) if embargo else rng.integers(1, longest + 1, t0.size)
    return (t0, t0 + lengths * step + 10 * MINUTE), embargo and embargo - MINUTE


def times(spans: Spans) -> dict[str, np.ndarray]:
    """As purgedcv takes them."""
    return {
        "prediction_times": spans[0].astype("datetime64[ms]"),
        "evaluation_times": spans[1].astype("datetime64[ms]"),
    }


def embargo_of(milliseconds: int) -> np.timedelta64:
    """As purgedcv takes it."""
    return np.timedelta64(milliseconds, "ms")


def late_enough(fold: Fold, t0: np.ndarray, rows: np.ndarray, embargo: int) -> list[int]:
    """Test rows without those within an embargo after training rows: after the beginning of a run of test blocks."""
    ends = {last for _, last in fold.blocks}
    begins = [first for first, _ in fold.blocks if first > 0 and first not in ends]
    early = np.zeros(rows.size, bool)
    for first in begins:
        early |= (t0[rows] >= first) & (t0[rows] < first + embargo)
    return rows[~early].tolist()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 5), st.integers(1, 6))
def test_k_folds_are_the_same(data: st.DataObject, folds: int, size: int) -> None:
    """Training rows of every fold; test rows but for those within the embargo after a block's beginning."""
    spans, embargo = data.draw(cases(folds * size, size))
    theirs = PurgedKFold(folds, **times(spans), embargo=embargo_of(embargo))
    ours = list(purged_kfold(*spans, spans[0], folds, embargo))
    assert len(ours) == folds
    for fold, (train, test) in zip(ours, theirs.split(spans[0][:, None]), strict=True):
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == late_enough(fold, spans[0], test, embargo)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(3, 6), st.integers(1, 3), st.integers(1, 3))
def test_combinatorial_folds_are_the_same(data: st.DataObject, blocks: int, tests: int, size: int) -> None:
    """In the same order."""
    tests = min(tests, blocks - 1)
    spans, embargo = data.draw(cases(blocks * size, size))
    theirs = CombinatorialPurgedCV(blocks, tests, **times(spans), embargo=embargo_of(embargo))
    ours = list(combinatorial_purged(*spans, spans[0], blocks, tests, embargo))
    for fold, (train, test) in zip(ours, theirs.split(spans[0][:, None]), strict=True):
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == late_enough(fold, spans[0], test, embargo)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 10))
def test_walk_forward_folds_are_the_same(data: st.DataObject, folds: int, size: int, before: int) -> None:
    """Training rows; test rows but for those within the embargo, and those whose label ends after the block."""
    days = folds * size + before
    spans, embargo = data.draw(cases(days, size))
    t0, t1 = spans
    theirs = WalkForwardSplit(folds, size * (t0.size // days), **times(spans))
    ours = list(walk_forward(t0, t1, folds, size / days, embargo))
    for fold, (train, test) in zip(ours, theirs.split(t0[:, None]), strict=True):
        first, last = fold.blocks[0]
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == test[(t0[test] >= first + embargo) & (t1[test] <= last)].tolist()


@settings(max_examples=60, deadline=None)
@given(divided(2, 5), st.integers(0, 30))
def test_panels_with_gaps_in_any_order_are_purged_alike(drawn: tuple[Panel, int], embargo_hours: int) -> None:
    """Given the test rows; a label that ends between a block's beginning and its first row is purged by ours alone."""
    (t0, t1, _), folds = drawn
    embargo = embargo_hours and embargo_hours * HOUR + MINUTE
    for fold in purged_kfold(t0, t1, t0, folds, embargo):
        if not fold.test.size:
            continue
        ((first, last),) = fold.blocks
        others = np.flatnonzero((t0 < first) | (t0 >= last))
        kept = purge(others, fold.test, **times((t0, t1)))
        kept = apply_embargo(kept, fold.test, **times((t0, t1)), embargo=embargo_of(embargo))
        over = (t0[kept] < first) & (t1[kept] > first)
        assert fold.train.tolist() == kept[~over].tolist()
        assert (t1[kept[over]] <= t0[fold.test].min()).all()


def test_it_refuses_what_only_ours_splits() -> None:
    """Rows in another order."""
    t0 = np.arange(0, 40 * DAY_MS, DAY_MS)[::-1] + HOUR
    with pytest.raises(ValueError, match="monoton"):
        PurgedKFold(4, **times((t0, t0 + DAY_MS)))
    assert len(list(purged_kfold(t0, t0 + DAY_MS, t0, 4))) == 4
