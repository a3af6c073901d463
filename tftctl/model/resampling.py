"""Linear interpolation between the widths of layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Resampling(nn.Module):
    """(..., taken) -> (..., given): linear interpolation along the last dimension, its ends on the ends.

    On a GPU it is a product with a constant matrix: torch's own kernel there has a single thread for each of the
    `given` numbers of all rows, and no deterministic gradient.
    """

    weights: Tensor

    def __init__(self, taken: int, given: int) -> None:
        super().__init__()
        self.register_buffer("weights", _interpolated(torch.eye(taken), given), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Interpolated rows, in the precision of `x`."""
        return self.product(x) if x.is_cuda else _interpolated(x, self.weights.shape[1])

    def product(self, x: Tensor) -> Tensor:
        """The same by the matrix."""
        with torch.autocast(x.device.type, enabled=False):
            return x @ self.weights.to(x.dtype)


def _interpolated(x: Tensor, given: int) -> Tensor:
    rows = functional.interpolate(x.reshape(-1, 1, x.shape[-1]), given, mode="linear", align_corners=True)
    return rows.reshape(*x.shape[:-1], given)
