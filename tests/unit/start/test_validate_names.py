"""Metrics and losses that the configuration names, against the kind of their target (SEMANTICS M4, M5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry
from tftctl.start.scaffold import create_workspace
from tftctl.start.validate import validate_files

# what the built-in metrics and losses serve, as SEMANTICS M4 lists them
BINARY = {"f1", "accuracy", "precision", "recall", "roc_auc", "ap", "brier", "ece", "mcc"}
REGRESSION = {"rmse", "mae", "rmse_raw", "mae_raw", "r2", "spearman", "rank_ic", "icir", "pinball", "coverage"}


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    """A workspace with one binary target and one of regression."""
    create_workspace(tmp_path)
    (tmp_path / "configs" / "features.yaml").write_text(
        "periods: [1h]\nindicators: [rsi]\ncontext: {}\ntargets: [target_logreturn, target_drawdown_prob]\n"
    )
    (tmp_path / "configs" / "weights_config.yaml").write_text("one: {target_logreturn: 1}\n")
    (tmp_path / "configs" / "model_config.yaml").write_text("targets: [target_logreturn]\n")
    (tmp_path / "configs" / "composite_score.yaml").write_text("val_loss_for_ckpt: -1\n")
    return Workspace(tmp_path)


def problems(made: Workspace, name: str, text: str) -> list[tuple[str, str, str]]:
    """Key, what was given and what is allowed of each problem, where `text` is the only file that has any."""
    (made.configs / f"{name}.yaml").write_text(text)
    found = validate_files(made, load_registry())
    assert all(Path(problem.file).stem == name and "\n" not in str(problem) for problem in found.problems)
    return [(problem.key, problem.given, problem.allowed) for problem in found.problems]


def listed(allowed: str) -> set[str]:
    """The names after the colon."""
    return set(allowed.rpartition(": ")[2].split(", "))


@pytest.mark.parametrize(
    ("key", "kind", "serving"),
    [
        ("val_target_logreturn_roc_auc@1h", "regression", REGRESSION),
        ("val_target_drawdown_prob_rmse@1h", "binary", BINARY),
        ("val_target_drawdown_prob_mae_raw@1h", "binary", BINARY),
    ],
)
def test_a_metric_of_the_other_kind(made: Workspace, key: str, kind: str, serving: set[str]) -> None:
    """Said with the metrics that serve the target, in the score and as the value that chooses checkpoints."""
    sign = "" if key.endswith("roc_auc@1h") else "-"
    ((where, given, allowed),) = problems(made, "composite_score", f"{key}: {sign}1\n")
    assert where == key
    assert given.endswith(f"which is {kind}")
    assert allowed.startswith(f"for {kind} targets: ")
    assert serving <= listed(allowed)
    assert not (BINARY | REGRESSION) - serving & listed(allowed)
    assert problems(made, "composite_score", f"{key}: {sign}1\nval_loss: -1\n") == [(where, given, allowed)]


def test_a_metric_that_there_is_not(made: Workspace) -> None:
    """Names of the other kind are not offered."""
    ((_, given, allowed),) = problems(made, "composite_score", "val_target_drawdown_prob_sharpe@1h: 1\n")
    assert given == "'sharpe' is no metric of a binary target"
    assert listed(allowed) >= BINARY
    assert not REGRESSION & listed(allowed)
    ((_, given, allowed),) = problems(made, "composite_score", "val_target_logreturn_rsme_raw@1h: -1\n")
    assert (given, allowed) == ("'rsme_raw' is no metric of a regression target", "did you mean 'rmse_raw'?")


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        ("val_target_logreturn_f1@1h", "f1 is not for target_logreturn, which is regression"),
        ("val_target_logretrun_rmse@1h", "'target_logretrun' is no target of configs/features.yaml"),
        ("val_rmse", "'val_rmse' is no metric key"),
    ],
)
def test_the_value_that_chooses_checkpoints(made: Workspace, monitor: str, words: str) -> None:
    """`monitor` of the model's configuration."""
    text = "targets: [target_logreturn]\nmonitor_mode: min\nmonitor: "
    ((where, given, allowed),) = problems(made, "model_config", f"{text}{monitor!r}\n")
    assert (where, given) == ("monitor", words)
    assert allowed


@pytest.mark.parametrize(
    "monitor", ["val_composite_score", "val_loss", "val_target_logreturn_loss", "val_target_logreturn_rmse@1h"]
)
def test_values_that_may_choose_checkpoints(made: Workspace, monitor: str) -> None:
    """No problem."""
    assert problems(made, "model_config", f"targets: [target_logreturn]\nmonitor: {monitor!r}\n") == []


