"""What a network has to beat: the training mean and persistence (SEMANTICS M7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tftctl.data.panel import Panel
from tftctl.data.splits import Cuts, assign

Values = npt.NDArray[np.float64]
Instants = npt.NDArray[np.int64]

MEAN = "mean"
PERSISTENCE = "persistence"


def training_means(panel: Panel, place: int, cuts: Cuts) -> Values:
    """Per row, the mean of its (symbol, period)'s training labels of target number `place`: shape (N,).

    That is the base rate where the target is binary; NaN where the group has no training label.
    """
    found = np.full(panel.rows, np.nan)
    for rows, labels in _training_labels(panel, place, cuts):
        found[rows] = labels.mean()
    return found


def training_quantiles(panel: Panel, place: int, cuts: Cuts, levels: Sequence[float]) -> Values:
    """Per row, the quantiles of its (symbol, period)'s training labels of target number `place`: (N, Q), linear.

    NaN where the group has no training label.
    """
    found = np.full((panel.rows, len(levels)), np.nan)
    for rows, labels in _training_labels(panel, place, cuts):
        found[rows] = np.quantile(labels, levels)
    return found


def _training_labels(panel: Panel, place: int, cuts: Cuts) -> Iterator[tuple[slice, Values]]:
    """Rows of each group that has training labels, and these."""
    training = assign(panel.available_at, panel.last_label_end(), cuts) == 0
    for group in panel.groups:
        rows = slice(group.start, group.stop)
        labels = panel.labels[rows, place][training[rows]].astype(np.float64)
        labels = labels[np.isfinite(labels)]
        if labels.size:
            yield rows, labels


def persistence(panel: Panel, place: int) -> Values:
    """Per row, the latest label of its own group that was known at its `available_at`: shape (N,), NaN before any.

    For a binary target that is a plain 0 or 1, so its Brier score counts a miss in full.
    """
    found = np.full(panel.rows, np.nan)
    for group in panel.groups:
        rows = slice(group.start, group.stop)
        found[rows] = latest_known(panel.labels[rows, place], panel.label_end[rows, place], panel.available_at[rows])
    return found


def latest_known(labels: npt.NDArray[np.floating], label_end: Instants, available_at: Instants) -> Values:
    """The label with the latest `label_end` at or before each instant, of equal ones the later row's.

    For a label over h bars at row t this is row t-h's, not row t-1's, which is still open at t. Rows without a
    label (NaN) are passed over.
    """
    labelled = np.flatnonzero(np.isfinite(labels))
    found = np.full(available_at.shape, np.nan)
    if not labelled.size:
        return found
    order = labelled[np.lexsort((labelled, label_end[labelled]))]
    latest = np.searchsorted(label_end[order], available_at, side="right") - 1
    known = latest >= 0
    found[known] = labels[order[latest[known]]]
    return found
