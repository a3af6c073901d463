"""Plugins that print, in Python and in C: stdout stays one JSON document (DESIGN 7)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from training_world import document, tftctl

from tftctl.core.workspace import Workspace

LOUD = '''
import ctypes
import os
import sys

from tftctl.api import Indicator, Output, hookimpl

kept = sys.stdout


def shout(where):
    """By every way to stdout."""
    print("print:", where)
    print("kept:", where, file=kept)
    os.write(1, f"write: {where}\\n".encode())
    ctypes.CDLL(None).puts(f"puts: {where}".encode())
    os.system(f"echo child: {where}")


def ratio(columns, params):
    shout("kernel")
    return {"loud": columns["close"] / columns["open"]}


shout("module")


@hookimpl
def tftctl_indicators():
    yield Indicator(
        name="loud",
        summary="close / open, and it says so",
        inputs=lambda params: ("open", "close"),
        outputs=(Output("loud"),),
        kernel=ratio,
    )
'''


@pytest.fixture(scope="module")
def loud(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The trained market with a plugin that prints when it is loaded and when it computes."""
    root = tmp_path_factory.mktemp("loud")
    for name in ("configs", "store", "runs"):
        shutil.copytree(trained.root / name, root / name)
    (root / "loud.py").write_text(LOUD, encoding="utf-8")
    (root / "tftctl.toml").write_text('plugins = ["loud.py"]\n', encoding="utf-8")
    return Workspace(root, (root / "loud.py",))


BUILD = ["-o", "indicators=[log_return, {name: rsi, period: 6}, loud]", "--json"]


@pytest.mark.parametrize(
    ("arguments", "key", "where"),
    [
        (["features", "build", "--jobs", "2", *BUILD], "snapshot", "kernel"),
        (["features", "build", *BUILD, "-o", "max_fill_bars=1"], "snapshot", "kernel"),
        (["features", "health", "--warmup", *BUILD], "columns", "kernel"),
        (["plugins", "check", "loud.py", "--json"], "verdict", "kernel"),
        (["train", "--max-steps", "1", "--accelerator", "cpu", "--json"], "run", "module"),
        (["eval", "--json"], "metrics", "module"),
    ],
)
def test_what_a_plugin_prints_goes_to_stderr(loud: Workspace, arguments: list[str], key: str, where: str) -> None:
    """Its module, its kernel, here and in worker processes; a child of it and C code too."""
    done = tftctl(loud, *[str(loud.root / a) if a == "loud.py" else a for a in arguments])
    assert key in document(done)
    for way in ("print", "kept", "write", "puts", "child"):
        assert f"{way}: {where}" in done.stderr


def test_an_error_is_one_document_too(loud: Workspace) -> None:
    """After the plugin has printed, and where the command line is wrong behind --json."""
    refused = document(tftctl(loud, "features", "build", "--json", "-o", "indicators=[laud]"), 2)
    assert "loud" in refused["error"]["hint"]
    assert document(tftctl(loud, "features", "build", "--json", "--jobs", "0"), 2)["error"]["code"] == 2


def test_a_document_that_nobody_reads_is_no_traceback(loud: Workspace) -> None:
    """The reader goes away before the document is written."""
    command = f"{sys.executable} -m tftctl -w {loud.root} plugins list --json | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_without_json_a_plugin_may_print(loud: Workspace, tmp_path: Path) -> None:
    """The table of a command is for eyes: nothing is taken away there."""
    done = tftctl(loud, "plugins", "check", str(loud.root / "loud.py"))
    assert "print: kernel" in done.stdout
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)
