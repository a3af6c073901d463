"""Checkpoints that load with `weights_only=True`: tensors and one JSON text (DESIGN §6)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.errors import DataError, UsageError
from tftctl.data.spec import DataSpec
from tftctl.model.network import NetworkShape
from tftctl.train.stages import Stage

KEY = "tftctl"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Kept(_Frozen):
    """A checkpoint that was kept for its monitored value (None where that was undefined)."""

    file: str
    epoch: int
    value: float | None


class StageBest(_Frozen):
    """The best of a stage so far; None where nothing was defined."""

    epochs: int
    composite_score: float | None
    val_loss: float | None


class Progress(_Frozen):
    """Where a training stands: `step` optimiser steps of epoch `epoch` are made, `global_step` in all.

    `waited` epochs have passed without a better monitored value than `best`; `removed` are entries of the composite
    score that the data leave undefined.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    kept: list[Kept] = []
    stages: dict[str, StageBest] = {}
    best: float | None = None
    waited: int = 0
    stopped: bool = False
    removed: list[str] = []


class Course(_Frozen):
    """What a training has before it: stages, all its steps, those of an epoch at most, its schedule's steps and peak.

    `steps` and `schedule_steps` differ where a training is continued beyond its schedule. `fresh` parameters of a warm
    start have `fresh_scale` times the rate of the others.
    """

    stages: list[Stage]
    epochs: int
    steps: int
    steps_per_epoch: int | None
    schedule_steps: int
    lr: float
    warmup: bool
    fresh: list[str] = []
    fresh_scale: float = 1.0


class CheckpointContent(_Frozen):
    """What a checkpoint says besides its tensors: enough to rebuild the network and its windows, and to go on.

    `run_id` is that of the run's manifest: names of runs can be given twice, in two workspaces.
    """

    format: Literal[3] = 3
    run: str
    run_id: str
    config: ModelConfig
    spec: DataSpec
    weights: WeightsConfig
    composite: CompositeConfig
    course: Course
    progress: Progress
    data_versions: dict[str, str]
    devices: int = 1


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A checkpoint's content, the module's state, and what resuming needs besides."""

    path: Path
    content: CheckpointContent
    state: dict[str, Any]
    training: dict[str, Any]


def load_checkpoint(path: Path) -> LoadedCheckpoint:
    """Read a checkpoint without unpickling anything.

    Raises UsageError when there is none, DataError when it is cut off or of another version.
    """
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path}", "see the run's checkpoints/ folder")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        text, state, training = document[KEY], document["state_dict"], document.get("training", {})
    except Exception as error:  # noqa: BLE001 - torch raises anything from KeyError to UnpicklingError for bad files
        raise DataError(f"{path} cannot be read as a checkpoint ({type(error).__name__})", _HINT) from None
    try:
        return LoadedCheckpoint(path, CheckpointContent.model_validate_json(text), state, training)
    except ValidationError as error:
        raise DataError(f"{path} is a checkpoint of another version: {error.error_count()} problems", _HINT) from None


_HINT = "it is cut off, or was not written by this version's tftctl train"


def write_checkpoint(
    path: Path, content: CheckpointContent, state: Mapping[str, Any], training: Mapping[str, Any]
) -> None:
    """Write a checkpoint; it appears whole or not at all, also when the process is killed."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with staged.open("wb") as file:
            torch.save({KEY: content.model_dump_json(), "state_dict": dict(state), "training": dict(training)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def share_file(source: Path, target: Path) -> None:
    """Another name for a checkpoint, or a copy where the file system has no links; replaces what is there."""
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    try:
        os.link(source, staged)
    except OSError:
        shutil.copyfile(source, staged)
    os.replace(staged, target)


def network_shape(config: ModelConfig, spec: DataSpec) -> NetworkShape:
    """The shape that a configuration and its data give the network."""
    return NetworkShape(
        reals=tuple(spec.reals),
        known=tuple(spec.known),
        symbols=len(spec.symbols) + spec.pooled,
        periods=len(spec.periods),
        static=tuple(config.static_categoricals),
        varying=tuple(name for name in config.x_categoricals if name not in config.static_categoricals),
        outputs=tuple(target.outputs for target in spec.targets),
        encoder_length=spec.encoder_length,
        hidden_size=config.hidden_size,
        hidden_continuous_size=config.hidden_continuous_size or min(config.hidden_size, 16),
        lstm_layers=config.lstm_layers,
        dropout=config.dropout,
        attention_head_size=config.attention_head_size,
        symbol_width=config.embedding_sizes.get("symbol"),
        period_width=config.embedding_sizes.get("period"),
    )
