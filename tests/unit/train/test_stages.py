"""Stages of a training: which epochs they have, and what is different in each."""

from __future__ import annotations

from typing import Any

import pytest

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import WeightsConfig
from tftctl.core.errors import ConfigError
from tftctl.plugins import Registry, load_registry
from tftctl.train.stages import Stage, enabled, idle_targets, planned, stage_at, whole_training

CONFIG = ModelConfig(targets=["target_b", "target_r"], lr=0.01, batch_size=64)
WEIGHTS = {"target_b": 1.0}


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in targets."""
    return load_registry()


def spans(stages: list[Stage]) -> list[tuple[str, int, int]]:
    """Name, first epoch, and the one after the last."""
    return [(stage.name, stage.first, stage.last) for stage in stages]


@pytest.mark.parametrize(
    ("stages", "epochs", "want"),
    [
        ({"a": WEIGHTS, "b": WEIGHTS}, 10, [("a", 0, 5), ("b", 5, 10)]),
        ({"a": WEIGHTS, "b": WEIGHTS, "c": WEIGHTS}, 10, [("a", 0, 4), ("b", 4, 7), ("c", 7, 10)]),
        ({"a": {"epochs": 2}, "b": {"epochs": 8}}, 10, [("a", 0, 2), ("b", 2, 10)]),
        ({"a": {"epochs": 2}, "b": WEIGHTS}, 10, [("a", 0, 2), ("b", 2, 10)]),
        ({"a": WEIGHTS, "b": {"from_epoch": 7}}, 10, [("a", 0, 7), ("b", 7, 10)]),
        ({"a": {"epochs": 1}, "b": {}, "c": {"from_epoch": 5, "lr": 1e-4}, "d": {"epochs": 2}}, 9,
         [("a", 0, 1), ("b", 1, 5), ("c", 5, 7), ("d", 7, 9)]),
        ({"a": {"from_epoch": 0, "lr": 0.1}}, 3, [("a", 0, 3)]),
    ],
)  # fmt: skip
def test_stages_follow_each_other(stages: dict[str, Any], epochs: int, want: list[tuple[str, int, int]]) -> None:
    """DESIGN 7: by their length, or by where the next begins; those that say neither share what is left."""
    stages = {name: entry or {"lr": 0.01} for name, entry in stages.items()}
    assert spans(planned(CONFIG, WeightsConfig(stages), epochs)) == want


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"a": {"epochs": 3}, "b": {"epochs": 3}}, "a, b cover 6 of the 10 epochs from 0 on"),
        ({"a": {"epochs": 8}, "b": {"epochs": 8}}, "a, b cover 16 of the 10 epochs"),
        ({"a": {"epochs": 10}, "b": WEIGHTS}, "1 of them need an epoch each"),
        ({"a": {"epochs": 3}, "b": {"from_epoch": 5}}, "a cover 3 of the 5 epochs from 0 on"),
        ({"a": WEIGHTS, "b": {"from_epoch": 10}}, "b cover none of the 0 epochs from 10 on"),
        ({"a": WEIGHTS, "b": {"from_epoch": 6}, "c": {"from_epoch": 4}}, "b cover none"),
        ({"a": {"from_epoch": 2}}, "a begins at epoch 2"),
    ],
)
def test_stages_that_do_not_cover_the_epochs_are_refused(stages: dict[str, Any], message: str) -> None:
    """Issue's bad input: with the numbers, and what to change."""
    with pytest.raises(ConfigError, match=message) as caught:
        planned(CONFIG, WeightsConfig(stages), 10)
    assert "max_epochs" in caught.value.hint or "begins at 0" in caught.value.hint


def test_a_plan_can_begin_at_a_later_stage() -> None:
    """`--stage NAME`: what comes before it is left out, and its first epoch is the training's."""
    weights = WeightsConfig({"a": {"epochs": 3}, "b": {"epochs": 5}, "c": {"epochs": 2}})
    assert spans(planned(CONFIG, weights, 10, "b")) == [("b", 0, 5), ("c", 5, 7)]
    with pytest.raises(ConfigError, match="--stage bb: there is no such stage") as caught:
        planned(CONFIG, weights, 10, "bb")
    assert "did you mean" in caught.value.hint or "a, b, c" in caught.value.hint


