"""YAML 1.2: what is a word, what a number, what a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tftctl.core.config.yaml import dump_yaml, key_lines, parse_yaml, read_text
from tftctl.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ON", "ON"), ("off", "off"), ("yes", "yes"), ("NO", "NO"), ("y", "y"),
        ("1:30", "1:30"), ("1e-3", 1e-3), ("1.5e-3", 1.5e-3), ("1e5", 1e5), (".5", 0.5), ("0x1f", 31), ("0o17", 15),
        ("017", 17), ("true", True), ("null", None), ("~", None), ("2024-01-31", "2024-01-31"),
        ("2024-01-31 12:00:00", "2024-01-31 12:00:00"), ("'600000'", "600000"), ("600000", 600_000),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}", "here")["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: [", "here:2"),
        ("a: 1\na: 2", "here:2"),
        ("\t- a", "here:1"),
        ("a: *nowhere", "here:1"),
        ("a: 1\n---\nb: 2", "here:2"),
        ("a: !!python/object:os.system x", "here:1"),
        ("a: &a [1, *a]", "inside what it names"),
        ("a: &a {b: *a}", "inside what it names"),
    ],
)
def test_mistakes_have_a_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")) as caught:
        parse_yaml(text, "here")
    assert "\n" not in caught.value.message


def test_one_list_twice_is_no_mistake() -> None:
    assert parse_yaml("a: &a [1]\nb: *a", "here") == {"a": [1], "b": [1]}


def test_nothing_is_an_empty_map() -> None:
    assert parse_yaml("# only a comment", "here") == {}


def test_lines_of_keys_and_items() -> None:
    lines = key_lines("a: 1\nb:\n  - x\n  - y: 2\n")
    assert (lines["a",], lines["b", 0], lines["b", 1, "y"]) == (1, 3, 4)


@pytest.mark.parametrize("value", ["ON", "1:30", "2024-01-31", "1e-3", "true", "600000", "", "a: b", "- x"])
def test_what_is_written_reads_back(value: str) -> None:
    assert parse_yaml(dump_yaml({"key": [value]}), "here") == {"key": [value]}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe")
    for name, words in (("absent.yaml", "does not exist"), ("latin.yaml", "UTF-8"), (".", "cannot be read")):
        with pytest.raises(ConfigError, match=words):
            read_text(tmp_path / name)
