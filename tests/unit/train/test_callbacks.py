"""What is said and written at the end of an epoch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tftctl.train.callbacks import EpochLog, StepProgress
from tftctl.train.rundir import Run


def trainer(epoch: int, **metrics: float) -> Any:
    """What a callback reads of Lightning's trainer."""
    optimiser = SimpleNamespace(param_groups=[{"lr": 0.01}])
    return SimpleNamespace(
        callback_metrics=metrics, current_epoch=epoch, global_step=10 * epoch + 10, max_epochs=3,
        optimizers=[optimiser], num_val_batches=[7],
    )  # fmt: skip


@pytest.mark.parametrize(("loss", "warned"), [(0.5, False), (math.nan, True), (math.inf, True)])
def test_a_network_that_diverges_is_told(tmp_path: Path, loss: float, warned: bool) -> None:
    """M5 scores it as no skill, which could pass for a poor network; JSON has no NaN."""
    said: list[str] = []
    log = EpochLog(Run(tmp_path), said.append)
    log.on_train_epoch_end(trainer(0, val_loss=loss, val_composite_score=0.25, train_loss=1.0), None)  # type: ignore[arg-type]
    assert [line.startswith("warning: the network has diverged") for line in said] == [False, True][: len(said)]
    assert (len(said) == 2) == warned
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert row["val_loss"] == (None if warned else 0.5)
    assert (row["epoch"], row["step"], row["lr"], row["val_composite_score"]) == (0, 10, 0.01, 0.25)


def test_every_epoch_adds_a_row(tmp_path: Path) -> None:
    """DESIGN 7: one object per epoch."""
    log = EpochLog(Run(tmp_path), lambda _: None)
    for epoch in range(3):
        log.on_train_epoch_end(trainer(epoch, val_loss=float(epoch)), None)  # type: ignore[arg-type]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["val_loss"]) for row in rows] == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_progress_counts_steps_and_validation() -> None:
    """DESIGN 7: one bar per epoch and one per validation, each up to its end."""
    reported: list[tuple[str, int, int]] = []
    progress = StepProgress(lambda *entry: reported.append(entry), 5)
    progress.on_train_batch_end(trainer(1), None, None, None, 4)
    progress.on_validation_batch_end(trainer(1), None, None, None, 6)
    assert reported == [("epoch 2/3", 5, 5), ("validation 2", 7, 7)]
