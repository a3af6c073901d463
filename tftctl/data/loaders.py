"""Batches for training (portions of global batches) and for looking (in order)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tftctl.data.order import Portion, TrainOrder
from tftctl.data.windows import Batch, WindowSource


class WindowDataset(Dataset[Batch]):
    """Windows by origin. A whole batch is gathered at once (`__getitems__`)."""

    def __init__(self, source: WindowSource, origins: Tensor) -> None:
        self.source = source
        self.origins = origins

    def __len__(self) -> int:
        return self.origins.numel()

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """The batch of these positions."""
        return self.source.gather(self.origins[torch.as_tensor(indices)])


class PortionDataset(Dataset[Batch]):
    """Batches by portion, `counts` and `positives` of the global batch beside them."""

    def __init__(self, source: WindowSource) -> None:
        self.source = source

    def __getitem__(self, portion: Portion) -> Batch:
        return {**self.source.gather(portion.origins), "counts": portion.counts, "positives": portion.positives}


def train_loader(source: WindowSource, order: TrainOrder, workers: int) -> DataLoader[Batch]:
    """The portions of an order as batches.

    It draws no number of the global generator, which belongs to dropout, whether or not an epoch is resumed.
    """
    return DataLoader(
        PortionDataset(source),
        batch_size=None,
        sampler=order,
        num_workers=workers,
        generator=torch.Generator(),
    )


def ordered_loader(source: WindowSource, origins: Tensor, batch_size: int) -> DataLoader[Batch]:
    """Every origin once, in order."""
    return DataLoader(
        WindowDataset(source, origins),
        batch_size=batch_size,
        shuffle=False,
        collate_fn=_as_is,
        generator=torch.Generator(),
    )


def _as_is(batch: Any) -> Any:
    """`__getitems__` has made the batch already."""
    return batch
