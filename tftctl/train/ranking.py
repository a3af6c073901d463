"""The kept checkpoints of a run, best first."""

from __future__ import annotations

import math
from pathlib import Path

from tftctl.core.config.loading import load
from tftctl.core.config.model import ModelConfig
from tftctl.train.checkpoint_names import SCORED, scored_checkpoints
from tftctl.train.curves import number, read_rows
from tftctl.train.rundir import Run


def rank_checkpoints(run: Run) -> list[Path]:
    """The kept checkpoints, best first by the value that the training monitored, the earlier epoch of equal ones.

    Those whose value is undefined or was never written come last.
    """
    config = load(run.root / "configs" / "model_config.yaml", ModelConfig)
    values = {row["epoch"]: number(row.get(config.monitor)) for row in read_rows(run)}
    sign = -1.0 if config.monitor_mode == "max" else 1.0

    def rank(path: Path) -> float:
        value = values.get(_epoch(path))
        return math.inf if value is None else sign * value

    return sorted(scored_checkpoints(run.checkpoints), key=rank)


def _epoch(path: Path) -> int:
    match = SCORED.search(path.name)
    return int(match["epoch"]) if match and match["epoch"] else -1
