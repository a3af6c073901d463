"""What the processes of a training found in validation, together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor


def validation_losses(names: Sequence[str], sums: Tensor, counts: Tensor) -> dict[str, float]:
    """`val_loss`, the mean over targets that have labels (M3), and the loss of each; NaN where there are none."""
    means = sums / counts
    mean = float(means[counts > 0].mean())
    losses = {f"val_{name}_loss": value for name, value in zip(names, means.tolist(), strict=True)}
    return {"val_loss": mean, "val_loss_for_ckpt": mean, **losses}


def collected(fabric: Fabric, own: Any) -> list[Any]:
    """What every process has, in the order of the processes. All of them have to ask."""
    if fabric.world_size == 1:
        return [own]
    everyone: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(everyone, own)
    return everyone


def gathered(fabric: Fabric, seen: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Origins, forecasts, summed losses and counts of all processes, in the order of the origins."""
    origins, forecasts, sums, counts = zip(*seen, strict=True)
    total, count = torch.stack(sums).double().sum(0), torch.stack(counts).sum(0)
    rows, made = torch.cat(origins), torch.cat(forecasts)
    if fabric.world_size == 1:
        return rows, made, total, count
    everyone = collected(fabric, (rows, made, total, count))
    rows, made = torch.cat([part[0] for part in everyone]), torch.cat([part[1] for part in everyone])
    order = rows.argsort()
    return (
        rows[order],
        made[order],
        torch.stack([part[2] for part in everyone]).sum(0),
        torch.stack([part[3] for part in everyone]).sum(0),
    )
