"""Built-in metrics (SEMANTICS M4), by scikit-learn and SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tftctl.api import Metric, MetricInput, hookimpl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Score = Callable[[MetricInput], float]
ECE_BINS = 15
MIN_SYMBOLS = 5
NAN = float("nan")


def _decided(scored: MetricInput) -> Array:
    return (scored.prediction >= scored.threshold).astype(float)


def _one_class(scored: MetricInput) -> bool:
    return bool((scored.truth == scored.truth[0]).all()) if scored.truth.size else True


def _constant(values: Array) -> bool:
    return bool((values == values[0]).all()) if values.size else True


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

        return NAN if _one_class(scored) else float(matthews_corrcoef(scored.truth, _decided(scored)))

    return score


def roc_auc() -> Score:
    """Area under the ROC curve."""

    def score(scored: MetricInput) -> float:
        from sklearn.metrics import roc_auc_score

        return NAN if _one_class(scored) else float(roc_auc_score(scored.truth, scored.prediction))

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


def rmse() -> Score:
    """Root mean squared error of standardised values."""
    return lambda scored: float((((scored.prediction - scored.truth) ** 2).mean()) ** 0.5) if scored.truth.size else NAN


def mae() -> Score:
    """Mean absolute error of standardised values."""
    return lambda scored: float(abs(scored.prediction - scored.truth).mean()) if scored.truth.size else NAN


def rmse_raw() -> Score:
    """Root mean squared error in the target's unit."""

    def score(scored: MetricInput) -> float:
        gap = scored.prediction_raw - scored.truth_raw
        return float(((gap**2).mean()) ** 0.5) if gap.size else NAN

    return score


def mae_raw() -> Score:
    """Mean absolute error in the target's unit."""

    def score(scored: MetricInput) -> float:
        gap = abs(scored.prediction_raw - scored.truth_raw)
        return float(gap.mean()) if gap.size else NAN

    return score


def r2() -> Score:
    """Share of the variance explained, 1 - SSE/SST; below 0 where the mean is better."""

    def score(scored: MetricInput) -> float:
        from sklearn.metrics import r2_score

        if scored.truth.size < 2 or _constant(scored.truth):
            return NAN
        return float(r2_score(scored.truth, scored.prediction))

    return score


def spearman() -> Score:
    """Rank correlation over all rows."""

    def score(scored: MetricInput) -> float:
        if scored.truth.size < 3 or _constant(scored.truth):
            return NAN
        return _rank_correlation(scored.prediction_raw, scored.truth_raw)

    return score


def rank_ic() -> Score:
    """Mean over instants of the rank correlation across symbols, where at least five have a forecast.

    An instant with one and the same truth everywhere says nothing and is passed over; one and the same forecast
    everywhere is no skill, 0.
    """

    def score(scored: MetricInput) -> float:
        import numpy as np

        order = np.argsort(scored.available_at, kind="stable")
        _, starts, sizes = np.unique(scored.available_at[order], return_index=True, return_counts=True)
        found = []
        for size in np.unique(sizes[sizes >= MIN_SYMBOLS]):
            rows = order[starts[sizes == size][:, None] + np.arange(size)]
            found.append(_rank_correlations(scored.prediction_raw[rows], scored.truth_raw[rows]))
        correlations = np.concatenate(found) if found else np.empty(0)
        return float(correlations.mean()) if correlations.size else NAN

    return score


def _rank_correlations(prediction: Array, truth: Array) -> Array:
    """Spearman's correlation of each row of (instants, symbols) whose truth varies; 0 where the forecast does not."""
    import numpy as np
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=1) for values in (prediction, truth)]
    x, y = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    spread_x, spread_y = (x**2).sum(axis=1), (y**2).sum(axis=1)
    varies = spread_y > 0
    scale = np.sqrt(spread_x * spread_y)[varies]
    return np.divide((x * y).sum(axis=1)[varies], scale, out=np.zeros(scale.size), where=scale > 0)


def _rank_correlation(prediction: Array, truth: Array) -> float:
    from scipy.stats import spearmanr

    if _constant(prediction):
        return 0.0
    return float(spearmanr(prediction, truth).statistic)


@hookimpl
def tftctl_metrics() -> Iterable[Metric]:
    """Classification and regression metrics."""
    for name, make, summary, no_skill in (
        ("accuracy", accuracy, "share of right decisions at the stored threshold", 0.5),
        ("precision", precision, "share of right ones among the positives called", 0.0),
        ("recall", recall, "share of the positives that are called", 0.0),
        ("f1", f1, "harmonic mean of precision and recall", 0.0),
        ("roc_auc", roc_auc, "area under the ROC curve", 0.5),
        ("ap", average_precision, "average precision", 0.0),
    ):
        yield Metric(name=name, summary=summary, kinds=("binary",), direction="higher", lower=0.0, upper=1.0,
                     no_skill=no_skill, factory=make)  # fmt: skip
    yield Metric(name="mcc", summary="Matthews correlation", kinds=("binary",), direction="higher", lower=-1.0,
                 upper=1.0, no_skill=0.0, factory=mcc)  # fmt: skip
    yield Metric(name="brier", summary="mean squared error of the probability", kinds=("binary",),
                 direction="lower", lower=0.0, upper=1.0, no_skill=0.25, factory=brier)  # fmt: skip
    yield Metric(name="ece", summary="expected calibration error, 15 bins", kinds=("binary",), direction="lower",
                 lower=0.0, upper=1.0, no_skill=0.5, factory=expected_calibration_error)  # fmt: skip
    for name, make, summary in (
        ("rmse", rmse, "root mean squared error, standardised"),
        ("mae", mae, "mean absolute error, standardised"),
        ("rmse_raw", rmse_raw, "root mean squared error in the target's unit"),
        ("mae_raw", mae_raw, "mean absolute error in the target's unit"),
    ):
        yield Metric(name=name, summary=summary, kinds=("regression",), direction="lower", lower=0.0, upper=None,
                     no_skill=1.0, factory=make)  # fmt: skip
    yield Metric(name="r2", summary="share of the variance explained", kinds=("regression",), direction="higher",
                 lower=-1.0, upper=1.0, no_skill=0.0, factory=r2)  # fmt: skip
    for name, make, summary in (
        ("spearman", spearman, "rank correlation over all rows"),
        ("rank_ic", rank_ic, "mean rank correlation across symbols at one instant"),
    ):
        yield Metric(name=name, summary=summary, kinds=("regression",), direction="higher", lower=-1.0, upper=1.0,
                     no_skill=0.0, factory=make)  # fmt: skip
