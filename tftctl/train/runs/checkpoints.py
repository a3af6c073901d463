"""What the names of a run's checkpoints say, without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tftctl.train.checkpoint_names import SCORED
from tftctl.train.curves import number
from tftctl.train.rundir import Run


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint of a run; epoch and scores as its name has them, None for one like last.ckpt."""

    name: str
    epoch: int | None
    composite_score: float | None
    val_loss: float | None
    bytes: int


def saved_checkpoints(run: Run) -> list[SavedCheckpoint]:
    """The checkpoints of a run by name, which is by epoch; last.ckpt is the last of them."""
    return [_saved(path) for path in sorted(run.checkpoints.glob("*.ckpt")) if not path.name.startswith(".")]


def _saved(path: Path) -> SavedCheckpoint:
    found = SCORED.fullmatch(path.name)
    size = path.stat().st_size if path.exists() else 0
    if found is None or found["epoch"] is None:
        return SavedCheckpoint(path.name, None, None, None, size)
    return SavedCheckpoint(
        path.name, int(found["epoch"]), number(float(found["composite"])), number(float(found["loss"])), size
    )
