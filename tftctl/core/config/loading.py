"""Reading YAML 1.2 into the configuration tree, with overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tftctl.core.config.explain import explain, line_of
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import SCHEMA_HINT, ConfigProblems, Problem
from tftctl.core.config.selection import SelectionConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.config.yaml import KeyPath, dump_yaml, key_lines, parse_value, parse_yaml, read_text, read_yaml
from tftctl.core.errors import ConfigError
from tftctl.core.workspace import Workspace

__all__ = [
    "CONFIGS",
    "dump_yaml",
    "load",
    "load_composite_config",
    "load_features_config",
    "load_model_config",
    "load_selection_config",
    "load_weights_config",
    "overridden",
    "read_yaml",
    "validate",
]

Model = TypeVar("Model", bound=BaseModel)

CONFIGS: dict[str, tuple[str, type[BaseModel]]] = {
    "features": ("features.yaml", FeaturesConfig),
    "model": ("model_config.yaml", ModelConfig),
    "weights": ("weights_config.yaml", WeightsConfig),
    "composite": ("composite_score.yaml", CompositeConfig),
    "selection": ("selection.yaml", SelectionConfig),
}
# a workspace need not have these: defaults hold without them
OPTIONAL = frozenset({"selection.yaml"})


def load_features_config(workspace: Workspace, overrides: Sequence[str] | None = None) -> FeaturesConfig:
    """`configs/features.yaml` with `key.path=value` overrides."""
    return load(workspace.configs / "features.yaml", FeaturesConfig, overrides)


def load_model_config(
    workspace: Workspace, path: Path | None = None, overrides: Sequence[str] | None = None
) -> ModelConfig:
    """`configs/model_config.yaml`, or another file, with overrides."""
    return load(path or workspace.configs / "model_config.yaml", ModelConfig, overrides)


def load_weights_config(workspace: Workspace, path: Path | None = None) -> WeightsConfig:
    """`configs/weights_config.yaml`, or another file."""
    return load(path or workspace.configs / "weights_config.yaml", WeightsConfig)


def load_composite_config(workspace: Workspace, path: Path | None = None) -> CompositeConfig:
    """`configs/composite_score.yaml`, or another file."""
    return load(path or workspace.configs / "composite_score.yaml", CompositeConfig)


def load_selection_config(
    workspace: Workspace, path: Path | None = None, overrides: Sequence[str] | None = None
) -> SelectionConfig:
    """`configs/selection.yaml`, or another file, with overrides."""
    return load(path or workspace.configs / "selection.yaml", SelectionConfig, overrides)


def load(path: Path, model: type[Model], overrides: Sequence[str] | None = None) -> Model:
    """Read and check one file; one that need not be there has its defaults. Raises ConfigError with every problem."""
    text = "{}" if path.name in OPTIONAL and not path.exists() else read_text(path)
    document = parse_yaml(text, str(path))
    for override in overrides or ():
        document = _override(document, override)
    try:
        return validate(document, model, str(path), key_lines(text))
    except ConfigProblems as error:
        keys = [override.partition("=")[0] for override in overrides or ()]
        raise ConfigProblems(_overridden(problem, keys) for problem in error.problems) from None


def overridden(config: Model, overrides: Sequence[str]) -> Model:
    """A configuration with `key.path=value` overrides. Raises ConfigError with every problem in them."""
    document = config.model_dump(mode="json")
    for override in overrides:
        document = _override(document, override)
    return validate(document, type(config), "the run's configuration")


def _overridden(problem: Problem, keys: Sequence[str]) -> Problem:
    """A problem of a value that came with -o is not one of the file."""
    if any(problem.key == key or problem.key.startswith(f"{key}.") for key in keys):
        return Problem(f"-o {problem.key}", "", problem.given, problem.allowed)
    return problem


def validate(
    document: Any, model: type[Model], place: str, lines: Mapping[KeyPath, int] | None = None, hint: str = SCHEMA_HINT
) -> Model:
    """Check a document. Raises ConfigProblems with file, line, key, what was given and what is allowed."""
    lines = lines or {}
    problems = list(_semicolons(document, place, lines))
    try:
        found = model.model_validate(document)
    except ValidationError as error:
        raise ConfigProblems([*problems, *explain(error, model, document, place, lines)], hint) from None
    if problems:
        raise ConfigProblems(problems, hint)
    return found


def _override(document: Any, text: str) -> Any:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ConfigError(f"-o {text}: not of the form key.path=value", "like -o hidden_size=32")
    parsed = parse_value(value, f"-o {key}")
    return _set(document, key.split("."), parsed, key)


def _set(document: Any, path: Sequence[str], value: Any, key: str) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(document, list):
        if not head.isdecimal() or int(head) >= len(document):
            raise ConfigError(f"-o {key}: {head!r} is not an index of that list", f"it has {len(document)} items")
        return [_set(item, rest, value, key) if i == int(head) else item for i, item in enumerate(document)]
    if not isinstance(document, dict | None):
        raise ConfigError(f"-o {key}: there is the value {document!r} above {head!r}", "override that key itself")
    table = document or {}
    return {**table, head: _set(table.get(head), rest, value, key)}


def _semicolons(document: Any, place: str, lines: Mapping[KeyPath, int], path: KeyPath = ()) -> Iterator[Problem]:
    """The habit of `- open; high; low`, which YAML takes for one name."""
    if isinstance(document, dict):
        for key, item in document.items():
            yield from _semicolons(item, place, lines, (*path, str(key)))
    elif isinstance(document, list):
        for index, item in enumerate(document):
            here: KeyPath = (*path, index)
            if isinstance(item, str) and ";" in item:
                key = ".".join(map(str, here))
                yield Problem(place, key, repr(item), "write one name per list item, on lines of their own",
                              line_of(here, lines))  # fmt: skip
            yield from _semicolons(item, place, lines, here)
