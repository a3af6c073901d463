"""Which checkpoints of a run are meant by `best`, `last`, `top-k` or a path."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from tftctl.core.config.loading import load
from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError, UsageError, choices
from tftctl.train.checkpoint import scored_checkpoints
from tftctl.train.rundir import Run

WORDS = ("best", "last", "top-k")
_EPOCH = re.compile(r"epoch=(\d+)")


@dataclass(frozen=True, slots=True)
class Choice:
    """Checkpoints to evaluate; several are averaged. `label` names them in folders."""

    label: str
    paths: tuple[Path, ...]


def choose_checkpoints(run: Run, name: str) -> Choice:
    """`best` and `top-k` follow the run's `monitor`; anything else is a file, or a name in checkpoints/.

    Raises UsageError with the nearest match for a name that is not there, DataError for a run that kept none.
    """
    kept = sorted(run.checkpoints.glob("*.ckpt"))
    if not kept:
        raise DataError(f"{run.root} has no checkpoint", "its training ended before the first epoch did; train again")
    if name == "last":
        return Choice(name, (_existing(run, "last.ckpt"),))
    if name in WORDS:
        ranked = rank_checkpoints(run)
        if not ranked:
            raise UsageError(f"{run.name} kept no scored checkpoint (top_k: 0)", "use --checkpoint last")
        return Choice(name, tuple(ranked) if name == "top-k" else (ranked[0],))
    for path in (Path(name), run.checkpoints / name, run.checkpoints / f"{name}.ckpt"):
        if path.is_file():
            return Choice(path.stem, (path,))
    raise UsageError(
        f"{run.name} has no checkpoint {name!r}", choices(name, {*WORDS, *(p.stem for p in kept)}, "checkpoints")
    )


def rank_checkpoints(run: Run) -> list[Path]:
    """The kept checkpoints, best first by the value that the training monitored, the earlier epoch of equal ones.

    Those whose value is undefined or was never written come last.
    """
    config = load(run.root / "configs" / "model_config.yaml", ModelConfig)
    values = _monitored(run, config.monitor)
    sign = -1.0 if config.monitor_mode == "max" else 1.0
    return sorted(
        scored_checkpoints(run.checkpoints), key=lambda path: sign * values.get(_epoch(path), sign * math.inf)
    )


def _existing(run: Run, name: str) -> Path:
    path = run.checkpoints / name
    if not path.is_file():
        raise UsageError(f"{run.name} kept no {name} (save_last: false)", "use --checkpoint best")
    return path


def _monitored(run: Run, key: str) -> dict[int, float]:
    """Epoch -> monitored value, from the run's metrics."""
    if not run.metrics.is_file():
        return {}
    rows = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    return {row["epoch"]: row[key] for row in rows if row.get(key) is not None}


def _epoch(path: Path) -> int:
    match = _EPOCH.search(path.name)
    return int(match[1]) if match else -1
