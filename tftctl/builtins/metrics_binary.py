"""Scores of probabilities against 0 and 1, by scikit-learn (SEMANTICS M4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tftctl.api import MetricInput
from tftctl.builtins.scoring import NAN, Score, is_constant

if TYPE_CHECKING:
    from tftctl.builtins.scoring import Array


ECE_BINS = 15


def _decided(scored: MetricInput) -> Array:
    return (scored.prediction >= scored.threshold).astype(float)


def accuracy() -> Score:
    """Share of rows on the right side of the threshold."""
    return lambda scored: float((_decided(scored) == scored.truth).mean()) if scored.truth.size else NAN


def _thresholded(name: str) -> Score:
    def score(scored: MetricInput) -> float:
        from sklearn import metrics

        if not (scored.truth == 1).any():
            return NAN
        return float(getattr(metrics, name)(scored.truth, _decided(scored), zero_division=0.0))

    return score


def precision() -> Score:
    """Share of true positives among those called positive; 0 where none is called."""
    return _thresholded("precision_score")


def recall() -> Score:
    """Share of the positives that are called."""
    return _thresholded("recall_score")


def f1() -> Score:
    """Harmonic mean of precision and recall."""
    return _thresholded("f1_score")


def mcc() -> Score:
    """Matthews correlation (1975); 0 where every row is called the same."""

    def score(scored: MetricInput) -> float:
        from sklearn.metrics import matthews_corrcoef

        return NAN if is_constant(scored.truth) else float(matthews_corrcoef(scored.truth, _decided(scored)))

    return score


def roc_auc() -> Score:
    """Area under the ROC curve."""

    def score(scored: MetricInput) -> float:
        from sklearn.metrics import roc_auc_score

        return NAN if is_constant(scored.truth) else float(roc_auc_score(scored.truth, scored.prediction))

    return score


def average_precision() -> Score:
    """Average precision; the base rate for predictions that say nothing."""

    def score(scored: MetricInput) -> float:
        from sklearn.metrics import average_precision_score

        if not (scored.truth == 1).any():
            return NAN
        return float(average_precision_score(scored.truth, scored.prediction))

    return score


def brier() -> Score:
    """Mean squared error of the probability (Brier 1950)."""
    return lambda scored: float(((scored.prediction - scored.truth) ** 2).mean()) if scored.truth.size else NAN


def expected_calibration_error() -> Score:
    """Mean gap between probability and frequency over 15 bins of equal width, weighted by rows (Naeini 2015)."""

    def score(scored: MetricInput) -> float:
        import numpy as np

        if not scored.truth.size:
            return NAN
        place = np.clip((scored.prediction * ECE_BINS).astype(int), 0, ECE_BINS - 1)
        gap = np.bincount(place, weights=scored.prediction - scored.truth, minlength=ECE_BINS)
        return float(np.abs(gap).sum() / scored.truth.size)

    return score
