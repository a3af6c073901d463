"""Where a training computes, and in which precision."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal

import torch

from tftctl.core.errors import ConfigError, UsageError
from tftctl.model.network import NetworkShape

# floats of one intermediate tensor (origins, steps, inputs, hidden_size): what a CPU's caches hold; 1 GB on a GPU
_CPU_FLOATS, _GPU_FLOATS = 3_000_000, 250_000_000
_FEWEST, _MOST = 16, 1024


@dataclass(frozen=True, slots=True)
class Device:
    """Lightning's words for the machine's part, and its name for the manifest."""

    accelerator: Literal["cpu", "cuda"]
    precision: str
    name: str
    threads: int


def choose_device(accelerator: str, precision: str) -> Device:
    """`auto` takes a CUDA GPU where there is one, and bf16 where that computes in it, else 32 bits.

    Raises UsageError for a GPU that torch does not see, ConfigError for bf16 on a CPU.
    """
    cuda = torch.cuda.is_available()
    if accelerator == "gpu" and not cuda:
        raise UsageError("--accelerator gpu: torch sees no CUDA GPU here", "use --accelerator cpu, or leave it out")
    if accelerator == "cpu" or not cuda:
        if precision == "bf16-mixed":
            raise ConfigError("precision: bf16-mixed needs a GPU", "use auto or 32-true here")
        name = platform.processor() or platform.machine()
        return Device("cpu", "32-true", name, torch.get_num_threads())
    return Device("cuda", _cuda_precision(precision), torch.cuda.get_device_name(), torch.get_num_threads())


def looking_batch(shape: NetworkShape, cuda: bool) -> int:
    """Origins per forward pass where nothing is learned: fast on this device, and no larger for a larger network."""
    floats = shape.encoder_length * (len(shape.reals) + 1) * shape.hidden_size
    return min(max((_GPU_FLOATS if cuda else _CPU_FLOATS) // floats, _FEWEST), _MOST)


def _cuda_precision(precision: str) -> str:
    if precision != "auto":
        return precision
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