def test_losses(made: Workspace) -> None:
    """A loss of the other kind, one that there is not, and one for a target that there is not."""
    head = "targets: [target_logreturn, target_drawdown_prob]\n"
    ((where, given, allowed),) = problems(made, "model_config", head + "losses: {target_logreturn: bce}\n")
    assert where == "losses.target_logreturn"
    assert given == "bce is not for target_logreturn, which is regression"
    assert {"mse", "smooth_l1"} <= listed(allowed) and "bce" not in listed(allowed)
    found = problems(made, "model_config", head + "losses: {target_logretrun: {name: msee}}\n")
    assert [given for _, given, _ in found] == [
        "'target_logretrun' is no target of configs/features.yaml",
        "'msee' is no loss",
    ]


@pytest.mark.parametrize(
    ("choice", "given", "allowed"),
    [
        ("{name: huber, delt: 1}", "unexpected keyword argument 'delt'", "its options: delta"),
        ("{name: huber, delta: 0}", "delta is 0, not a number above 0", "its options: delta"),
        ("{name: quantile, levels: [0.1, 0.9]}", "0.5 must be among them", "its options: levels"),
        ("{name: student_t, levels: [0.9, 0.1]}", "they must rise", "its options: levels, min_scale"),
    ],
)
def test_options_of_a_loss(made: Workspace, choice: str, given: str, allowed: str) -> None:
    """Said before a training is started."""
    text = f"targets: [target_logreturn]\nlosses: {{target_logreturn: {choice}}}\n"
    ((where, found, hint),) = problems(made, "model_config", text)
    assert (where, hint) == ("losses.target_logreturn", allowed)
    assert found.endswith(given) or given in found


def test_losses_that_fit(made: Workspace) -> None:
    """By name, and with options."""
    head = "targets: [target_logreturn, target_drawdown_prob]\n"
    for regression, binary in (
        ("huber", "focal"),
        ("{name: quantile, levels: [0.05, 0.5, 0.95]}", "{name: focal, gamma: 1}"),
    ):
        text = f"losses: {{target_logreturn: {regression}, target_drawdown_prob: {binary}}}\n"
        assert problems(made, "model_config", head + text) == []


@pytest.fixture
def with_quantiles(made: Workspace) -> Workspace:
    """The same with a quantile head."""
    (made.configs / "model_config.yaml").write_text(
        "targets: [target_logreturn]\nlosses: {target_logreturn: {name: quantile, levels: [0.2, 0.5]}}\n"
    )
    return made


@pytest.mark.parametrize(("weight", "allowed"), [("0.5", []), ("-0.5", ["above 0: nearer to what the levels promise"])])
def test_the_weight_of_a_nominal_metric_is_above_0(with_quantiles: Workspace, weight: str, allowed: list[str]) -> None:
    """M5: coverage is better the nearer it is to its nominal value."""
    found = problems(with_quantiles, "composite_score", f"val_target_logreturn_coverage@1h: {weight}\n")
    assert [hint.removeprefix("its weight must be ").removesuffix(" is better") for _, _, hint in found] == allowed


def test_a_score_of_quantiles_where_the_loss_forecasts_none(made: Workspace) -> None:
    """M5: what `train` would refuse, from the losses of model_config.yaml."""
    pinball = "val_target_logreturn_pinball@1h"
    ((where, given, allowed),) = problems(made, "composite_score", f"{pinball}: -1\n")
    assert (where, given) == (pinball, "the loss of target_logreturn forecasts no quantiles")
    assert listed(allowed) >= {"gaussian", "quantile", "student_t"} and "mse" not in listed(allowed)
    (made.configs / "composite_score.yaml").write_text("val_loss: -1\n")
    text = f"targets: [target_logreturn]\nmonitor_mode: min\nmonitor: {pinball!r}\nlosses: {{target_logreturn: %s}}\n"
    ((where, given, _),) = problems(made, "model_config", text % "huber")
    assert (where, given) == ("monitor", "the loss of target_logreturn forecasts no quantiles")
    assert problems(made, "model_config", text % "student_t") == []


def test_coverage_cannot_choose_checkpoints(made: Workspace) -> None:
    """M5: it is best at its nominal value."""
    text = "targets: [target_logreturn]\nlosses: {target_logreturn: gaussian}\nmonitor: "
    ((where, given, _),) = problems(made, "model_config", f"{text}'val_target_logreturn_coverage@1h'\n")
    assert (where, given) == ("monitor", "coverage has no better end")
