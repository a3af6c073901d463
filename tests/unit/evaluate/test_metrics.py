"""Built-in metrics against scikit-learn, SciPy and plain loops (SEMANTICS M4, M5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from tftctl.core.records import MetricInput
from tftctl.plugins import Registry, load_registry, resolve
from tftctl.train.scores import Forecasts, metric_key, score_all, score_one

SEEDS = range(4)
BINARY = ("accuracy", "precision", "recall", "f1", "mcc", "roc_auc", "ap", "brier", "ece")
REGRESSION = ("rmse", "mae", "rmse_raw", "mae_raw", "r2", "spearman", "rank_ic", "icir")
QUANTILES = ("pinball", "coverage")
LEVELS = (0.05, 0.25, 0.5, 0.9)
HORIZON = 3  # instants that a label of `values` covers


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in metrics."""
    return load_registry()


def scored(prediction: Any, truth: Any, *, threshold: float = 0.5, times: Any = None, unit: float = 1.0) -> MetricInput:
    """What a metric sees; raw values are `unit` times the standardised ones, plus 3."""
    prediction, truth = np.asarray(prediction, float), np.asarray(truth, float)
    size = truth.size
    times = np.arange(size) if times is None else np.asarray(times)
    symbols = np.array([f"S{number % 50}" for number in range(size)])
    raw = prediction * unit + 3, truth * unit + 3
    return MetricInput(prediction, truth, *raw, threshold, times, symbols, label_end=times + HORIZON)


def chances(seed: int, size: int = 700) -> MetricInput:
    """Probabilities with ties, labels that follow them a little, a threshold that is no 0.5."""
    rng = np.random.default_rng(seed)
    probability = np.round(rng.beta(2, 3, size), 2)
    return scored(probability, rng.random(size) < 0.2 + 0.5 * probability, threshold=0.37)


def values(seed: int, size: int = 700) -> MetricInput:
    """Forecasts with ties that follow the truth a little, at 70 instants."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(size)
    return scored(
        np.round(0.3 * truth + rng.standard_normal(size), 1), truth, times=rng.integers(0, 70, size), unit=0.02
    )


def ranges(seed: int, size: int = 700) -> MetricInput:
    """Quantiles at four levels that are too narrow, some of which a truth meets exactly."""
    given = values(seed, size)
    steps = np.random.default_rng(seed + 50).exponential(0.4, (size, len(LEVELS)))
    quantiles = given.prediction[:, None] - 1.0 + steps.cumsum(axis=1)
    quantiles[::9, 0], quantiles[4::9, -1] = given.truth[::9], given.truth[4::9]
    return replace(given, levels=LEVELS, quantiles=np.sort(quantiles, axis=1))


def score(registry: Registry, name: str, given: MetricInput) -> float:
    """One metric, as a training calls it."""
    metric = registry.metric(name)
    return score_one(metric, resolve(metric.factory)(), given)


def naive_ece(given: MetricInput) -> float:
    """Bins [k/15, (k+1)/15), the last one closed: share of rows times |mean probability - frequency|."""
    total = 0.0
    for k in range(15):
        rows = [
            (p, y)
            for p, y in zip(given.prediction, given.truth, strict=True)
            if k / 15 <= p < (k + 1) / 15 or (k == 14 and p == 1)
        ]
        if rows:
            gap = sum(p for p, _ in rows) / len(rows) - sum(y for _, y in rows) / len(rows)
            total += len(rows) / given.truth.size * abs(gap)
    return total


def naive_rank_ic(given: MetricInput) -> float:
    """Mean of SciPy's Spearman over the instants with at least five symbols."""
    found = []
    for instant in sorted(set(given.available_at.tolist())):
        rows = given.available_at == instant
        truth, prediction = given.truth_raw[rows], given.prediction_raw[rows]
        if rows.sum() < 5 or np.ptp(truth) == 0:
            continue
        found.append(stats.spearmanr(prediction, truth).statistic if np.ptp(prediction) else 0.0)
    return float(np.mean(found))


