"""Windows as batches: 96 encoder rows that end at the origin, one decoder position after it (SEMANTICS S1).

The decoder position stands for the next expected bar: it carries only columns known in advance, computed from
the calendar. The label is the one stored on the origin's own row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tftctl.data.panel import Panel
from tftctl.data.scaling import CLIP

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class WindowSource:
    """Everything that a batch is gathered from, as tensors.

    features (N, F) raw with NaN; mean, std (P, F); next_known (N, K) raw known columns of the next expected bar;
    known (K,) their column numbers; block (F,) number of the missing flag that a null raises, -1 for none;
    labels (N, T) standardised, NaN where there is none; group (N,), period (G,), codes (G, 2) symbol and period.
    """

    features: Tensor
    mean: Tensor
    std: Tensor
    next_known: Tensor
    known: Tensor
    block: Tensor
    blocks: int
    labels: Tensor
    group: Tensor
    period: Tensor
    codes: Tensor
    encoder_length: int

    def gather(self, origins: Tensor) -> Batch:
        """The batch of some origins (row numbers, (B,)).

        encoder (B, E, F + M), decoder (B, 1, F + M), codes (B, 2), period (B,), labels (B, T), origin (B,);
        inputs are scaled, clipped to +-10, nulls 0 beside their block's flag; decoder unknowns are 0.
        """
        group = self.group[origins]
        period = self.period[group]
        steps = torch.arange(1 - self.encoder_length, 1)
        raw = self.features[origins[:, None] + steps]
        return {
            "encoder": self._scaled(raw, self.mean[period][:, None], self.std[period][:, None]),
            "decoder": self.ahead(origins)[:, None],
            "codes": self.codes[group],
            "period": period,
            "labels": self.labels[origins],
            "origin": origins,
        }

    def rows(self, numbers: Tensor) -> Tensor:
        """Single rows (B,) as encoders hold them: (B, F + M), scaled, nulls 0 beside their block's flag."""
        period = self.period[self.group[numbers]]
        return self._scaled(self.features[numbers], self.mean[period], self.std[period])

    def ahead(self, origins: Tensor) -> Tensor:
        """The decoder positions of some origins (B,): (B, F + M), scaled, 0 where nothing is known in advance."""
        position = torch.zeros(origins.numel(), self.features.shape[1] + self.blocks)
        if self.known.numel():
            period = self.period[self.group[origins]]
            mean, std = self.mean[period][:, self.known], self.std[period][:, self.known]
            position[:, self.known] = ((self.next_known[origins] - mean) / std).clamp(-CLIP, CLIP)
        return position

    def _scaled(self, raw: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        null = raw.isnan()
        scaled = ((raw - mean) / std).clamp(-CLIP, CLIP).masked_fill(null, 0.0)
        flags = [null[..., self.block == number].any(-1, keepdim=True) for number in range(self.blocks)]
        return torch.cat([scaled, *(flag.to(scaled.dtype) for flag in flags)], dim=-1)


def window_source(
    panel: Panel,
    *,
    mean: npt.NDArray[np.float64],
    std: npt.NDArray[np.float64],
    next_known: npt.NDArray[np.float64],
    known: Sequence[int],
    block: Sequence[int],
    labels: npt.NDArray[np.float64],
    period: Sequence[int],
    codes: npt.NDArray[np.int64],
    encoder_length: int,
) -> WindowSource:
    """Turn arrays into tensors; the feature matrix is shared, not copied."""
    return WindowSource(
        features=torch.from_numpy(panel.features),
        mean=torch.from_numpy(mean.astype(np.float32)),
        std=torch.from_numpy(std.astype(np.float32)),
        next_known=torch.from_numpy(next_known.astype(np.float32)),
        known=torch.tensor(list(known), dtype=torch.long),
        block=torch.tensor(list(block), dtype=torch.long),
        blocks=max(block, default=-1) + 1,
        labels=torch.from_numpy(labels.astype(np.float32)),
        group=torch.from_numpy(panel.group.astype(np.int64)),
        period=torch.tensor(list(period), dtype=torch.long),
        codes=torch.from_numpy(codes),
        encoder_length=encoder_length,
    )
