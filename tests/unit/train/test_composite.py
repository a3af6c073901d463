"""val_composite_score by hand (SEMANTICS M5)."""

from __future__ import annotations

import math

import pytest

from tftctl.core.config.training import CompositeConfig
from tftctl.core.errors import ConfigError
from tftctl.core.records import Metric
from tftctl.plugins import Registry, load_registry
from tftctl.train.composite import CompositeScore, normalised

TARGETS = {"target_b": "binary", "target_r": "regression", "target_r_rmse": "regression"}
PERIODS = ("1h", "4h")


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in metrics."""
    return load_registry()


def composite(registry: Registry, **weights: float) -> CompositeScore:
    """Keys are written with `_at_` for `@`."""
    named = {key.replace("_at_", "@"): weight for key, weight in weights.items()}
    return CompositeScore(CompositeConfig(named), TARGETS, PERIODS, registry)


def test_the_score_is_the_weighted_mean_of_normalised_values(registry: Registry) -> None:
    """M5: sum |w| s / sum |w|; s = x, (1 + x) / 2, 1 - x or 1 / (1 + x) by the metric's declared range."""
    score = composite(
        registry,
        val_target_b_roc_auc_at_1h=0.4,
        val_target_b_mcc_at_1h=0.3,
        val_target_b_brier_at_4h=-0.2,
        val_target_r_rmse_at_1h=-0.6,
        val_target_r_spearman_at_4h=0.1,
        val_target_r_r2_at_1h=0.5,
        val_loss_for_ckpt=-0.9,
    )
    values = {
        "val_target_b_roc_auc@1h": 0.7,
        "val_target_b_mcc@1h": -0.2,
        "val_target_b_brier@4h": 0.3,
        "val_target_r_rmse@1h": 1.5,
        "val_target_r_spearman@4h": 0.06,
        "val_target_r_r2@1h": -7.0,
        "val_loss_for_ckpt": 0.25,
        "val_target_b_f1@1h": 0.0,
    }
    want = 0.4 * 0.7 + 0.3 * 0.4 + 0.2 * 0.7 + 0.6 / 2.5 + 0.1 * 0.53 + 0.5 * 0.0 + 0.9 / 1.25
    assert score.score(values) == pytest.approx(want / 3.0)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("val_target_b_roc_auc@1h", -0.1),
        ("val_target_b_brier@1h", 0.1),
        ("val_target_r_rmse@1h", 0.1),
        ("val_target_r_r2@4h", -0.1),
        ("val_loss", 0.1),
        ("val_loss_for_ckpt", 1.0),
    ],
)
def test_a_weight_of_the_wrong_sign_is_a_configuration_error(registry: Registry, key: str, wrong: float) -> None:
    """M5: > 0 where higher is better, < 0 where lower is better; the message names the key."""
    with pytest.raises(ConfigError) as caught:
        CompositeScore(CompositeConfig({key: wrong}), TARGETS, PERIODS, registry)
    assert key in caught.value.message
    assert ("positive" if wrong < 0 else "negative") in caught.value.hint
    CompositeScore(CompositeConfig({key: -wrong}), TARGETS, PERIODS, registry)


@pytest.mark.parametrize("key", ["val_target_b_rocauc@1h", "val_target_b@1h", "val_target_b_roc_auc", "val_nonsense"])
def test_a_key_that_is_no_metric_is_a_configuration_error(registry: Registry, key: str) -> None:
    """M4: keys are val_<target>_<metric>@<period>."""
    with pytest.raises(ConfigError, match="is no metric key"):
        CompositeScore(CompositeConfig({key: 0.1}), TARGETS, PERIODS, registry)


@pytest.mark.parametrize(
    ("key", "weight", "fitting"),
    [("val_target_r_roc_auc@1h", 0.1, "rmse"), ("val_target_b_rmse@1h", -0.1, "roc_auc")],
)
def test_a_metric_of_the_other_kind_is_a_configuration_error(
    registry: Registry, key: str, weight: float, fitting: str
) -> None:
    """M5: it would be undefined for ever, and so removed as if the data were at fault."""
    with pytest.raises(ConfigError, match="is not") as caught:
        CompositeScore(CompositeConfig({key: weight}), TARGETS, PERIODS, registry)
    assert key in caught.value.message
    assert fitting in caught.value.hint