def naive_icir(given: MetricInput) -> float:
    """Walk through the instants; one that lies before the end of the last counted one's labels is stepped over."""
    found: list[float] = []
    free = -math.inf
    for instant in sorted(set(given.available_at.tolist())):
        rows = given.available_at == instant
        truth, prediction = given.truth_raw[rows], given.prediction_raw[rows]
        if instant < free or rows.sum() < 5 or np.ptp(truth) == 0:
            continue
        found.append(stats.spearmanr(prediction, truth).statistic if np.ptp(prediction) else 0.0)
        free = max(given.label_end[rows])
    return float(np.mean(found) / np.std(found, ddof=1))


def naive_coverage(given: MetricInput) -> float:
    """Count the truths from the first to the last quantile."""
    inside = [low <= y <= high for y, (low, *_, high) in zip(given.truth, given.quantiles, strict=True)]
    return sum(inside) / len(inside)


def decided(given: MetricInput) -> np.ndarray:
    """1 where the probability reaches the threshold."""
    return (given.prediction >= given.threshold).astype(int)


REFERENCES: dict[str, Callable[[MetricInput], float]] = {
    "accuracy": lambda s: sk.accuracy_score(s.truth, decided(s)),
    "precision": lambda s: sk.precision_score(s.truth, decided(s)),
    "recall": lambda s: sk.recall_score(s.truth, decided(s)),
    "f1": lambda s: sk.f1_score(s.truth, decided(s)),
    "mcc": lambda s: sk.matthews_corrcoef(s.truth, decided(s)),
    "roc_auc": lambda s: (
        stats.mannwhitneyu(s.prediction[s.truth == 1], s.prediction[s.truth == 0]).statistic
        / ((s.truth == 1).sum() * (s.truth == 0).sum())
    ),
    "ap": lambda s: sk.average_precision_score(s.truth, s.prediction),
    "brier": lambda s: sk.brier_score_loss(s.truth, s.prediction),
    "ece": naive_ece,
    "rmse": lambda s: sk.root_mean_squared_error(s.truth, s.prediction),
    "mae": lambda s: sk.mean_absolute_error(s.truth, s.prediction),
    "rmse_raw": lambda s: sk.root_mean_squared_error(s.truth_raw, s.prediction_raw),
    "mae_raw": lambda s: sk.mean_absolute_error(s.truth_raw, s.prediction_raw),
    "r2": lambda s: sk.r2_score(s.truth, s.prediction),
    "spearman": lambda s: stats.spearmanr(s.prediction, s.truth).statistic,
    "rank_ic": naive_rank_ic,
    "icir": naive_icir,
    "pinball": lambda s: float(
        np.mean([sk.mean_pinball_loss(s.truth, s.quantiles[:, k], alpha=s.levels[k]) for k in range(len(s.levels))])
    ),
    "coverage": naive_coverage,
}


