"""Losses of a binary head: raw (N, 1), target (N,) of 0 and 1 -> unreduced loss (N,)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tftctl.builtins.loss_options import at_least_0, share


class BinaryCrossEntropy(nn.Module):
    """-(w y log p + (1 - y) log(1 - p)), p = sigmoid(logit), w the positive weight of the row (1 if None)."""

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        return functional.binary_cross_entropy_with_logits(
            self.point(raw), target, pos_weight=pos_weight, reduction="none"
        )

    def point(self, raw: Tensor) -> Tensor:
        """The logit, shape (N,)."""
        return raw[:, 0]


class Focal(nn.Module):
    """-(w a y (1 - p)^g log p + b (1 - y) p^g log(1 - p)) (Lin et al. 2017), w the positive weight of the row.

    g is `gamma` (0: cross-entropy); a = `alpha` and b = 1 - `alpha`, both 1 without it. Rows that are already right
    count less, which pulls sigmoid(logit) towards 0.5: its outputs rank rows and are scores, no probabilities, before
    and after the positive weight is taken out of them, which is exact for cross-entropy alone (M2).
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        self.gamma = at_least_0("gamma", gamma)
        self.positive = 1.0 if alpha is None else share("alpha", alpha)
        self.negative = 1.0 if alpha is None else 1.0 - self.positive

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        logit = self.point(raw)
        log_p, log_q = functional.logsigmoid(logit), functional.logsigmoid(-logit)
        positive = -self.positive * torch.exp(self.gamma * log_q) * log_p
        negative = -self.negative * torch.exp(self.gamma * log_p) * log_q
        weighted = positive if pos_weight is None else pos_weight * positive
        return target * weighted + (1 - target) * negative

    def point(self, raw: Tensor) -> Tensor:
        """The logit, shape (N,)."""
        return raw[:, 0]
