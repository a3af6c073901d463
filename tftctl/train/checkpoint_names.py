"""What the names of checkpoints say, without loading them: no torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_NUMBER = r"-?\d+\.\d+|-?inf|nan"
SCORED = re.compile(
    rf"(?:epoch=(?P<epoch>\d+)-)?composite_score=(?P<composite>{_NUMBER})-val_loss=(?P<loss>{_NUMBER})\.ckpt"
)


def scored_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints that were kept for their score, by epoch; a diverged network's have `nan` in their names."""
    return [path for path in sorted(folder.glob("*.ckpt")) if SCORED.search(path.name)]


def scored_name(epoch: int, values: Mapping[str, float]) -> str:
    """`epoch=003-composite_score=0.5619-val_loss=0.4905.ckpt`."""
    score, loss = (values.get(key, float("nan")) for key in ("val_composite_score", "val_loss"))
    return f"epoch={epoch:03d}-composite_score={score:.4f}-val_loss={loss:.4f}.ckpt"