def test_every_built_in_metric_has_a_reference_here(registry: Registry) -> None:
    """M4: nothing is untested."""
    assert set(registry.names("metric")) >= set(REFERENCES) == {*BINARY, *REGRESSION, *QUANTILES}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_metrics_equal_their_reference(registry: Registry, name: str, seed: int) -> None:
    """M4: on random probabilities with ties, at a threshold of 0.37."""
    given = chances(seed)
    assert score(registry, name, given) == pytest.approx(REFERENCES[name](given), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metrics_equal_their_reference(registry: Registry, name: str, seed: int) -> None:
    """M4: standardised values, `_raw` in the target's unit."""
    given = values(seed)
    assert score(registry, name, given) == pytest.approx(REFERENCES[name](given), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", QUANTILES)
def test_metrics_of_quantiles_equal_their_reference(registry: Registry, name: str, seed: int) -> None:
    """M4: of standardised quantiles; a truth on the outermost quantile is covered."""
    given = ranges(seed)
    assert score(registry, name, given) == pytest.approx(REFERENCES[name](given), rel=1e-12)


@pytest.mark.parametrize("name", QUANTILES)
def test_metrics_of_quantiles_are_undefined_without_any(registry: Registry, name: str) -> None:
    """M4: no levels; and one level alone covers nothing."""
    assert math.isnan(score(registry, name, values(0)))
    alone = replace(values(0), levels=(0.5,), quantiles=values(0).prediction[:, None])
    assert math.isnan(score(registry, "coverage", alone))
    assert score(registry, "pinball", alone) == pytest.approx(score(registry, "mae", values(0)) / 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", QUANTILES)
def test_a_quantile_that_is_not_finite_scores_as_no_skill(registry: Registry, name: str, bad: float) -> None:
    """M5: the point may be finite while a quantile is not."""
    given = ranges(0)
    given.quantiles[7, 1] = bad
    assert score(registry, name, given) == registry.metric(name).no_skill
    assert score(registry, "mae", given) == score(registry, "mae", values(0))


def test_the_no_skill_pinball_is_that_of_a_median_alone(registry: Registry) -> None:
    """M5: no worse than a constant median of a standard normal target, whose pinball loss is the density at 0."""
    assert registry.metric("pinball").no_skill == pytest.approx(stats.norm.pdf(0), rel=0.01)


def test_icir_counts_no_label_twice(registry: Registry) -> None:
    """M4: non-overlapping instants: of labels over three instants every third one counts, the first included."""
    rng = np.random.default_rng(5)
    times = np.repeat(np.arange(40), 6)
    truth = rng.standard_normal(240)
    prediction = 0.4 * truth + rng.standard_normal(240)
    given = scored(prediction, truth, times=times)
    spoilt = np.where(times % HORIZON == 0, prediction, -9 * truth)
    assert score(registry, "icir", scored(spoilt, truth, times=times)) == score(registry, "icir", given)
    thinned = times % HORIZON == 0
    kept = [stats.spearmanr(prediction[times == t], truth[times == t]).statistic for t in np.unique(times[thinned])]
    assert score(registry, "icir", given) == pytest.approx(np.mean(kept) / np.std(kept, ddof=1))


def test_icir_follows_the_latest_label_of_an_instant(registry: Registry) -> None:
    """M4: one symbol whose label ends later holds up the next instant."""
    rng = np.random.default_rng(6)
    times = np.repeat(np.arange(60), 5)
    truth, noise = rng.standard_normal((2, 300))
    given = replace(scored(truth + noise, truth, times=times), label_end=times + 1)
    late = replace(given, label_end=np.where(np.arange(300) % 5 == 3, times + 7, times + 1))
    assert score(registry, "icir", late) == pytest.approx(naive_icir(late), rel=1e-12)
    assert score(registry, "icir", late) != score(registry, "icir", given)


def test_icir_needs_three_instants_and_when_labels_end(registry: Registry) -> None:
    """M4: a deviation of two is no deviation; without label_end nobody knows what overlaps."""
    rng = np.random.default_rng(7)
    times = np.repeat([0, 3, 6], 5)
    truth, noise = rng.standard_normal((2, 15))
    given = scored(truth + noise, truth, times=times)
    assert math.isfinite(score(registry, "icir", given))
    assert math.isnan(score(registry, "icir", scored(truth + noise, truth, times=np.repeat([0, 2, 6], 5))))
    assert math.isnan(score(registry, "icir", replace(given, label_end=None)))


def test_icir_of_forecasts_that_are_always_right_or_never_say_anything(registry: Registry) -> None:
    """M5: without any deviation the ratio has its limit; no skill is 0."""
    truth = np.tile(np.arange(6.0), 4)
    times = np.repeat(HORIZON * np.arange(4), 6)
    assert score(registry, "icir", scored(truth, truth, times=times)) == math.inf
    assert score(registry, "icir", scored(-truth, truth, times=times)) == -math.inf
    assert score(registry, "icir", scored(0 * truth, truth, times=times)) == 0


def test_raw_errors_are_in_the_targets_unit(registry: Registry) -> None:
    """M4: rmse_raw = unit x rmse."""
    given = values(9)
    for name in ("rmse", "mae"):
        assert score(registry, f"{name}_raw", given) == pytest.approx(0.02 * score(registry, name, given))


def test_the_threshold_itself_counts_as_positive(registry: Registry) -> None:
    """M2: threshold metrics use the stored threshold."""
    given = scored([0.3, 0.37, 0.371, 0.9], [0, 1, 1, 1], threshold=0.37)
    assert score(registry, "accuracy", given) == 1
    assert score(registry, "accuracy", scored([0.3, 0.37, 0.371, 0.9], [0, 1, 1, 1], threshold=0.5)) == 0.5


def test_calibration_error_of_certain_and_of_wrong_forecasts(registry: Registry) -> None:
    """M4: a probability of 1 lies in the last bin."""
    assert score(registry, "ece", scored([0, 1, 1, 0], [0, 1, 1, 0])) == 0
    assert score(registry, "ece", scored([1, 0, 0], [0, 1, 1])) == 1


def test_rank_ic_needs_five_symbols(registry: Registry) -> None:
    """M4: an instant with four is passed over."""
    rng = np.random.default_rng(0)
    times = np.repeat([1, 2], [5, 4])
    truth = rng.standard_normal(9)
    good_then_bad = np.concatenate([truth[:5], -truth[5:]])
    assert score(registry, "rank_ic", scored(good_then_bad, truth, times=times)) == pytest.approx(1)
    assert math.isnan(score(registry, "rank_ic", scored(truth[:8], truth[:8], times=np.repeat([1, 2], 4))))


def test_rank_ic_does_not_depend_on_the_order_of_the_rows(registry: Registry) -> None:
    """M4: a cross-section is a set."""
    given = values(3)
    order = np.random.default_rng(1).permutation(given.truth.size)
    shuffled = scored(given.prediction[order], given.truth[order], times=given.available_at[order], unit=0.02)
    assert score(registry, "rank_ic", shuffled) == pytest.approx(score(registry, "rank_ic", given), rel=1e-12)


def test_rank_ic_is_blind_to_what_all_symbols_share(registry: Registry) -> None:
    """M4: cross-sectional: a common shift per instant changes nothing, the pooled correlation it does."""
    rng = np.random.default_rng(2)
    times = np.repeat(np.arange(60), 8)
    truth = rng.standard_normal(480)
    prediction = 0.5 * truth + rng.standard_normal(480)
    shift = np.repeat(rng.standard_normal(60) * 10, 8)
    before, after = scored(prediction, truth, times=times), scored(prediction + shift, truth, times=times)
    assert score(registry, "rank_ic", after) == pytest.approx(score(registry, "rank_ic", before))
    assert abs(score(registry, "spearman", after)) < abs(score(registry, "spearman", before))


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "mcc", "roc_auc", "ap"])
def test_an_absent_class_leaves_a_metric_undefined(registry: Registry, name: str) -> None:
    """M5: undefined because of the data: NaN, to be removed from the composite."""
    assert math.isnan(score(registry, name, scored([0.2, 0.7, 0.9], [0, 0, 0])))
    if name in ("mcc", "roc_auc"):
        assert math.isnan(score(registry, name, scored([0.2, 0.7, 0.9], [1, 1, 1])))


@pytest.mark.parametrize("name", ["r2", "spearman", "rank_ic", "icir"])
def test_a_constant_truth_leaves_a_correlation_undefined(registry: Registry, name: str) -> None:
    """M5: undefined because of the data."""
    given = scored(np.arange(24.0), np.full(24, 0.1), times=np.repeat([0, 3, 6, 9], 6))
    assert math.isnan(score(registry, name, given))


@pytest.mark.parametrize("name", [*BINARY, *REGRESSION, *QUANTILES])
def test_no_rows_leave_everything_undefined(registry: Registry, name: str) -> None:
    """M5: no data."""
    empty = replace(scored([], []), levels=LEVELS, quantiles=np.empty((0, 4)))
    assert math.isnan(score(registry, name, empty))


@pytest.mark.parametrize(
    ("name", "want"),
    [("precision", 0), ("recall", 0), ("f1", 0), ("mcc", 0), ("roc_auc", 0.5), ("ap", 0.25), ("brier", 0.1975)],
)
def test_a_constant_probability_is_no_skill_and_defined(registry: Registry, name: str, want: float) -> None:
    """M5: undefined because of the predictions: the no-skill value, never removed."""
    given = scored(np.full(8, 0.15), [1, 0, 0, 0, 1, 0, 0, 0])
    assert score(registry, name, given) == pytest.approx(want)


@pytest.mark.parametrize(("name", "want"), [("spearman", 0), ("rank_ic", 0), ("icir", 0)])
def test_a_constant_forecast_is_no_skill_and_defined(registry: Registry, name: str, want: float) -> None:
    """M5: the same for correlations."""
    given = scored(np.full(18, 0.3), np.arange(18.0), times=np.repeat([0, 3, 6], 6))
    assert score(registry, name, given) == want


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", [*BINARY, *REGRESSION])
def test_a_forecast_that_is_not_finite_scores_as_no_skill(registry: Registry, name: str, bad: float) -> None:
    """M5: a network that diverges is never removed from the score."""
    given = chances(0) if name in BINARY else values(0)
    given.prediction[5] = bad
    assert score(registry, name, given) == registry.metric(name).no_skill


@pytest.mark.parametrize("name", [*BINARY, *REGRESSION])
def test_the_best_and_the_no_skill_value_lie_in_the_declared_range(registry: Registry, name: str) -> None:
    """M5: a perfect forecast reaches the better end."""
    metric = registry.metric(name)
    given = chances(1) if name in BINARY else values(1)
    perfect = scored(given.truth, given.truth, threshold=0.37, times=given.available_at)
    best = metric.upper if metric.direction == "higher" else metric.lower
    assert score(registry, name, perfect) == pytest.approx(math.inf if best is None else best)
    assert metric.lower <= metric.no_skill <= (metric.upper if metric.upper is not None else math.inf)


def test_scores_are_made_per_target_and_period_for_the_targets_kind(registry: Registry) -> None:
    """M4: keys val_<target>_<metric>@<period>; each period by itself, with its own threshold."""
    given, other = chances(0), values(0)
    size = given.truth.size
    period = np.where(np.arange(size) % 3 == 0, "4h", "1h")

    def forecasts(name: str, kind: str, given: MetricInput) -> Forecasts:
        return Forecasts(
            name, kind, given.symbol, period, np.arange(size), given.available_at, np.arange(size) + 1,
            given.prediction, given.truth, given.prediction_raw, given.truth_raw, {"1h": 0.3, "4h": 0.6},
            given.levels, given.quantiles, given.quantiles,
        )  # fmt: skip

    third = ranges(1)
    heads = [("target_b", "binary", given), ("target_r", "regression", other), ("target_q", "regression", third)]
    found = score_all([forecasts(*head) for head in heads], registry)
    assert {(t, m) for t, _, m in found} == {
        *(("target_b", name) for name in BINARY),
        *(("target_r", name) for name in REGRESSION),
        *(("target_q", name) for name in (*REGRESSION, *QUANTILES)),
    }
    for name, threshold in (("1h", 0.3), ("4h", 0.6)):
        rows = period == name
        assert found["target_b", name, "f1"] == sk.f1_score(given.truth[rows], given.prediction[rows] >= threshold)
        covered = (third.quantiles[:, 0] <= third.truth) & (third.truth <= third.quantiles[:, -1])
        assert found["target_q", name, "coverage"] == pytest.approx(covered[rows].mean())
        assert found["target_r", name, "mae"] == pytest.approx(abs(other.prediction - other.truth)[rows].mean())
    assert metric_key("target_r", "mae", "4h") == "val_target_r_mae@4h"
