"""Checkpoints that load with `weights_only=True`: tensors and one JSON text (DESIGN §6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError, UsageError
from tftctl.data.spec import DataSpec
from tftctl.model.network import NetworkShape

KEY = "tftctl"
FORMAT = 1
_NUMBER = r"-?\d+\.\d+|-?inf|nan"
_SCORED = re.compile(rf"composite_score=(?P<composite>{_NUMBER})-val_loss=(?P<loss>{_NUMBER})\.ckpt")


class CheckpointContent(BaseModel):
    """What a checkpoint says besides its tensors: enough to rebuild the network and its windows.

    `run_id` is that of the run's manifest: names of runs can be given twice, in two workspaces.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    run: str
    run_id: str
    config: ModelConfig
    spec: DataSpec


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A checkpoint's content and the module's state."""

    path: Path
    content: CheckpointContent
    state: dict[str, Any]


def load_checkpoint(path: Path) -> LoadedCheckpoint:
    """Read a checkpoint without unpickling anything.

    Raises UsageError when there is none, DataError when it is cut off or of another version.
    """
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path}", "see the run's checkpoints/ folder")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        return LoadedCheckpoint(path, CheckpointContent.model_validate_json(document[KEY]), document["state_dict"])
    except ValidationError as error:
        raise DataError(f"{path} is a checkpoint of another version: {error.error_count()} problems", _HINT) from None
    except Exception as error:  # noqa: BLE001 - torch raises anything from KeyError to UnpicklingError for bad files
        raise DataError(f"{path} cannot be read as a checkpoint ({type(error).__name__})", _HINT) from None


_HINT = "it is cut off, or was not written by tftctl train"


def network_shape(config: ModelConfig, spec: DataSpec) -> NetworkShape:
    """The shape that a configuration and its data give the network."""
    return NetworkShape(
        reals=tuple(spec.reals),
        known=tuple(spec.known),
        symbols=len(spec.symbols),
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
    )


def scored_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints that were kept for their score, by epoch; a diverged network's have `nan` in their names."""
    return [path for path in sorted(folder.glob("*.ckpt")) if _SCORED.search(path.name)]
