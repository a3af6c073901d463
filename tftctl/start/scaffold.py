"""`tftctl init`: the files of a new workspace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tftctl.core.errors import DataError
from tftctl.core.workspace import MARKER

TEMPLATES = ("features.yaml", "model_config.yaml", "weights_config.yaml", "composite_score.yaml", "selection.yaml")

_MARKER_TEXT = """\
# This folder is a tftctl workspace.
# Single-file plugins of this workspace, for example ["plugins/my_indicators.py"]:
plugins = []
"""
_GITIGNORE = "runs/\nreports/\nstage_logs/\n"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What `create_workspace` did: files written, and files that were there and were left alone."""

    root: Path
    created: tuple[str, ...]
    kept: tuple[str, ...]


def create_workspace(root: Path) -> Scaffold:
    """Make `root` a workspace. Existing files are kept as they are.

    Raises DataError when `root` is a file or cannot be written.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file, not a folder", "name a new or an existing folder: tftctl init DIR")
    created: list[str] = []
    kept: list[str] = []
    for name, text in _contents().items():
        (created if write_new(root / name, text) else kept).append(name)
    return Scaffold(root.resolve(), tuple(created), tuple(kept))


def template(name: str) -> str:
    """Text of one of the default configuration files."""
    return (files("tftctl.core.config") / "templates" / name).read_text(encoding="utf-8")


def _contents() -> Mapping[str, str]:
    """The marker comes last: a folder is a workspace only once everything else is there."""
    from tftctl.store.layout import GITIGNORE, README

    configs = {f"configs/{name}": template(name) for name in TEMPLATES}
    return {**configs, "store/README.md": README, "store/.gitignore": GITIGNORE,
            ".gitignore": _GITIGNORE, MARKER: _MARKER_TEXT}  # fmt: skip


def write_new(path: Path, text: str) -> bool:
    """Write a file unless it is there; return whether it was written. Raises DataError when it cannot be.

    It appears whole or not at all: half a file would be kept the next time.
    """
    if path.exists():
        return False
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}", "choose a folder that you may write to") from None
    return True
