"""How far a training has come after an epoch more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tftctl.core.config.model import ModelConfig
from tftctl.train.checkpoint import Progress
from tftctl.train.recorder import better
from tftctl.train.stages import Stage


def after_epoch(
    progress: Progress, config: ModelConfig, stage: Stage, values: Mapping[str, float], removed: Sequence[str]
) -> Progress:
    """The next epoch's beginning: the best of the stage, and how long the monitored value has not become better.

    `removed` are entries of the composite score that the data leave undefined.
    """
    best, waited = progress.best, progress.waited + 1
    value = values.get(config.monitor, math.nan)
    sign = 1.0 if config.monitor_mode == "max" else -1.0
    patience = config.early_stopping
    margin = patience.min_delta if patience else 0.0
    if math.isfinite(value) and (best is None or sign * (value - best) > margin):
        best, waited = value, 0
    return progress.model_copy(
        update={
            "epoch": progress.epoch + 1,
            "step": 0,
            "best": best,
            "waited": waited,
            "stopped": patience is not None and waited >= patience.patience,
            "stages": {**progress.stages, stage.name: better(progress.stages.get(stage.name), values)},
            "removed": list(removed),
        }
    )
