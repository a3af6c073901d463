"""What pydantic found, in the words of the configuration: key, line, what was given, what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from tftctl.core.config.problems import Problem
from tftctl.core.config.yaml import KeyPath
from tftctl.core.errors import nearest

_MAX_SHOWN = 60
_UNKNOWN_KEY = "unknown key"


def explain(
    error: ValidationError, model: type[BaseModel], document: Any, place: str, lines: Mapping[KeyPath, int]
) -> list[Problem]:
    """One problem per key; the branches of a union (`auto` or a number) become one sentence.

    Where a branch fits and something in it does not, that alone is the problem.
    """
    allowed: dict[KeyPath, list[str]] = {}
    given: dict[KeyPath, Any] = {}
    for entry in error.errors(include_url=False):
        path, value, text = _entry(entry, model, document)
        given.setdefault(path, value)
        if text not in allowed.setdefault(path, []):
            allowed[path].append(text)
    return [
        Problem(place, ".".join(map(str, path)), given[path], _either(texts), line_of(path, lines))
        for path, texts in allowed.items()
        if not any(len(other) > len(path) and other[: len(path)] == path for other in allowed)
    ]


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Line of a key, or of the nearest thing around it that is in the file."""
    for size in range(len(path), 0, -1):
        if path[:size] in lines:
            return lines[path[:size]]
    return None


def _entry(entry: Any, model: type[BaseModel], document: Any) -> tuple[KeyPath, str, str]:
    path = _document_path(entry["loc"], document)
    message = str(entry["msg"])
    if entry["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        return path, "", _UNKNOWN_KEY + _did_you_mean(str(path[-1]), known, "known")
    if entry["type"] == "missing":
        return path, "", "is required"
    if entry["type"] == "string_type" and isinstance(entry["input"], int | float):
        message += ", in quotes"
    if entry["type"] == "literal_error":
        options = re.findall(r"'([^']*)'", str(entry["ctx"]["expected"]))
        if entry["loc"][-1] == "[key]":
            return path, "", _UNKNOWN_KEY + _did_you_mean(str(entry["input"]), options, "known")
        match = nearest(str(entry["input"]), options)
        message += f"; did you mean {match!r}?" if match else ""
    return path, _shown(entry["input"]) if path else "", _plain(message)


def _document_path(location: Sequence[str | int], document: Any) -> KeyPath:
    """The part of pydantic's location that exists in the document; it also names union branches and validators."""
    path: list[str | int] = []
    current = document
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(current, Mapping) and (part in current or (last and not _is_branch(part))):
            path.append(part)
            current = current.get(part)
        elif isinstance(current, list) and isinstance(part, int) and part < len(current):
            path.append(part)
            current = current[part]
    return tuple(path)


def _is_branch(part: str | int) -> bool:
    return isinstance(part, str) and ("[" in part or part in ("int", "str", "float", "bool", "none"))


def _either(texts: Sequence[str]) -> str:
    """What a value may be; of an unknown key there is no more to say."""
    unknown = [text for text in texts if text.startswith(_UNKNOWN_KEY)]
    if unknown:
        return unknown[0]
    return " or ".join(texts).replace(" or should be ", " or ")


def _plain(message: str) -> str:
    """pydantic speaks of inputs and dictionaries; the reader of a file of keys, maps and lists."""
    text = message.removeprefix("Value error, ").split(", unable to parse", 1)[0].split(" after validation", 1)[0]
    text = re.sub(r"a valid dictionary( or instance of \w+)?", "a map of keys", text)
    return (
        re.sub("^(Input|List|Dictionary|String) should", "should", text)
        .replace("a valid ", "a ")
        .replace("a integer", "an integer")
    )


def _shown(value: Any) -> str:
    """As YAML writes it."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _did_you_mean(name: str, known: Sequence[str], word: str) -> str:
    match = nearest(name, known)
    return f"; did you mean {match!r}?" if match else f"; {word}: {', '.join(known)}"


def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Field names of the model that stands at a place in the tree."""
    current: Any = model
    for part in path:
        current = _step(current, part)
    models = list(_models(current))
    return sorted({name for found in models for name in found.model_fields})


def _step(annotation: Any, part: str | int) -> Any:
    """The annotation one key or index deeper."""
    for found in _models(annotation):
        if issubclass(found, RootModel):
            return _step(found.model_fields["root"].annotation, part)
        if part in found.model_fields:
            return found.model_fields[str(part)].annotation
    for container in _containers(annotation):
        return get_args(container)[-1]
    return None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) not in (list, dict):
        for inner in get_args(annotation):
            yield from _models(inner)


def _containers(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (list, dict):
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from _containers(inner)
