"""The state of a training as a checkpoint has it, beside the module's weights."""

from __future__ import annotations

from typing import Any

import torch

from tftctl.train.checkpoint import LoadedCheckpoint
from tftctl.train.parts import Parts
from tftctl.train.sums import EpochSums
from tftctl.train.validation import collected


def module_state(parts: Parts) -> dict[str, torch.Tensor]:
    """The weights that are looked at: averaged ones where there are any."""
    with parts.averaged():
        return {name: value.clone() for name, value in parts.module.state_dict().items()}


def training_state(parts: Parts, lr: float, processes: list[dict[str, Any]]) -> dict[str, Any]:
    """What goes on: optimiser, schedule and its peak, weights without averaging, and `process_states`."""
    return {
        "optimiser": parts.optimiser.state_dict(),
        "schedule": parts.schedule.state_dict(),
        "raw": parts.module.state_dict() if parts.average is not None else {},
        "precision": parts.fabric.strategy.precision.state_dict(),
        "lr": lr,
        "processes": processes,
    }


def process_states(parts: Parts, sums: EpochSums) -> list[dict[str, Any]]:
    """What each process has of its own: its generators, and the sums of this epoch. All of them have to ask."""
    on_cuda = parts.fabric.device.type == "cuda"
    own = {
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state() if on_cuda else None,
        "sums": sums.state(),
    }
    return collected(parts.fabric, own)


def restore(parts: Parts, sums: EpochSums, loaded: LoadedCheckpoint) -> float:
    """Go on where a checkpoint was written; returns the peak of the schedule then."""
    training = loaded.training
    if parts.average is not None:
        own = dict(parts.module.named_parameters())
        parts.average.values = {name: loaded.state[name].to(own[name].device).clone() for name in own}
    parts.module.load_state_dict(training["raw"] or loaded.state)
    parts.optimiser.load_state_dict(training["optimiser"])
    parts.schedule.load_state_dict(training["schedule"])
    parts.fabric.strategy.precision.load_state_dict(training["precision"])
    mine = training["processes"][parts.fabric.global_rank]
    sums.load(mine["sums"])
    torch.set_rng_state(mine["rng"])
    if mine["rng_cuda"] is not None and parts.fabric.device.type == "cuda":
        torch.cuda.set_rng_state(mine["rng_cuda"])
    return float(training["lr"])
