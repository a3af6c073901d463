"""What is trained: the network and its losses in one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tftctl.data.windows import Batch
from tftctl.model.network import ForecastNetwork
from tftctl.train.hybrid import HybridLoss, Losses

SYMBOL_DROPOUT = 0.02


class ForecastModule(nn.Module):
    """Batch -> losses. `unknown` is the code of symbols that have none of their own, None where there is no such code.

    It is learned from 2 % of the training windows, which are shown without their symbol (SEMANTICS S5).
    """

    def __init__(self, network: ForecastNetwork, loss: HybridLoss, unknown: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.unknown = unknown
        self.learned = loss.log_vars.requires_grad

    def forward(self, batch: Batch, parts: int = 1) -> Losses:
        """Losses of one of `parts` portions of a global batch (M1)."""
        if self.training and self.unknown is not None:
            batch = {**batch, "codes": self._anonymous(batch["codes"])}
        raw = self.network(batch)
        return self.loss(raw, batch["labels"], batch["period"], batch["counts"], batch["positives"], parts)

    def look(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Forecasts (B, columns), loss sums (T,) and counts (T,) without positive weights (M3)."""
        raw = self.network(batch)
        sums, counts = self.loss.sums(raw, batch["labels"], batch["period"])
        return self.loss.forecasts(raw, batch["period"]), sums, counts

    def _anonymous(self, codes: Tensor) -> Tensor:
        hidden = torch.rand(codes.shape[0], device=codes.device) < SYMBOL_DROPOUT
        symbol = torch.where(hidden, torch.full_like(codes[:, 0], self.unknown), codes[:, 0])  # type: ignore[arg-type]
        return torch.stack([symbol, codes[:, 1]], dim=1)
