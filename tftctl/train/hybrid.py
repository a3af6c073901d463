"""The total of all heads (SEMANTICS M1, M2, M3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry
from tftctl.train.losses import make_loss, pos_weight_mode

LOG_VAR_LIMIT = 6.0
BATCH_WEIGHT_LIMITS = (0.1, 10.0)


class Losses(NamedTuple):
    """What one portion of a batch gives: `total` (M1) to go down; per target (T,), detached: the sum of its losses
    and their count here, and its term w (L exp(-s) + s) of the whole batch as far as this portion makes it."""

    total: Tensor
    sums: Tensor
    counts: Tensor
    weighted: Tensor


class HybridLoss(nn.Module):
    """Total = sum of w_i (L_i exp(-s_i) + s_i), s_i learned and clamped to +-6, or 0 (Kendall et al. 2018).

    L_i is the sum over the labels of the global batch divided by their count; a target without any contributes
    nothing. Likelihood heads have a scale of their own, and s = 0. `pos_weight` is one mode for all binary targets or
    one per target: `fixed` from the training labels of each period, taken out of the probability again; `batch` from
    the labels of each global batch, in training only; `off`.
    """

    def __init__(
        self,
        targets: Sequence[TargetSpec],
        periods: Sequence[str],
        learned: bool,
        registry: Registry,
        pos_weight: str | Mapping[str, str] = "fixed",
    ) -> None:
        super().__init__()
        self.targets = list(targets)
        self.heads = nn.ModuleList([make_loss(target, registry) for target in targets])
        self.log_vars = nn.Parameter(torch.zeros(len(targets)), requires_grad=learned)
        self.modes = [pos_weight_mode(target.name, target.kind, pos_weight) for target in targets]
        weights = [
            [positive_weight(target, period) if mode == "fixed" else 1.0 for period in periods]
            for target, mode in zip(targets, self.modes, strict=True)
        ]
        self.register_buffer("pos_weight", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("weight", torch.tensor([target.weight for target in targets], dtype=torch.float32))
        self._weights = [target.weight for target in targets]
        scaled = [not target.likelihood for target in targets]
        self.register_buffer("scaled", torch.tensor(scaled), persistent=False)

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """The weights of a stage, by target."""
        for place, target in enumerate(self.targets):
            self._weights[place] = weights[target.name]
            self.weight[place] = weights[target.name]  # type: ignore[operator]

    def scales(self) -> Tensor:
        """s (T,) as it enters the total."""
        return self.log_vars.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT) * self.scaled  # type: ignore[operator]

    def forward(
        self,
        raw: Sequence[Tensor],
        labels: Tensor,
        period: Tensor,
        counts: Tensor | None = None,
        positives: Tensor | None = None,
        parts: int = 1,
    ) -> Losses:
        """Losses of one of `parts` portions of a batch: raw list of (B, outputs), labels (B, T), period (B,).

        `counts` and `positives` (T,) are those of the whole batch, the portion's own when there is one only. The mean
        of the totals of all portions is the total of the batch, and so are their gradients.
        """
        present = labels.isfinite()
        here = present.sum(0)
        counts = here if counts is None else counts
        positives = (labels == 1).sum(0) if positives is None else positives
        sums = torch.stack(
            [
                self._sum(place, head[present[:, place]], labels[present[:, place], place], period[present[:, place]],
                          counts[place], positives[place])
                for place, head in enumerate(raw)
            ]
        )  # fmt: skip
        scale = self.scales()
        # the weight and the mask choose, they do not multiply: 0 times infinity is not 0
        counted = (counts > 0) & (self.weight > 0)  # type: ignore[operator]
        used, zero = torch.where(counted, sums, 0.0), sums.new_zeros(())
        mean = parts * used / counts.clamp(min=1)
        term = torch.where(counted, self.weight * (mean * torch.exp(-scale) + scale), zero)  # type: ignore[operator]
        return Losses(term.sum(), sums.detach(), here, term.detach())

    def _sum(self, place: int, raw: Tensor, labels: Tensor, period: Tensor, count: Tensor, positive: Tensor) -> Tensor:
        """The sum of a target's losses over rows that have a label; of a resting target without a gradient."""
        pos = None
        if self.targets[place].kind == "binary":
            pos = self.pos_weight[place][period]  # type: ignore[index]
            if self.modes[place] == "batch":
                ratio = (count - positive) / positive.clamp(min=1)
                pos = ratio.clamp(*BATCH_WEIGHT_LIMITS).expand_as(pos)
        raw = raw if self._weights[place] else raw.detach()
        return self.heads[place](raw.float(), labels, pos).sum()

    def sums(self, raw: Sequence[Tensor], labels: Tensor, period: Tensor) -> tuple[Tensor, Tensor]:
        """Sum and count (T,) of the losses, for `val_loss` (M3): positive weights are out of rows and logits."""
        sums, counts = [], []
        for place, head in enumerate(self.heads):
            present = labels[:, place].isfinite()
            outputs = raw[place][present].float()
            if self.targets[place].kind == "binary" and outputs.shape[1] == 1:
                outputs = outputs - self.pos_weight[place][period[present], None].log()  # type: ignore[index]
            loss = head(outputs, labels[present, place], None)
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
