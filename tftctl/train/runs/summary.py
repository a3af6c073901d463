"""What a run directory says of itself, in one line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftctl.core.errors import DataError, TftctlWarning
from tftctl.core.workspace import Workspace
from tftctl.train.curves import best_row, best_value, read_rows
from tftctl.train.rundir import Run

COMPOSITE = "val_composite_score"
LOSS = "val_loss"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run. Scores are the best over its epochs, None where they are never defined.

    `best_epoch` counts from 0 and is that of the composite score, of the loss where there is no score. `bytes` is what
    removing it would free.
    """

    run: str
    command: str
    started: str
    epochs: int
    val_composite_score: float | None
    val_loss: float | None
    snapshot: int | None
    best_epoch: int | None
    parent: str | None
    targets: list[str]
    stages: list[str]
    bytes: int


def run_folders(workspace: Workspace) -> list[Path]:
    """Every folder in runs/ that is not hidden, by name; a link to a folder is one."""
    if not workspace.runs.is_dir():
        return []
    return sorted(path for path in workspace.runs.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_summaries(workspace: Workspace) -> list[RunSummary]:
    """Every run of the workspace by name; a folder without a readable manifest is warned of and left out."""
    found = []
    for root in run_folders(workspace):
        try:
            found.append(summarise(Run(root)))
        except DataError as error:
            warnings.warn(error.message, TftctlWarning, stacklevel=2)
    return found


def summarise(run: Run) -> RunSummary:
    """The line of one run. Raises DataError when its manifest cannot be read."""
    manifest, rows = read_manifest(run), read_rows(run)
    best = best_row(rows, COMPOSITE, "max") or best_row(rows, LOSS, "min")
    targets = manifest.get("targets")
    return RunSummary(
        run=run.name,
        command=str(manifest.get("command") or ""),
        started=str(manifest.get("started") or ""),
        epochs=len(rows),
        val_composite_score=best_value(rows, COMPOSITE, "max"),
        val_loss=best_value(rows, LOSS, "min"),
        snapshot=_whole(manifest.get("snapshot")),
        best_epoch=_whole(best.get("epoch")),
        parent=parent_of(manifest),
        targets=[str(name) for name in targets] if isinstance(targets, list) else [],
        stages=stages_of(rows),
        bytes=size_of(run.root),
    )


def read_manifest(run: Run) -> dict[str, Any]:
    """The manifest. Raises DataError when it is missing, damaged or not an object."""
    manifest: Any = run.manifest
    if not isinstance(manifest, dict):
        raise DataError(f"{run.root} has no readable manifest.json: it holds no object", "it is no run of tftctl")
    return manifest


def parent_of(manifest: Mapping[str, Any]) -> str | None:
    """Name of the run that it continues or started from."""
    parent = manifest.get("parent")
    return Path(parent).name if isinstance(parent, str) and parent else None


def stages_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the stages that have a finished epoch, in their order."""
    return list(dict.fromkeys(str(row["stage"]) for row in rows if row.get("stage")))


def size_of(root: Path) -> int:
    """Bytes of all files below a folder; a link counts as itself."""
    if root.is_symlink():
        return root.lstat().st_size
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # a training removes checkpoints that are no longer among the best
                continue
    return total


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
