"""The training losses of an epoch so far: sums and counts, so that no batch weighs more than its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tftctl.train.hybrid import Losses


@dataclass(slots=True)
class EpochSums:
    """Totals and weighted terms are summed over portions; raw losses over labels: (T,) each, in float64."""

    total: Tensor
    weighted: Tensor
    sums: Tensor
    counts: Tensor
    portions: int = 0

    @classmethod
    def empty(cls, targets: int, device: torch.device) -> EpochSums:
        """Nothing yet."""
        zeros = torch.zeros(targets, dtype=torch.float64, device=device)
        return cls(torch.zeros((), dtype=torch.float64, device=device), zeros, zeros.clone(), zeros.clone())

    def add(self, losses: Losses) -> None:
        """One portion more."""
        self.total = self.total + losses.total.detach()
        self.weighted = self.weighted + losses.weighted
        self.sums = self.sums + losses.sums
        self.counts = self.counts + losses.counts
        self.portions += 1

    def here(self, names: list[str]) -> dict[str, float]:
        """Mean losses of this process so far; nothing before the first portion."""
        if not self.portions:
            return {}
        means = (self.sums / self.counts).tolist()
        losses = {f"train_{name}_loss": value for name, value in zip(names, means, strict=True)}
        return {"train_loss": float(self.total) / self.portions, **losses}

    def state(self) -> dict[str, Any]:
        """For a checkpoint in the middle of an epoch."""
        tensors = {name: getattr(self, name).cpu() for name in ("total", "weighted", "sums", "counts")}
        return {**tensors, "portions": self.portions}

    def load(self, state: dict[str, Any]) -> None:
        """What `state` gave."""
        for name in ("total", "weighted", "sums", "counts"):
            setattr(self, name, state[name].to(getattr(self, name).device))
        self.portions = state["portions"]

    def values(self, fabric: Any, names: list[str]) -> dict[str, float]:
        """`train_loss`, and per target its raw loss and its weighted term, over all processes."""
        flat = torch.cat([self.total[None], self.weighted, self.sums, self.counts])
        flat = torch.cat([flat, flat.new_tensor([float(self.portions)])])
        flat = fabric.all_reduce(flat, reduce_op="sum").cpu()
        size, portions = len(names), max(float(flat[-1]), 1.0)
        weighted, sums, counts = flat[1:-1].reshape(3, size)
        values = {"train_loss": float(flat[0]) / portions}
        for place, name in enumerate(names):
            values[f"train_{name}_loss"] = float(sums[place] / counts[place]) if counts[place] else float("nan")
            values[f"train_{name}_loss_weighted"] = float(weighted[place]) / portions
        return values
