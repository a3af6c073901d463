"""The checkpoint that a training begins with, and the run that it is of."""

from __future__ import annotations

import warnings
from pathlib import Path

from tftctl.core.errors import DataError, TftctlWarning
from tftctl.core.workspace import Workspace
from tftctl.train.checkpoint import LoadedCheckpoint, load_checkpoint
from tftctl.train.checkpoint_names import scored_checkpoints
from tftctl.train.keeper import LAST
from tftctl.train.ranking import rank_checkpoints
from tftctl.train.rundir import Run, all_runs, find_run


def find_checkpoint(workspace: Workspace, source: str, prefer: str = "last") -> tuple[Path, Run | None]:
    """A checkpoint by its path, or a run's last or best one, and its run where that is known.

    Raises UsageError for a name that is neither, DataError for a run without a checkpoint.
    """
    for path in (Path(source), workspace.root / source):
        if path.is_file():
            return path, _run_around(path)
    run = find_run(workspace, source)
    last = run.checkpoints / LAST
    ranked = rank_checkpoints(run)
    if prefer == "last" and last.is_file():
        return last, run
    if prefer == "last" and ranked:
        return scored_checkpoints(run.checkpoints)[-1], run
    if ranked or last.is_file():
        return ranked[0] if ranked else last, run
    parent = run.manifest.get("parent")
    again = f"go on from its parent again: tftctl resume {parent}" if parent else "train again"
    raise DataError(
        f"{run.root} has no checkpoint",
        f"its training ended before the first; checkpoint_every_steps writes them within an epoch; {again}",
    )


def load_ancestor(workspace: Workspace, source: str, prefer: str = "last") -> tuple[LoadedCheckpoint, Run | None]:
    """The checkpoint itself; its run is looked for by its id where the file has been moved."""
    path, run = find_checkpoint(workspace, source, prefer)
    loaded = load_checkpoint(path)
    if run is None:
        run = next((run for run in all_runs(workspace) if _id_of(run) == loaded.content.run_id), None)
    return loaded, run


def _run_around(path: Path) -> Run | None:
    root = path.resolve().parent.parent
    return Run(root) if (root / "manifest.json").is_file() else None


def _id_of(run: Run) -> str | None:
    """A run's id; None with a warning where its manifest is damaged, which need not be the one that is looked for."""
    try:
        return run.manifest.get("id")
    except DataError as error:
        warnings.warn(error.message, TftctlWarning, stacklevel=2)
        return None
