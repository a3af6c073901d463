"""What `configs/model_config.yaml` and `weights_config.yaml` refuse, and which value may choose checkpoints."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import WeightsConfig
from tftctl.core.errors import ConfigError, UsageError
from tftctl.model.network import NetworkShape
from tftctl.plugins import load_registry
from tftctl.train.device import choose_device, looking_batch
from tftctl.train.fit import limit_steps
from tftctl.train.monitor import check_monitor
from tftctl.train.stages import planned, whole_training

KINDS = {"target_b": "binary", "target_r": "regression"}
PERIODS = ("1h", "4h")
WEIGHTS = WeightsConfig({"stage_1": {"target_x": 1.0}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"targets": ["target_a", "target_a"]}, "'target_a' is given twice"),
        ({"symbols": ["AAA", "BBB", "AAA"]}, "'AAA' is given twice"),
        ({"periods": ["1h", "1h"]}, "'1h' is given twice"),
        ({"reals": ["rsi", "rsi"]}, "'rsi' is given twice"),
        ({"symbols": []}, "at least 1 item"),
        ({"periods": []}, "at least 1 item"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 2**32}, "less than or equal to 4294967295"),
        ({"precision": "16-true"}, "'bf16-mixed' or '16-mixed'"),
        ({"categories": {"period": ["1w"]}}, "'symbol'"),
        ({"unseen": "ignore"}, "'exclude', 'error' or 'pooled'"),
        ({"unfreeze_at_epoch": 3}, "needs freeze"),
        ({"ema_decay": 1.0}, "less than 1"),
        ({"top_k": 0, "save_last": False}, "keeps no checkpoint at all"),
        ({"losses": {"target_a": {"beta": 2}}}, "losses.target_a needs the name of a loss"),
        ({"hidden_size": 5, "attention_head_size": 2}, "multiple of attention_head_size"),
        ({"max_prediction_length": 2}, "should be 1"),
        ({"val_ratio": 0.5, "test_ratio": 0.5}, "leave nothing to train on"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(values: dict[str, Any], message: str) -> None:
    """DESIGN 7: before anything is read."""
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(values)


def test_a_stage_without_targets_is_refused() -> None:
    """It would weigh every target 1, which an empty map does not say."""
    with pytest.raises(ValidationError, match=r"stage_1\n.*names no target"):
        WeightsConfig({"stage_1": {}})


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("val_composite_score", "max"),
        ("val_loss", "min"),
        ("val_loss_for_ckpt", "min"),
        ("val_target_r_loss", "min"),
        ("train_loss", "min"),
        ("train_target_b_loss", "min"),
        ("val_target_b_roc_auc@1h", "max"),
        ("val_target_b_brier@4h", "min"),
    ],
)
def test_the_monitored_value_is_chosen_from_its_better_end(key: str, mode: str) -> None:
    """M5's rule for signs: `monitor: val_loss` beside the default `max` would keep the worst checkpoints."""
    wrong = {"max": "min", "min": "max"}[mode]
    check_monitor(ModelConfig(monitor=key, monitor_mode=mode), KINDS, PERIODS, load_registry())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="keep the worst checkpoints") as caught:
        check_monitor(ModelConfig(monitor=key, monitor_mode=wrong), KINDS, PERIODS, load_registry())  # type: ignore[arg-type]
    assert caught.value.hint.endswith(mode)


@pytest.mark.parametrize(
    "key", ["val_nonsense", "lr", "val_target_x_loss", "val_target_b_roc_auc@1d", "val_target_b_rmse@1h"]
)
def test_a_monitored_value_that_is_not_logged_is_refused(key: str) -> None:
    """Lightning would say so after the first epoch."""
    with pytest.raises(ConfigError, match=f"monitor: '?{key}"):
        check_monitor(ModelConfig(monitor=key), KINDS, PERIODS, load_registry())


