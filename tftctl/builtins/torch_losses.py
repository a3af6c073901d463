"""Losses of one head: raw (N, outputs), target (N,) -> unreduced loss (N,)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


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


class SquaredError(nn.Module):
    """(prediction - target)^2."""

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        return (self.point(raw) - target) ** 2

    def point(self, raw: Tensor) -> Tensor:
        """The standardised value, shape (N,)."""
        return raw[:, 0]


class SmoothAbsoluteError(nn.Module):
    """0.5 d^2 / beta where |d| < beta, |d| - 0.5 beta above; d = prediction - target."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        return functional.smooth_l1_loss(self.point(raw), target, beta=self.beta, reduction="none")

    def point(self, raw: Tensor) -> Tensor:
        """The standardised value, shape (N,)."""
        return raw[:, 0]
