"""Configuration problems: all at once, each with its place, what was given, what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.config.loading import CONFIGS, load, validate
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import ConfigProblems
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.errors import ConfigError


def problems(document: Any, model: type[BaseModel] = FeaturesConfig) -> dict[str, str]:
    """Key -> what is shown of it."""
    with pytest.raises(ConfigProblems) as caught:
        validate(document, model, "f.yaml")
    return {problem.key: str(problem).removeprefix("f.yaml: ") for problem in caught.value.problems}


def test_every_problem_at_once_with_key_given_and_allowed() -> None:
    found = problems(
        {
            "indicatros": [],
            "max_stale": -1,
            "periods": ["1h", "7x"],
            "normalise": {"zsore": 3},
            "macro": {"m2": {"frequency": "1x", "stamp": "begin", "lag": 3}},
            "indicators": [{"nme": "rsi"}, 7],
        }
    )
    assert found["indicatros"] == "indicatros: unknown key; did you mean 'indicators'?"
    assert found["max_stale"] == "max_stale: -1 (should be greater than or equal to 0)"
    assert found["periods.1"].startswith("periods.1: '7x' (not a bar period")
    assert found["normalise.zsore"] == "normalise.zsore: unknown key; did you mean 'zscore'?"
    assert "should be like 1d" in found["macro.m2.frequency"]
    assert found["macro.m2.stamp"] == "macro.m2.stamp: 'begin' (should be 'start' or 'end')"
    assert found["macro.m2.release_lag"] == "macro.m2.release_lag: is required"
    assert "unknown key" in found["macro.m2.lag"]
    assert found["indicators.0.name"] == "indicators.0.name: is required"
    assert "a map of keys" in found["indicators.1"]
    assert len(found) == 10


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("symbols", [600_000], "in quotes"),
        ("symbols", [True], "in quotes"),
        ("symbols", [], "at least 1 item"),
        ("symbols", ["A", "B", "A"], "'A' is given twice"),
        ("adjust", "totl", "'raw', 'split' or 'total'"),
        ("adjust", {"SPX": "totl"}, "adjust.SPX: 'totl'"),
        ("periods", [], "at least 1 item"),
        ("periods", ["1h", "60m"], "'1h' is given twice"),
        ("max_stale", True, "true (should be a number)"),
        ("max_fill_bars", 1.5, "integer"),
        ("bar_delay", {"*": 15}, "should be like 15m"),
        ("targets", [{"name": "target_x", "horizon": {"1h": True}}], "horizon.1h: true (should be a number)"),
        ("context", {"1h": ["1h"]}, "its own context"),
        ("indicators", ["open; high; low"], "one name per list item"),
    ],
)
def test_features(key: str, value: Any, words: str) -> None:
    (text,) = problems({key: value}).values()
    assert words in text


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("lr", True, "should be a number"),
        ("lr", "fast", "should be a number"),
        ("hidden_size", 0, "greater than or equal to 1"),
        ("targets", [], "at least 1 item"),
        ("targets", ["target_a", "target_a"], "given twice"),
        ("num_workers", "many", "'auto' or"),
        ("optimizer", "adma", "did you mean 'adam'?"),
        ("embargo", 3, "should be like 0h"),
        ("onecycle", 3, "a map of keys"),
        ("onecycle", {"pct": 0.3}, "known: div_factor, final_div_factor, pct_start"),
    ],
)
def test_model(key: str, value: Any, words: str) -> None:
    (text,) = problems({key: value}, ModelConfig).values()
    assert words in text


def test_weights_are_numbers() -> None:
    assert "should be a number" in problems({"s": {"target_a": True}}, WeightsConfig)["s.target_a"]
    assert "should be a number" in problems({"val_loss": True}, CompositeConfig)["val_loss"]


def test_numbers_in_any_spelling_and_switches_are_fine() -> None:
    found = validate({"max_steps": 1e3, "lr": 1, "save_last": False}, ModelConfig, "f.yaml")
    assert (found.max_steps, found.lr, found.save_last) == (1000, 1.0, False)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model_config.yaml"
    path.write_text("# comment\nhidden_size: 32\nonecycle: {pct_start: 0.2}\nlr: -1\n")
    return path


def test_a_problem_of_the_file_has_its_line(model_file: Path) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load(model_file, ModelConfig)
    assert caught.value.message == f"{model_file}:4: lr: -1 (should be greater than 0)"


def test_a_problem_of_an_override_is_not_blamed_on_the_file(model_file: Path) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load(model_file, ModelConfig, ["lr=1e-3", "hidden_size=x", "onecycle.pct=1", "hiden=2"])
    assert caught.value.message.splitlines() == [
        "-o hidden_size: 'x' (should be an integer)",
        "-o onecycle.pct: unknown key; known: div_factor, final_div_factor, pct_start",
        "-o hiden: unknown key; did you mean 'hidden_size'?",
    ]


def test_overrides_reach_into_maps_and_lists(model_file: Path) -> None:
    found = load(model_file, ModelConfig, ["lr=1e-3", "onecycle.pct_start=0.4", "targets=[target_a, target_b]",
                                           "targets.1=target_c"])  # fmt: skip
    assert (found.lr, found.onecycle.pct_start, found.targets) == (1e-3, 0.4, ["target_a", "target_c"])


@pytest.mark.parametrize("override", ["early_stopping=null", "early_stopping=", "early_stopping=~"])
def test_an_override_can_take_a_value_away(model_file: Path, override: str) -> None:
    """Null, in any of YAML's ways, is nothing; it is no empty map."""
    found = load(model_file, ModelConfig, ["lr=1e-3", "targets=[target_a]", "early_stopping={patience: 2}", override])
    assert found.early_stopping is None


@pytest.mark.parametrize("override", ["lr", "=3", "targets.7=x", "hidden_size.x=3"])
def test_overrides_that_cannot_be(model_file: Path, override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(model_file, ModelConfig, ["targets=[target_a]", override])
    assert "-o" in caught.value.message and caught.value.hint


@pytest.mark.parametrize("model", [model for _, model in CONFIGS.values()])
def test_only_a_map_is_a_configuration(model: type[BaseModel]) -> None:
    for document in (["a"], "text", 3):
        assert "a map of keys" in problems(document, model)[""]


def test_the_schema_shows_patterns() -> None:
    schema = FeaturesConfig.model_json_schema()
    assert schema["$defs"]["MacroSeries"]["properties"]["release_lag"]["pattern"] == r"^\d+(h|d)$"
