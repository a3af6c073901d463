"""Batches for training (shuffled anew every epoch, by seed) and for looking (in order)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tftctl.data.windows import Batch, WindowSource


class WindowDataset(Dataset[Batch]):
    """Origins of one split. A whole batch is gathered at once (`__getitems__`)."""

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


@dataclass
class EpochSampler(Sampler[int]):
    """A permutation that depends on seed and epoch only, so that any epoch can be drawn again."""

    size: int
    seed: int
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.size, generator=generator).tolist())


def train_loader(source: WindowSource, origins: Tensor, batch_size: int, seed: int, workers: int) -> DataLoader[Batch]:
    """Every origin once per epoch, in a seeded order; a last batch that is not full is dropped if it is not alone."""
    dataset = WindowDataset(source, origins)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed),
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=_as_is,
        drop_last=len(dataset) > batch_size,
    )


def ordered_loader(source: WindowSource, origins: Tensor, batch_size: int) -> DataLoader[Batch]:
    """Every origin once, in order."""
    return DataLoader(WindowDataset(source, origins), batch_size=batch_size, shuffle=False, collate_fn=_as_is)


def _as_is(batch: Any) -> Any:
    """`__getitems__` has made the batch already."""
    return batch
