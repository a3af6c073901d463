"""Built-in metrics (SEMANTICS M4); each module imports scikit-learn and SciPy when it scores."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tftctl.api import Metric, hookimpl
from tftctl.builtins import metrics_binary, metrics_quantiles, metrics_ranks, metrics_regression

# pinball loss of the constant median of a standard normal variable, (2 pi) ** -0.5: what a head without skill can have
MEDIAN_ALONE = 0.4


@hookimpl
def tftctl_metrics() -> Iterable[Metric]:
    """Scores of probabilities, values, ranks and quantiles."""
    yield from _binary()
    yield from _errors()
    yield from _ranks()
    yield from _quantiles()


def _binary() -> Iterable[Metric]:
    for name, make, summary, no_skill in (
        ("accuracy", metrics_binary.accuracy, "share of right decisions at the stored threshold", 0.5),
        ("precision", metrics_binary.precision, "share of right ones among the positives called", 0.0),
        ("recall", metrics_binary.recall, "share of the positives that are called", 0.0),
        ("f1", metrics_binary.f1, "harmonic mean of precision and recall", 0.0),
        ("roc_auc", metrics_binary.roc_auc, "area under the ROC curve", 0.5),
        ("ap", metrics_binary.average_precision, "average precision", 0.0),
    ):
        yield Metric(name=name, summary=summary, kinds=("binary",), direction="higher", lower=0.0, upper=1.0,
                     no_skill=no_skill, factory=make)  # fmt: skip
    yield Metric(name="mcc", summary="Matthews correlation", kinds=("binary",), direction="higher", lower=-1.0,
                 upper=1.0, no_skill=0.0, factory=metrics_binary.mcc)  # fmt: skip
    yield Metric(name="brier", summary="mean squared error of the probability", kinds=("binary",),
                 direction="lower", lower=0.0, upper=1.0, no_skill=0.25, factory=metrics_binary.brier)  # fmt: skip
    yield Metric(name="ece", summary="expected calibration error, 15 bins", kinds=("binary",), direction="lower",
                 lower=0.0, upper=1.0, no_skill=0.5, factory=metrics_binary.expected_calibration_error)  # fmt: skip


def _errors() -> Iterable[Metric]:
    for name, make, summary in (
        ("rmse", metrics_regression.rmse, "root mean squared error, standardised"),
        ("mae", metrics_regression.mae, "mean absolute error, standardised"),
        ("rmse_raw", metrics_regression.rmse_raw, "root mean squared error in the target's unit"),
        ("mae_raw", metrics_regression.mae_raw, "mean absolute error in the target's unit"),
    ):
        yield Metric(name=name, summary=summary, kinds=("regression",), direction="lower", lower=0.0, upper=None,
                     no_skill=1.0, factory=make)  # fmt: skip
    yield Metric(name="r2", summary="share of the variance explained", kinds=("regression",), direction="higher",
                 lower=-1.0, upper=1.0, no_skill=0.0, factory=metrics_regression.r2)  # fmt: skip


def _ranks() -> Iterable[Metric]:
    for name, make, summary in (
        ("spearman", metrics_ranks.spearman, "rank correlation over all rows"),
        ("rank_ic", metrics_ranks.rank_ic, "mean rank correlation across symbols at one instant"),
    ):
        yield Metric(name=name, summary=summary, kinds=("regression",), direction="higher", lower=-1.0, upper=1.0,
                     no_skill=0.0, factory=make)  # fmt: skip
    yield Metric(name="icir", summary="mean over deviation of rank_ic, on instants whose labels do not overlap",
                 kinds=("regression",), direction="higher", lower=-math.inf, upper=None, no_skill=0.0,
                 factory=metrics_ranks.icir)  # fmt: skip


def _quantiles() -> Iterable[Metric]:
    yield Metric(name="pinball", summary="mean pinball loss of the quantiles, standardised", kinds=("regression",),
                 direction="lower", lower=0.0, upper=None, no_skill=MEDIAN_ALONE, factory=metrics_quantiles.pinball,
                 needs_levels=True)  # fmt: skip
    yield Metric(name="coverage", summary="share of the truths within the outermost quantiles", kinds=("regression",),
                 direction="nominal", lower=0.0, upper=1.0, no_skill=0.0, factory=metrics_quantiles.coverage,
                 needs_levels=True)  # fmt: skip
