"""How a service tells of its progress without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

# (what, done, total): called as work advances; total is 0 where nobody knows it
Report = Callable[[str, int, int], None]
# a line for whoever runs the job
Say = Callable[[str], None]


def silent(what: str, done: int, total: int) -> None:
    """A Report that shows nothing."""


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """Where a training stands: told after every step, every batch of validation, and at the end of every epoch.

    `stages` is their number, `epoch` counts from 0; `done` of `total` steps or batches of this phase. `values` has what
    is logged so far of this epoch in `train` (the mean losses) and the whole row of metrics.jsonl in `epoch`.
    `windows_per_second` is the pace of this epoch's training steps, `remaining_seconds` an estimate for the whole
    training; NaN before it is known.
    """

    phase: Literal["train", "validation", "epoch"]
    stage: str
    stages: int
    epoch: int
    epochs: int
    done: int
    total: int
    lr: float
    values: Mapping[str, float]
    windows_per_second: float
    remaining_seconds: float


# called with every TrainingStatus
Watch = Callable[[TrainingStatus], None]


def unwatched(status: TrainingStatus) -> None:
    """A Watch that shows nothing."""
