"""A file of the store that is cut off, changed or gone, met by a command: exit 3 and its name (SEMANTICS P)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tftctl.cli.app import main
from tftctl.core.workspace import Workspace
from tftctl.store import Store


def cut_off(path: Path) -> None:
    """Half of the file, as after a full disk."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def spoilt(path: Path) -> None:
    """Zeros over a tenth of it, as of a bad block; the size stays."""
    content = bytearray(path.read_bytes())
    size = len(content) // 10
    content[4 : 4 + size] = bytes(size)
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {"cut off": cut_off, "spoilt": spoilt, "gone": Path.unlink}
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "build": ("bars", ["features", "build", "-o", "indicators=[obv]", "-o", "context_features=[]"]),
    "build in two processes": (
        "bars",
        ["features", "build", "--jobs", "2", "-o", "indicators=[obv]", "-o", "context_features=[]"],
    ),
    "plan": ("features", ["features", "plan", "-o", "max_fill_bars=1"]),
    "train": ("fused", ["train", "--max-steps", "1", "--accelerator", "cpu"]),
    "eval": ("targets", ["eval", "--split", "val"]),
    "list": ("bars", ["data", "list"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, damage: str
) -> None:
    """One line, what to run next, and the store as it was."""
    workspace = copied(trained, tmp_path)
    table, arguments = COMMANDS[command]
    path, snapshot = segment(workspace, table), Store(workspace.store).current()
    DAMAGES[damage](path)
    found = failure(capsys, workspace, *arguments)
    assert (found["code"], found["kind"]) == (3, "store")
    assert found["message"].startswith(f"a file of the store is damaged: {path}: ")
    assert "\n" not in found["message"]
    assert "tftctl store verify" in found["hint"]
    assert Store(workspace.store).current() == snapshot
    assert not (workspace.store / "_tmp").exists() or not any((workspace.store / "_tmp").iterdir())


def copied(workspace: Workspace, root: Path) -> Workspace:
    """A workspace whose store may be damaged."""
    for name in ("tftctl.toml", "configs", "store", "runs"):
        source = workspace.root / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("predictions"))
        else:
            shutil.copy(source, root / name)
    return Workspace(root)


def segment(workspace: Workspace, table: str) -> Path:
    """The file of a table's 1h rows."""
    with Store(workspace.store).read() as snapshot:
        (found,) = snapshot.manifest.tables[table].of("1h")
        return workspace.store / found.path


def failure(capsys: pytest.CaptureFixture[str], workspace: Workspace, *arguments: str) -> dict[str, Any]:
    """The error document of a command."""
    with pytest.raises(SystemExit) as ended:
        main(["-w", str(workspace.root), *arguments, "--json"])
    said = capsys.readouterr()
    assert "unexpected" not in said.err
    error: dict[str, Any] = json.loads(said.out)["error"]
    assert ended.value.code == error["code"]
    return error