def test_a_misspelt_metric_comes_with_the_key_that_was_meant(registry: Registry) -> None:
    """M4: the nearest key of the trained targets."""
    with pytest.raises(ConfigError) as caught:
        CompositeScore(CompositeConfig({"val_target_r_rsme@4h": -0.1}), TARGETS, PERIODS, registry)
    assert "did you mean 'val_target_r_rmse@4h'?" in caught.value.hint


def test_the_wrong_sign_is_told_also_for_a_target_that_is_not_trained(registry: Registry) -> None:
    """M5: the file is wrong whatever is trained."""
    with pytest.raises(ConfigError):
        CompositeScore(CompositeConfig({"val_target_else_rmse@1h": 0.1}), TARGETS, PERIODS, registry)


def test_entries_of_targets_and_periods_not_in_the_data_are_removed(registry: Registry) -> None:
    """M5: once for the whole run; the weights of the others share the whole."""
    score = composite(
        registry,
        val_target_b_roc_auc_at_1h=0.4,
        val_target_b_roc_auc_at_1d=0.4,
        val_target_else_rmse_at_1h=-0.4,
    )
    assert score.removed == ["val_target_b_roc_auc@1d", "val_target_else_rmse@1h"]
    assert score.score({"val_target_b_roc_auc@1h": 0.9}) == pytest.approx(0.9)


def test_a_target_whose_name_ends_like_a_metric_is_found(registry: Registry) -> None:
    """M4: `val_target_r_rmse_mae@1h` is the mae of target_r_rmse, `rmse_raw` is not `raw`."""
    score = composite(registry, val_target_r_rmse_mae_at_1h=-1.0, val_target_r_rmse_raw_at_1h=-1.0)
    assert not score.removed
    assert {key: metric.name for key, metric in score.metrics.items() if metric} == {
        "val_target_r_rmse_mae@1h": "mae",
        "val_target_r_rmse_raw@1h": "rmse_raw",
    }


def test_without_any_entry_left_the_loss_decides(registry: Registry) -> None:
    """M5: a composite of nothing would make all checkpoints equal."""
    score = composite(registry, val_target_else_rmse_at_1h=-0.4)
    assert score.weights == {"val_loss_for_ckpt": -1.0}
    assert score.score({"val_loss_for_ckpt": 3.0}) == pytest.approx(0.25)


def test_a_value_that_the_data_leave_undefined_is_removed_for_the_whole_run(registry: Registry) -> None:
    """M5: a class that is absent: removed once, told once, and not taken back when a later epoch has it."""
    score = composite(registry, val_target_b_roc_auc_at_1h=0.5, val_target_r_rmse_at_1h=-0.5)
    values = {"val_target_b_roc_auc@1h": math.nan, "val_target_r_rmse@1h": 1.0}
    assert score.remove_undefined(values) == ["val_target_b_roc_auc@1h"]
    assert score.remove_undefined(values) == []
    assert score.score(values) == 0.5
    assert score.score({**values, "val_target_b_roc_auc@1h": 0.99}) == 0.5


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_scores_nothing_and_stays(registry: Registry, loss: float) -> None:
    """M5: undefined because of the predictions: the worst value, never removed: a network that diverges must
    not score as if its loss had not been asked for."""
    score = composite(registry, val_target_b_roc_auc_at_1h=0.5, val_loss_for_ckpt=-0.5)
    values = {"val_target_b_roc_auc@1h": 0.5, "val_loss_for_ckpt": loss}
    assert score.remove_undefined(values) == []
    assert score.score(values) == pytest.approx(0.25)


