"""Every hook has a running example in its docstring, a section in the documentation, and a place in the example."""

from __future__ import annotations

import inspect
import re
import textwrap
import types
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tftctl import hookspecs, testing
from tftctl.core.validity import RECORDS
from tftctl.plugins import COMMANDS_HOOK, HOOKS, collect, load_file

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "plugins.md"
EXAMPLE = ROOT / "plugins" / "tftctl-example" / "tftctl_example.py"
SPECS = sorted(name for name, value in vars(hookspecs).items() if hasattr(value, "tftctl_spec"))


def word_of(hook: str) -> str:
    return "command" if hook == COMMANDS_HOOK else HOOKS[hook]


def docstring_example(hook: str) -> str:
    _, _, code = inspect.cleandoc(getattr(hookspecs, hook).__doc__).partition("Example::\n")
    return textwrap.dedent(code)


def section(hook: str) -> str:
    """The text below the heading of a hook, up to the next heading of that size."""
    found = re.search(rf"^## {hook}\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    return found[1] if found else ""


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def plugin_of(code: str) -> types.ModuleType:
    module = types.ModuleType("executed_example")
    exec(compile(code, "example", "exec"), vars(module))
    return module


def findings(pairs: list[tuple[str, Any]]) -> list[str]:
    found = []
    for word, record in pairs:
        check = getattr(testing, f"check_{word}")
        found += check(*record) if word == "command" else check(record)
    return [str(finding) for finding in found]


def test_all_hooks_are_known() -> None:
    assert sorted([*HOOKS, COMMANDS_HOOK]) == SPECS


@pytest.mark.parametrize("hook", SPECS)
def test_docstring_example_runs_and_passes(hook: str) -> None:
    pairs = collect(plugin_of(docstring_example(hook)))
    assert {word for word, _ in pairs} == {word_of(hook)}
    assert findings(pairs) == []


@pytest.mark.parametrize("hook", SPECS)
def test_documented_examples_run_and_pass(hook: str) -> None:
    blocks = code_blocks(section(hook))
    assert blocks, f"docs/plugins.md has no example of {hook}"
    for block in blocks:
        pairs = collect(plugin_of(block))
        assert {word for word, _ in pairs} == {word_of(hook)}
        assert findings(pairs) == []


@pytest.mark.parametrize("hook", [hook for hook in SPECS if hook != COMMANDS_HOOK])
def test_every_field_is_documented(hook: str) -> None:
    named = set(re.findall(r"`(\w+)", section(hook)))
    assert {field.name for field in fields(RECORDS[HOOKS[hook]])} <= named


@pytest.mark.parametrize("hook", SPECS)
def test_example_plugin_implements(hook: str) -> None:
    pairs = collect(load_file(EXAMPLE))
    mine = [(word, record) for word, record in pairs if word == word_of(hook)]
    assert mine
    assert findings(mine) == []


def test_all_checks_are_documented() -> None:
    """What `tftctl.testing` can report stands in the table of checks."""
    _, _, table = DOCUMENT.read_text(encoding="utf-8").partition("| kind | checks |")
    named = set(re.findall(r"`(\w+)`", table.partition("\n\n")[0]))
    listed = {
        name
        for function in testing.__all__
        for line in (getattr(testing, function).__doc__ or "").splitlines()
        if line.strip().startswith("- `")
        for name in re.findall(r"`(\w+)`", line.partition(":")[0])
    }
    assert listed - {"record"} <= named
    assert named <= listed | {"free"}
