"""Where a training computes, and in which precision."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal

import torch

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, UsageError
from tftctl.model.network import NetworkShape

# floats of one intermediate tensor (origins, steps, inputs, hidden_size): what a CPU's caches hold; 1 GB on a GPU
_CPU_FLOATS, _GPU_FLOATS = 3_000_000, 250_000_000
_FEWEST, _MOST = 16, 1024


@dataclass(frozen=True, slots=True)
class Device:
    """Lightning's words for the machine's part, and its name for the manifest.

    `devices` are those of each of `nodes` machines: every one has a process of its own.
    """

    accelerator: Literal["cpu", "cuda"]
    precision: str
    name: str
    threads: int
    devices: int = 1
    nodes: int = 1

    @property
    def processes(self) -> int:
        """Processes of the training."""
        return self.devices * self.nodes


def choose_device(accelerator: str, config: ModelConfig) -> Device:
    """`auto` takes a CUDA GPU where there is one, and bf16 where that computes in it, else 32 bits.

    Raises UsageError for GPUs that torch does not see, ConfigError for 16 bits on a CPU: few have an LSTM of them.
    """
    cuda = torch.cuda.is_available()
    if accelerator == "gpu" and not cuda:
        raise UsageError("--accelerator gpu: torch sees no CUDA GPU here", "use --accelerator cpu, or leave it out")
    if accelerator == "cpu" or not cuda:
        if config.precision not in ("auto", "32-true"):
            raise ConfigError(f"precision: {config.precision} needs a GPU", "use auto or 32-true here")
        name = platform.processor() or platform.machine()
        devices = 1 if config.devices == "auto" else config.devices
        return Device("cpu", "32-true", name, torch.get_num_threads(), devices, config.num_nodes)
    there = torch.cuda.device_count()
    devices = there if config.devices == "auto" else config.devices
    if devices > there:
        raise ConfigError(f"devices: {devices}, but torch sees {there} GPU{'s' * (there > 1)}", f"use at most {there}")
    precision = _cuda_precision(config.precision)
    name = torch.cuda.get_device_name()
    return Device("cuda", precision, name, torch.get_num_threads(), devices, config.num_nodes)


def looking_batch(shape: NetworkShape, cuda: bool) -> int:
    """Origins per forward pass where nothing is learned: fast on this device, and no larger for a larger network."""
    floats = shape.encoder_length * (len(shape.reals) + 1) * shape.hidden_size
    return min(max((_GPU_FLOATS if cuda else _CPU_FLOATS) // floats, _FEWEST), _MOST)


def _cuda_precision(precision: str) -> str:
    if precision != "auto":
        return precision
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