def test_a_stage_can_have_its_own_rate_batch_and_targets() -> None:
    """DESIGN 7: what it does not say is the configuration's."""
    weights = WeightsConfig({
        "a": {"target_b": 2.0},
        "b": {"weights": {"target_r": 3.0}, "lr": 1e-4, "freeze": ["lstm_*"], "targets": ["target_r"], "batch_size": 8},
    })  # fmt: skip
    first, second = (enabled(stage, CONFIG.targets) for stage in planned(CONFIG, weights, 4))
    assert (first.weights, first.lr, first.batch_size, first.resting) == (
        {"target_b": 2.0, "target_r": 1.0},
        0.01,
        64,
        [],
    )
    assert (second.weights, second.resting) == ({"target_b": 0.0, "target_r": 3.0}, ["target_b"])
    assert (second.lr, second.batch_size, second.freeze) == (1e-4, 8, ["lstm_*"])


def test_a_training_without_a_plan_has_the_first_stage_throughout() -> None:
    """DESIGN 7: whatever it says of its own length."""
    weights = WeightsConfig({"one": {"weights": {"target_b": 0.25, "target_other": 3}, "epochs": 2}, "two": WEIGHTS})
    (stage,) = whole_training(CONFIG, weights, 7)
    assert (stage.first, stage.last) == (0, 7)
    assert enabled(stage, CONFIG.targets).weights == {"target_b": 0.25, "target_r": 1.0}


def test_the_stage_of_an_epoch() -> None:
    """The last one goes on where a training is continued beyond its plan."""
    stages = planned(CONFIG, WeightsConfig({"a": {"epochs": 2}, "b": {"epochs": 1}}), 3)
    assert [stage_at(stages, epoch).name for epoch in range(5)] == ["a", "a", "b", "b", "b"]


def test_weights_of_a_target_that_the_store_lacks_are_told(registry: Registry) -> None:
    """The default file names targets of the catalogue that a store need not have, in any of its stages."""
    weights = WeightsConfig(
        {"one": {"target_r": 2}, "two": {"target_drawdown_prob": 1, "target_logreturn_h24": 1, "target_r": 1}}
    )
    stages = planned(CONFIG, weights, 2)
    assert idle_targets(stages, ["target_r"], ["target_r"], registry) == [
        "target_drawdown_prob",
        "target_logreturn_h24",
    ]


@pytest.mark.parametrize("stage", ["one", "two"])
def test_weights_of_a_target_that_does_not_exist_are_refused(registry: Registry, stage: str) -> None:
    """A misspelt name would leave its target at the weight 1 in silence."""
    stages = {"one": {"target_r": 2.0}, "two": {"target_r": 1.0}}
    stages[stage]["target_rr"] = 1.0
    with pytest.raises(ConfigError, match="there is no target 'target_rr'") as caught:
        idle_targets(planned(CONFIG, WeightsConfig(stages), 2), ["target_r"], ["target_r"], registry)
    assert "did you mean 'target_r'?" in caught.value.hint


@pytest.mark.parametrize("stage", ["one", "two"])
def test_weights_that_are_all_0_are_refused(registry: Registry, stage: str) -> None:
    """Nothing would be trained."""
    stages = {"one": {"target_r": 2.0}, "two": {"target_r": 1.0}}
    stages[stage] = {"target_r": 0.0}
    with pytest.raises(ConfigError, match=f"the weight 0 in {stage}"):
        idle_targets(planned(CONFIG, WeightsConfig(stages), 2), ["target_r"], ["target_r"], registry)


def test_a_stage_that_names_no_weights_trains_every_target(registry: Registry) -> None:
    """An unnamed target weighs 1, so that a stage may have a rate or frozen parts and nothing else."""
    stages = planned(CONFIG, WeightsConfig({"a": {"lr": 1e-4}, "b": {"target_r": 0.0}}), 2)
    targets = ["target_b", "target_r"]
    assert idle_targets(stages, targets, targets, registry) == []
    weights = [enabled(stage, targets).weights for stage in stages]
    assert weights == [{"target_b": 1.0, "target_r": 1.0}, {"target_b": 1.0, "target_r": 0.0}]


def test_a_stage_trains_enabled_targets_only() -> None:
    """A name that is not among the configuration's targets is no typo to pass over."""
    with pytest.raises(ConfigError, match="trains 'target_x', which is not enabled"):
        planned(CONFIG, WeightsConfig({"a": {"targets": ["target_x"]}}), 3)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"epochs": 2, "from_epoch": 1}, "both epochs and from_epoch"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"weights": {"target_b": 1}, "targets": ["target_r"]}, "weighs target_b, which is not among its targets"),
        ({"epoch": 3, "weights": {}}, "extra"),
        ({"weights": {"b": 1}}, "not a target"),
        ({"weights": {"target_b": -1}}, "greater than or equal to 0"),
        ({"lr": 0}, "greater than 0"),
    ],
)
def test_a_stage_that_contradicts_itself_is_refused(entry: dict[str, Any], message: str) -> None:
    """DESIGN 7: before anything is read."""
    with pytest.raises(ValueError, match=message):
        WeightsConfig({"a": entry})
