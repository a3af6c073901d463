"""YAML 1.2 text to plain data and back: `ON` is a word, `1e-3` a number, a key given twice a mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tftctl.core.errors import ConfigError

KeyPath = tuple[str | int, ...]


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", "tftctl init makes the default configuration") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", "name a readable YAML file") from None


def read_yaml(path: Path) -> Any:
    """Parse a YAML 1.2 file; an empty one is an empty map. Raises ConfigError with the place of a mistake."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, place: str) -> Any:
    """Parse a YAML 1.2 document; nothing is an empty map. Raises ConfigError with the line of a mistake."""
    document = parse_value(text, place)
    return {} if document is None else document


def parse_value(text: str, place: str) -> Any:
    """Parse YAML 1.2 text; nothing and null are None. Raises ConfigError with the line of a mistake."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        document = _reader().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{place}:{mark.line + 1}" if mark else place
        raise ConfigError(f"{where}: not valid YAML: {_reason(error)}", "mend that line") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{place}: not valid YAML: {_reason(error)}", "mend the file") from None
    if _holds_itself(document, ()):
        raise ConfigError(f"{place}: not valid YAML: an alias stands inside what it names", "write it out")
    return document


def _holds_itself(value: Any, around: tuple[int, ...]) -> bool:
    """Whether a list or map contains itself, as `&a [*a]` does."""
    if not isinstance(value, list | dict):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return id(value) in around or any(_holds_itself(item, (*around, id(value))) for item in inside)


def dump_yaml(document: BaseModel | Mapping[str, Any]) -> str:
    """A resolved configuration as YAML text."""
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    stream = StringIO()
    yaml.dump(document.model_dump(mode="json") if isinstance(document, BaseModel) else document, stream)
    return stream.getvalue()


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line number (from 1) of every key and list item of a valid document, by its path."""
    root = _reader().compose(text)
    return dict(_lines(root, ())) if root is not None else {}


def _lines(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield (*path, str(key.value)), key.start_mark.line + 1
            yield from _lines(value, (*path, str(key.value)))
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index))


def _reason(error: Exception) -> str:
    """The first line of what the parser says; the rest explains how to switch its checks off."""
    text = str(getattr(error, "problem", None) or error).strip()
    return text.splitlines()[0].replace(" with value", ", again with value") if text else type(error).__name__


def _reader() -> Any:
    """A reader of YAML 1.2's core schema, which has no dates: 2024-01-31 is text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor

    class Constructor(SafeConstructor):
        pass

    Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda constructor, node: node.value)
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    yaml.version = (1, 2)
    return yaml
