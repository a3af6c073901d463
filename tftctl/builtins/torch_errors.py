"""Losses of a head that forecasts one value: raw (N, 1), target (N,) -> unreduced loss (N,); d = forecast - target."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from tftctl.builtins.loss_options import positive

LOG_2 = math.log(2.0)


class SquaredError(nn.Module):
    """d^2; the best constant forecast is the mean."""

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        return (self.point(raw) - target) ** 2

    def point(self, raw: Tensor) -> Tensor:
        """The standardised value, shape (N,)."""
        return raw[:, 0]


class AbsoluteError(nn.Module):
    """|d|; the best constant forecast is the median."""

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        return (self.point(raw) - target).abs()

    def point(self, raw: Tensor) -> Tensor:
        """The standardised value, shape (N,)."""
        return raw[:, 0]


class SmoothAbsoluteError(nn.Module):
    """0.5 d^2 / beta where |d| < beta, |d| - 0.5 beta above."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = positive("beta", beta)

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        return functional.smooth_l1_loss(self.point(raw), target, beta=self.beta, reduction="none")

    def point(self, raw: Tensor) -> Tensor:
        """The standardised value, shape (N,)."""
        return raw[:, 0]


class Huber(nn.Module):
    """0.5 d^2 where |d| < delta, delta (|d| - 0.5 delta) above: delta times smooth_l1 with that beta."""

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = positive("delta", delta)

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        return functional.huber_loss(self.point(raw), target, delta=self.delta, reduction="none")

    def point(self, raw: Tensor) -> Tensor:
        """The standardised value, shape (N,)."""
        return raw[:, 0]


class LogCosh(nn.Module):
    """log cosh d = d + softplus(-2 d) - log 2, which never computes the cosh that overflows."""

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        distance = self.point(raw) - target
        return distance + functional.softplus(-2.0 * distance) - LOG_2

    def point(self, raw: Tensor) -> Tensor:
        """The standardised value, shape (N,)."""
        return raw[:, 0]
