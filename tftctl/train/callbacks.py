"""What happens at the end of an epoch: checkpoints, `metrics.jsonl`, one line for the reader."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint

from tftctl.core.config.model import ModelConfig
from tftctl.core.progress import Report
from tftctl.train.checkpoint import KEY, CheckpointContent
from tftctl.train.rundir import Run


class ContentCheckpoint(Callback):
    """Puts what is needed to rebuild the network into every checkpoint, as one JSON text."""

    def __init__(self, content: CheckpointContent) -> None:
        self._text = content.model_dump_json()

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning before a checkpoint is written."""
        checkpoint[KEY] = self._text


class EpochLog(Checkpoint):
    """Appends one object per epoch to `metrics.jsonl` and says one line, once the epoch's checkpoint is written.

    Lightning calls `Checkpoint` callbacks after all others and in their order, so this one stands behind the keeper.
    """

    def __init__(self, run: Run, say: Callable[[str], None]) -> None:
        self._run = run
        self._say = say
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Called after the epoch's validation."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, "lr": _rate(trainer), **values}
        plain = {name: (value if math.isfinite(value) else None) for name, value in row.items()}
        with self._run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain) + "\n")
        self._say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            f"  train_loss {values.get('train_loss', math.nan):.4f}"
            f"  val_loss {values.get('val_loss', math.nan):.4f}"
            f"  composite {values.get('val_composite_score', math.nan):.4f}"
            f"  {time.perf_counter() - self._started:.0f} s"
        )
        if not math.isfinite(values.get("val_loss", 0.0)):
            self._say("warning: the network has diverged, its losses are not finite; lower lr or gradient_clip_val")


class StepProgress(Callback):
    """Reports each batch of an epoch, and of its validation."""

    def __init__(self, report: Report, steps: int) -> None:
        self._report = report
        self._steps = steps

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Called after each step."""
        self._report(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", batch_idx + 1, self._steps)

    def on_validation_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Called after each batch of validation."""
        self._report(f"validation {trainer.current_epoch + 1}", batch_idx + 1, int(trainer.num_val_batches[0]))


def checkpoints(run: Run, config: ModelConfig, content: CheckpointContent) -> list[Callback]:
    """Top-k by the monitored value, and the last one; names hold composite score and val_loss."""
    keeper = ModelCheckpoint(
        dirpath=run.checkpoints,
        filename="epoch={epoch:03d}-composite_score={val_composite_score:.4f}-val_loss={val_loss:.4f}",
        auto_insert_metric_name=False,
        monitor=config.monitor,
        mode=config.monitor_mode,
        save_top_k=config.top_k,
        save_last=config.save_last,
        enable_version_counter=False,
    )
    return [ContentCheckpoint(content), keeper]


def _rate(trainer: lightning.Trainer) -> float:
    return float(trainer.optimizers[0].param_groups[0]["lr"])