def test_a_metric_of_quantiles_as_the_monitored_value() -> None:
    """M5: coverage has no better end to choose from; pinball has one where the head forecasts quantiles."""
    levels = {"target_r": [0.1, 0.5, 0.9]}
    with pytest.raises(ConfigError, match="neither at its highest nor at its lowest") as caught:
        check_monitor(ModelConfig(monitor="val_target_r_coverage@1h"), KINDS, PERIODS, load_registry(), levels)
    assert "val_composite_score" in caught.value.hint
    config = ModelConfig(monitor="val_target_r_pinball@1h", monitor_mode="min")
    check_monitor(config, KINDS, PERIODS, load_registry(), levels)
    with pytest.raises(ConfigError, match="monitor: val_target_r_pinball@1h: the loss of target_r forecasts no"):
        check_monitor(config, KINDS, PERIODS, load_registry())


@pytest.mark.parametrize(
    ("max_steps", "want"),
    [
        (None, (3, 10)),
        (30, (3, 10)),
        (99, (3, 10)),
        (29, (3, 9)),
        (20, (2, 10)),
        (11, (2, 5)),
        (7, (1, 7)),
        (1, (1, 1)),
    ],
)
def test_steps_are_at_most_those_asked_for_in_equal_epochs(
    monkeypatch: pytest.MonkeyPatch, max_steps: int | None, want: tuple[int, int]
) -> None:
    """`--max-steps` bounds all steps; every epoch has its validation."""
    monkeypatch.setattr("tftctl.train.fit.steps_of", lambda *_: 10)
    asked = SimpleNamespace(config=ModelConfig(max_epochs=3, max_steps=max_steps), trial=False)
    stages = whole_training(asked.config, WEIGHTS, 3)
    stages, steps = limit_steps(stages, None, asked, None)  # type: ignore[arg-type]
    assert (stages[0].last, 10 if steps is None else steps) == want


def test_a_plan_keeps_its_epochs_when_steps_are_limited() -> None:
    """Every stage has its turn; fewer steps than epochs are refused."""
    asked = SimpleNamespace(config=ModelConfig(max_epochs=4, max_steps=10), trial=False)
    plan = WeightsConfig({"a": {"target_x": 1.0}, "b": {"target_x": 2.0}})
    stages, steps = limit_steps(planned(asked.config, plan, 4), None, asked, None)  # type: ignore[arg-type]
    assert ([stage.epochs for stage in stages], steps) == ([2, 2], 2)
    few = SimpleNamespace(config=ModelConfig(max_epochs=4, max_steps=3), trial=False)
    with pytest.raises(ConfigError, match="3 are fewer than the plan's 4 epochs"):
        limit_steps(stages, None, few, None)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_is_made() -> None:
    """One line, not Lightning's exception or its silent change of precision."""
    with pytest.raises(UsageError, match="no CUDA GPU"):
        choose_device("gpu", ModelConfig())
    for precision in ("16-mixed", "bf16-mixed"):
        with pytest.raises(ConfigError, match=f"{precision} needs a GPU"):
            choose_device("auto", ModelConfig(precision=precision))  # type: ignore[arg-type]
    device = choose_device("auto", ModelConfig(devices=2, num_nodes=3))
    assert (device.accelerator, device.precision, device.processes) == ("cpu", "32-true", 6)


@pytest.mark.parametrize(
    ("encoder", "reals", "hidden", "cpu", "gpu"),
    [(24, 20, 8, 744, 1024), (48, 62, 16, 62, 1024), (96, 67, 256, 16, 149), (500, 300, 512, 16, 16)],
)
def test_a_larger_network_looks_at_fewer_windows_at_once(
    encoder: int, reals: int, hidden: int, cpu: int, gpu: int
) -> None:
    """512 windows of the default network would take 3.4 GB for each intermediate tensor of the encoder."""
    shape = NetworkShape(
        reals=tuple(map(str, range(reals))), known=(), symbols=6, periods=3, static=("symbol",), varying=(),
        outputs=(1,), encoder_length=encoder, hidden_size=hidden, hidden_continuous_size=8, lstm_layers=1,
        dropout=0.1, attention_head_size=1,
    )  # fmt: skip
    assert looking_batch(shape, cuda=False) == cpu
    assert looking_batch(shape, cuda=True) == gpu
