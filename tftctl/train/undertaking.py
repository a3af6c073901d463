"""What a training is asked to do, and what it is when every step of it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lightning.fabric.utilities.rank_zero import rank_zero_only

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.progress import Say, Watch, unwatched
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared
from tftctl.plugins import Registry
from tftctl.store import Store
from tftctl.train.checkpoint import Course, LoadedCheckpoint
from tftctl.train.device import Device
from tftctl.train.judge import Judge
from tftctl.train.rundir import Run


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training leaves behind; paths are relative to the workspace. A trial has no run."""

    run: str | None
    best_checkpoint: str | None
    last_checkpoint: str | None
    epochs: int
    val_composite_score: float | None
    val_loss: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Job:
    """Where a training happens, and who is told."""

    workspace: Workspace
    store: Store
    registry: Registry
    say: Say
    watch: Watch = unwatched
    accelerator: str = "auto"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a training is asked to do: its configuration and what only a command line says.

    `plan`: the stages one after the other instead of the first one for all epochs, from `stage` on. `overfit_batches`:
    train on that many batches, and look at these. `trial`: one step and one batch of validation, and no run.
    `allow_unaudited`: also on features that an audit has failed. `allow_selection_overlap`: also with a selection that
    has read labels after this training's cut.
    """

    config: ModelConfig
    weights: WeightsConfig
    composite: CompositeConfig
    plan: bool = False
    stage: str | None = None
    log_name: str | None = None
    overfit_batches: int | None = None
    trial: bool = False
    allow_unaudited: bool = False
    allow_selection_overlap: bool = False


@dataclass(frozen=True, slots=True)
class Undertaking:
    """A training whose every step is known.

    `selection` is what the manifest says of the chosen inputs (a list of names where an older version wrote it).
    `loaded` is the checkpoint that it begins with, `parent` its run.
    """

    command: Literal["train", "resume", "warm-start"]
    asked: Asked
    prepared: Prepared
    course: Course
    device: Device
    judge: Judge
    selection: dict[str, Any] | list[str] | None = None
    loaded: LoadedCheckpoint | None = None
    parent: Run | None = None


def first_process(say: Say) -> Say:
    """`say` in the first process of a training, silence in the others."""
    return say if getattr(rank_zero_only, "rank", 0) == 0 else nobody


def nobody(line: str) -> None:
    """Says nothing."""
