"""What a reader of a running training has to know of its past: the last epochs, the best so far, the time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tftctl.core.progress import TrainingStatus

LOSS, COMPOSITE, TRAIN_LOSS = "val_loss", "val_composite_score", "train_loss"
EPOCHS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class EpochRow:
    """A finished epoch, from 0; NaN for what is undefined. `seconds` since the first step of the training."""

    epoch: int
    stage: str
    train_loss: float
    val_loss: float
    composite: float
    seconds: float


@dataclass(slots=True)
class TrainingState:
    """Fed with every status. `values` has the newest value of every key, `over` says that no more will come."""

    status: TrainingStatus | None = None
    values: dict[str, float] = field(default_factory=dict)
    rows: list[EpochRow] = field(default_factory=list)
    best_loss: EpochRow | None = None
    best_composite: EpochRow | None = None
    seconds: float = 0.0
    over: bool = False
    _started: float | None = None

    def see(self, status: TrainingStatus, now: float) -> None:
        """Take in one status at an instant (seconds of a monotonic clock)."""
        self._started = now if self._started is None else self._started
        self.seconds = now - self._started
        self.status = status
        self.values.update({key: plain(status.values, key) for key in status.values})
        if status.phase == "epoch":
            self._end_epoch(status)

    def line(self) -> str:
        """The last epoch in one line: `epoch 1/3  train_loss 0.6931  val_loss 0.7012  composite 0.5123  12 s`."""
        row, epochs = self.rows[-1], self.status.epochs if self.status else 0
        stage = f"  {row.stage}" if self.status and self.status.stages > 1 else ""
        return (
            f"epoch {row.epoch + 1}/{epochs}{stage}  train_loss {row.train_loss:.4f}  val_loss {row.val_loss:.4f}"
            f"  composite {row.composite:.4f}  {row.seconds:.0f} s"
        )

    def target_losses(self) -> list[tuple[str, float, float]]:
        """(target, loss in training, in validation) by the name; NaN where there is none yet."""
        names = [key.removeprefix("train_").removesuffix("_loss") for key in self.values if _of_target(key)]
        return [(name, self.values[f"train_{name}_loss"], plain(self.values, f"val_{name}_loss")) for name in names]

    def _end_epoch(self, status: TrainingStatus) -> None:
        train, validation, composite = (plain(status.values, key) for key in (TRAIN_LOSS, LOSS, COMPOSITE))
        row = EpochRow(status.epoch, status.stage, train, validation, composite, self.seconds)
        self.rows = [*self.rows, row][-EPOCHS_SHOWN:]
        if self.best_loss is None or row.val_loss < self.best_loss.val_loss:
            self.best_loss = row if math.isfinite(row.val_loss) else self.best_loss
        if self.best_composite is None or row.composite > self.best_composite.composite:
            self.best_composite = row if math.isfinite(row.composite) else self.best_composite


def plain(values: Mapping[str, object], key: str) -> float:
    """A value as a number; NaN for null, text and what is missing."""
    value = values.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _of_target(key: str) -> bool:
    return key.startswith("train_") and key.endswith("_loss") and key != TRAIN_LOSS
