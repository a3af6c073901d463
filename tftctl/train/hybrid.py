"""The total of all heads (SEMANTICS M1, M2, M3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry
from tftctl.train.losses import make_loss

LOG_VAR_LIMIT = 6.0


class HybridLoss(nn.Module):
    """Total = sum of w_i (L_i exp(-s_i) + s_i), s_i learned and clamped to +-6, or 0 (Kendall et al. 2018).

    L_i is the sum over the batch's labels divided by their count; a target without labels contributes nothing.
    """

    def __init__(
        self, targets: Sequence[TargetSpec], periods: Sequence[str], learned: bool, registry: Registry
    ) -> None:
        super().__init__()
        self.targets = list(targets)
        self.heads = nn.ModuleList([make_loss(target, registry) for target in targets])
        self.log_vars = nn.Parameter(torch.zeros(len(targets)), requires_grad=learned)
        weights = [[positive_weight(target, period) for period in periods] for target in targets]
        self.register_buffer("pos_weight", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("weight", torch.tensor([target.weight for target in targets], dtype=torch.float32))

    def forward(self, raw: Sequence[Tensor], labels: Tensor, period: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and the raw mean loss of each target that has labels: raw list of (B, outputs), labels (B, T)."""
        scale = self.log_vars.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT)
        total = raw[0][:0].float().sum()  # 0 that can be differentiated, for a batch without any label
        terms: dict[str, Tensor] = {}
        for place, target in enumerate(self.targets):
            present = labels[:, place].isfinite()
            if not present.any() or target.weight == 0:
                continue
            pos = self.pos_weight[place][period[present]] if target.kind == "binary" else None  # type: ignore[index]
            loss = self.heads[place](raw[place][present].float(), labels[present, place], pos).mean()
            total = total + target.weight * (loss * torch.exp(-scale[place]) + scale[place])
            terms[target.name] = loss
        return total, terms

    def sums(self, raw: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """Sum and count (T,) of the losses without positive weights, for `val_loss` (M3)."""
        sums, counts = [], []
        for place, head in enumerate(self.heads):
            present = labels[:, place].isfinite()
            loss = head(raw[place][present].float(), labels[present, place], None)
            sums.append(loss.sum())
            counts.append(present.sum())
        return torch.stack(sums), torch.stack(counts)

    def forecasts(self, raw: Sequence[Tensor], period: Tensor) -> Tensor:
        """Points (B, T), standardised values or probabilities with the positive weight taken out again.

        Behind them, in the order of the targets, the standardised quantiles of heads that have some: (B, T + sum of Q).
        """
        points, quantiles = [], []
        for place, target in enumerate(self.targets):
            head, outputs = self.heads[place], raw[place].float()
            point = head.point(outputs)  # type: ignore[operator]
            if target.kind == "binary":
                point = torch.sigmoid(point - self.pos_weight[place][period].log())  # type: ignore[index]
            points.append(point)
            if target.levels:
                quantiles.append(head.quantiles(outputs))  # type: ignore[operator]
        return torch.cat([torch.stack(points, dim=1), *quantiles], dim=1)


def positive_weight(target: TargetSpec, period: str) -> float:
    """(1 - base rate) / base rate of training labels; 1 where the period has none."""
    rate = target.base_rate.get(period)
    return (1 - rate) / rate if rate else 1.0
