"""Reading YAML 1.2 into the configuration tree, with overrides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import ConfigProblems, Problem
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.errors import ConfigError, nearest
from tftctl.core.workspace import Workspace

Model = TypeVar("Model", bound=BaseModel)

CONFIGS: dict[str, tuple[str, type[BaseModel]]] = {
    "features": ("features.yaml", FeaturesConfig),
    "model": ("model_config.yaml", ModelConfig),
    "weights": ("weights_config.yaml", WeightsConfig),
    "composite": ("composite_score.yaml", CompositeConfig),
}


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


def load(path: Path, model: type[Model], overrides: Sequence[str] | None = None) -> Model:
    """Read and check one file. Raises ConfigError with every problem in it."""
    document = read_yaml(path)
    for override in overrides or ():
        document = _override(document, override)
    return validate(document, model, str(path))


def validate(document: Any, model: type[Model], place: str) -> Model:
    """Check a document. Raises ConfigProblems with file, key, what was given and what is allowed."""
    problems = list(_semicolons(document, place))
    try:
        found = model.model_validate(document)
    except ValidationError as error:
        raise ConfigProblems([*problems, *_problems(error, model, document, place)]) from None
    if problems:
        raise ConfigProblems(problems)
    return found


def read_yaml(path: Path) -> Any:
    """Parse a YAML 1.2 file; an empty one is an empty map. Raises ConfigError with the place of a mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", "tftctl init makes the default configuration") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, place: str) -> Any:
    """Parse YAML 1.2 text: `ON` is a word, `1e-3` a number, a key given twice a mistake."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        document = _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{place}:{mark.line + 1}" if mark else place
        raise ConfigError(f"{where}: not valid YAML: {error.problem}", "mend that line") from None
    except YAMLError as error:
        raise ConfigError(f"{place}: not valid YAML: {error}", "mend the file") from None
    return _numbers({} if document is None else document)


def dump_yaml(document: BaseModel | Mapping[str, Any]) -> str:
    """A resolved configuration as YAML text."""
    plain = document.model_dump(mode="json") if isinstance(document, BaseModel) else document
    stream = StringIO()
    _yaml().dump(plain, stream)
    return stream.getvalue()


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.explicit_start = False
    return yaml


_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _numbers(value: Any) -> Any:
    """`1e-3` without a point is a number in YAML 1.2's core schema; the parser leaves some of them as text."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return value


def _override(document: Any, text: str) -> Any:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ConfigError(f"-o {text}: not of the form key.path=value", "like -o hidden_size=32")
    parsed = parse_yaml(value, f"-o {key}") if value.strip() else None
    return _set(document, key.split("."), parsed, key)


def _set(document: Any, path: Sequence[str], value: Any, key: str) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(document, list):
        if not head.isdigit() or int(head) >= len(document):
            raise ConfigError(f"-o {key}: {head!r} is not an index of that list", f"it has {len(document)} items")
        return [_set(item, rest, value, key) if i == int(head) else item for i, item in enumerate(document)]
    table = document if isinstance(document, dict) else {}
    return {**table, head: _set(table.get(head), rest, value, key)}


def _semicolons(document: Any, place: str, path: str = "") -> Iterable[Problem]:
    if isinstance(document, dict):
        for key, item in document.items():
            yield from _semicolons(item, place, f"{path}.{key}" if path else str(key))
    elif isinstance(document, list):
        for item in document:
            if isinstance(item, str) and ";" in item:
                yield Problem(place, path, repr(item), "write one name per list item, not several with semicolons")
            yield from _semicolons(item, place, path)


def _problems(error: ValidationError, model: type[BaseModel], document: Any, place: str) -> Iterable[Problem]:
    for entry in error.errors():
        location = [part for part in entry["loc"] if not (isinstance(part, str) and "[" in part)]
        key = ".".join(str(part) for part in location)
        if entry["type"] == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            match = nearest(str(location[-1]), known)
            allowed = "unknown key" + (f", did you mean {match!r}?" if match else f"; known: {', '.join(known)}")
            yield Problem(place, key, "", allowed)
            continue
        given = entry.get("input")
        shown = "" if isinstance(given, dict | list) and len(str(given)) > 60 else repr(given)
        yield Problem(place, key, shown, str(entry["msg"]).removeprefix("Value error, "))


def _known_keys(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Field names of the model at a place in the tree; the root's where the place is inside a container."""
    current: type[BaseModel] = model
    for part in location:
        field = current.model_fields.get(part)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            current = inner
    return sorted(current.model_fields)