def test_every_built_in_metric_is_normalised_into_0_to_1_the_better_the_higher(registry: Registry) -> None:
    """M5: for all metrics that there are, over their declared ranges and beyond."""
    for name in registry.names("metric"):
        metric = registry.metric(name)
        if metric.direction == "nominal":
            continue
        lower, upper = max(metric.lower, -50.0), 50.0 if metric.upper is None else metric.upper
        steps = [lower + k * (upper - lower) / 10 for k in range(11)]
        found = [normalised(value, metric) for value in steps]
        assert all(0 <= value <= 1 for value in found)
        assert sorted(found, reverse=metric.direction == "lower") == found
        assert found[0 if metric.direction == "lower" else -1] == (1 if math.isfinite(metric.lower) else 101 / 102)
        assert 0 <= normalised(lower - 3, metric) <= 1
        assert 0 <= normalised(upper + 3, metric) <= 1


def test_a_nominal_metric_is_best_at_what_its_levels_promise(registry: Registry) -> None:
    """M5: coverage -> 1 - |x - nominal|, nominal = last level - first level of this target's head."""
    levels = {"target_r": [0.05, 0.5, 0.95], "target_r_rmse": [0.25, 0.5, 0.75]}
    weights = {"val_target_r_coverage@1h": 0.5, "val_target_r_rmse_coverage@4h": 1.5, "val_target_r_pinball@1h": -2.0}
    score = CompositeScore(CompositeConfig(weights), TARGETS, PERIODS, registry, levels)
    values = {
        "val_target_r_coverage@1h": 0.8,
        "val_target_r_rmse_coverage@4h": 0.9,
        "val_target_r_pinball@1h": 0.25,
    }
    want = 0.5 * (1 - 0.1) + 1.5 * (1 - 0.4) + 2.0 / 1.25
    assert score.score(values) == pytest.approx(want / 4)
    assert score.score({**values, "val_target_r_coverage@1h": 1.0}) == pytest.approx(want / 4)  # as far above
    with pytest.raises(ConfigError, match=r"coverage@1h: -0\.5") as caught:
        CompositeScore(CompositeConfig({"val_target_r_coverage@1h": -0.5}), TARGETS, PERIODS, registry, levels)
    assert caught.value.hint.endswith("has to be positive")


@pytest.mark.parametrize(("metric", "weight"), [("coverage", 0.5), ("pinball", -0.5)])
def test_quantile_metrics_of_a_target_without_quantiles_are_refused(
    registry: Registry, metric: str, weight: float
) -> None:
    """M5: not removed as if the data were at fault: the configuration is; the hint has the losses that help."""
    config = CompositeConfig({f"val_target_r_{metric}@1h": weight})
    with pytest.raises(ConfigError, match="the loss of target_r forecasts no quantiles") as caught:
        CompositeScore(config, TARGETS, PERIODS, registry, {"target_r_rmse": [0.5]})
    assert {"gaussian", "quantile", "student_t"} <= set(caught.value.hint.rpartition(": ")[2].split(", "))
    elsewhere = CompositeConfig({f"val_target_else_{metric}@1h": weight})  # not trained: left out like any other
    assert CompositeScore(elsewhere, TARGETS, PERIODS, registry).removed == [f"val_target_else_{metric}@1h"]


@pytest.mark.parametrize(
    ("value", "want"), [(0, 0.5), (1, 0.75), (-1, 0.25), (3, 0.875), (math.inf, 1), (-math.inf, 0)]
)
def test_an_unbounded_score_is_squashed(registry: Registry, value: float, want: float) -> None:
    """M5 names no rule for scores without bounds: (1 + x / (1 + |x|)) / 2, the companion of 1 / (1 + x)."""
    assert normalised(value, registry.metric("icir")) == want


def test_a_metric_of_a_range_of_its_own_is_mapped_onto_0_to_1() -> None:
    """M5: a plugin's range [2, 6]."""
    metric = Metric(name="m", summary="", kinds=("regression",), direction="lower", lower=2, upper=6, no_skill=6,
                    factory=lambda: None)  # fmt: skip
    assert [normalised(value, metric) for value in (2, 3, 6, 9)] == [1, 0.75, 0, 0]
