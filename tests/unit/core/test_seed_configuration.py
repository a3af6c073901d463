"""The configuration of the system that tftctl succeeds: what it says is understood, what it gets wrong is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tftctl.core.config.loading import load
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import ConfigProblems
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.train.stages import enabled, planned, whole_training

MODEL = """\
data_path: null
targets:
  - target_binarytrend
  - target_logreturn
  - target_logsharpe_ratio
  - target_drawdown_prob
categoricals: [symbol, period]
reals:
  - rsi
  - macd_hist
  - rolling_volatility
max_encoder_length: 96
max_prediction_length: 1
time_idx: time_idx
group_ids: [symbol, period]
hidden_size: 256
lstm_layers: 2
dropout: 0.15
attention_head_size: 4
static_categoricals: [symbol]
static_reals: []
x_categoricals: [symbol, period]
x_reals: [rsi, macd_hist, rolling_volatility]
output_size:
  - 1
  - 1
  - 1
  - 1
seed: 2025
batch_size: 256
max_epochs: 50
optimizer: adam
lr: 1.5e-3
weight_decay: 1e-5
gradient_clip_val: 0.5
precision: "16-mixed"
num_workers: 8
onecycle:
  pct_start: 0.3
  div_factor: 25
  final_div_factor: 100
resume_ckpt: null
warm_start_ckpt: null
monitor: val_composite_score
monitor_mode: max
top_k: 3
save_last: true
"""
PLAIN = """\
stage_1:
  target_binarytrend: 1.0
  target_logreturn: 1.0
  target_logsharpe_ratio: 1.0
  target_drawdown_prob: 1.0
stage_2:
  target_binarytrend: 1.5
  target_logreturn: 0.8
  target_logsharpe_ratio: 1.0
  target_drawdown_prob: 1.0
"""
FULL = """\
stage_1:
  weights: {target_binarytrend: 1.0, target_logreturn: 1.0, target_logsharpe_ratio: 1.0, target_drawdown_prob: 1.0}
stage_2:
  from_epoch: 20
  weights: {target_binarytrend: 1.5, target_logreturn: 0.8}
  lr: 5e-4
  freeze: ["lstm_*"]
  targets: [target_binarytrend, target_logreturn]
  batch_size: 128
"""
COMPOSITE = """\
val_target_binarytrend_f1@1h: 0.25
val_target_binarytrend_f1@4h: 0.15
val_target_logreturn_rmse@1h: -0.20
val_target_logsharpe_ratio_mae@1d: -0.10
val_loss_for_ckpt: -0.30
"""


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_its_model_configuration_is_ours(tmp_path: Path) -> None:
    """DESIGN 7: every key with its value, numbers like 1.5e-3 as numbers."""
    config = load(written(tmp_path, MODEL), ModelConfig)
    assert (config.lr, config.weight_decay, config.precision, config.num_workers) == (1.5e-3, 1e-5, "16-mixed", 8)
    assert config.inputs == ["rsi", "macd_hist", "rolling_volatility"]
    assert (config.output_size, config.onecycle.div_factor) == ([1, 1, 1, 1], 25)


def test_its_habit_of_semicolons_is_refused_with_a_hint(tmp_path: Path) -> None:
    """`- open; high; low` is one name in YAML: each such line is told, with its number and what to write."""
    text = MODEL.replace("  - rsi\n", "  - open; high; low; close; volume\n").replace(
        "  - macd_hist\n", "  - rsi; atr; obv\n"
    )
    with pytest.raises(ConfigProblems) as caught:
        load(written(tmp_path, text), ModelConfig)
    problems = {problem.key: problem for problem in caught.value.problems}
    assert set(problems) >= {"reals.0", "reals.1"}
    assert problems["reals.0"].given == "'open; high; low; close; volume'"
    assert problems["reals.0"].allowed == "write one name per list item, on lines of their own"
    assert (problems["reals.0"].line, problems["reals.1"].line) == (9, 10)


def test_its_plain_weights_are_stages(tmp_path: Path) -> None:
    """`stage_1: {target: weight}`: the first one for a plain training, each for half of a stage plan."""
    weights = load(written(tmp_path, PLAIN), WeightsConfig)
    config = load(written(tmp_path, MODEL), ModelConfig)
    (only,) = whole_training(config, weights, 50)
    assert (only.name, only.last, set(only.weights.values())) == ("stage_1", 50, {1.0})
    first, second = planned(config, weights, 50)
    assert [(stage.name, stage.first, stage.last) for stage in (first, second)] == [
        ("stage_1", 0, 25),
        ("stage_2", 25, 50),
    ]
    assert second.weights == {
        "target_binarytrend": 1.5, "target_logreturn": 0.8, "target_logsharpe_ratio": 1.0, "target_drawdown_prob": 1.0,
    }  # fmt: skip
    assert (second.lr, second.batch_size, second.freeze) == (1.5e-3, 256, [])


def test_the_full_form_says_when_and_what(tmp_path: Path) -> None:
    """Its `epoch >= 20 -> stage_2`, and what else may differ in a stage."""
    weights = load(written(tmp_path, FULL), WeightsConfig)
    config = load(written(tmp_path, MODEL), ModelConfig)
    first, second = (enabled(stage, config.targets) for stage in planned(config, weights, 50))
    assert [(stage.first, stage.last) for stage in (first, second)] == [(0, 20), (20, 50)]
    assert (second.lr, second.batch_size, second.freeze) == (5e-4, 128, ["lstm_*"])
    assert second.weights["target_logsharpe_ratio"] == second.weights["target_drawdown_prob"] == 0
    assert second.resting == ["target_logsharpe_ratio", "target_drawdown_prob"]


def test_a_wrong_key_of_a_stage_is_told_with_its_line(tmp_path: Path) -> None:
    """In both forms, each problem with the key as it stands in the file."""
    text = (
        PLAIN.replace("  target_logreturn: 0.8\n", "  target_logreturn: much\n") + "stage_3: {weights: {}, epoch: 3}\n"
    )
    with pytest.raises(ConfigProblems) as caught:
        load(written(tmp_path, text), WeightsConfig)
    problems = {problem.key: problem for problem in caught.value.problems}
    assert (problems["stage_2.target_logreturn"].line, problems["stage_2.target_logreturn"].given) == (8, "'much'")
    assert "did you mean 'epochs'?" in problems["stage_3.epoch"].allowed


def test_its_composite_score_is_ours(tmp_path: Path) -> None:
    """Signed weights of logged keys."""
    config = load(written(tmp_path, COMPOSITE), CompositeConfig)
    assert config.root["val_target_logreturn_rmse@1h"] == -0.2
