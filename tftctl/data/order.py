"""In which order a training sees its origins: a function of seed and epoch, the same on every machine of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Sampler


@dataclass(frozen=True, slots=True)
class Portion:
    """What one process sees at once: its origins (B,), and of the whole global batch the number of labels (T,) and of
    labels that are 1 (T,), per target (SEMANTICS M1, M2)."""

    origins: Tensor
    counts: Tensor
    positives: Tensor


@dataclass(frozen=True, slots=True)
class Shares:
    """How a global batch is divided: over processes, and on each over `accumulate` portions one after the other."""

    batch_size: int
    accumulate: int = 1
    world: int = 1
    rank: int = 0

    @property
    def parts(self) -> int:
        """Portions of a global batch."""
        return self.accumulate * self.world


class TrainOrder(Sampler[Portion]):
    """The portions of one process in one epoch: every origin once, in a seeded order.

    Origins that do not fill a last global batch are left for the next epoch's order, if it is not the only one. With
    `categories` (N,) each category gives the same number of windows, N in all: rare ones are seen several times, the
    windows of frequent ones in turn. `labels` (rows, T) has NaN where there is none. `first` skips steps that have
    been made, `steps` ends an epoch earlier.
    """

    def __init__(
        self,
        origins: Tensor,
        labels: Tensor,
        shares: Shares,
        seed: int,
        categories: Tensor | None = None,
        steps: int | None = None,
    ) -> None:
        self.shares = shares
        self._origins, self._labels, self._seed = origins, labels, seed
        self._categories = categories
        self._limit = steps
        self.epoch = 0
        self.first = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of a whole epoch."""
        size = self._origins.numel()
        steps = max(size // (self.shares.batch_size * self.shares.parts), 1 if size >= self.shares.parts else 0)
        return steps if self._limit is None else min(steps, self._limit)

    def __len__(self) -> int:
        return (self.steps - self.first) * self.shares.accumulate

    def __iter__(self) -> Iterator[Portion]:
        order = self.order()
        size = self.shares.batch_size * self.shares.parts
        for step in range(self.first, self.steps):
            batch = order[step * size : (step + 1) * size]
            yield from self._portions(batch)

    def order(self) -> Tensor:
        """All origins of this epoch, one after the other."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.epoch)
        size = self._origins.numel()
        if self._categories is None:
            return self._origins[torch.randperm(size, generator=generator)]
        places = balanced(self._categories, generator)
        return self._origins[places[torch.randperm(size, generator=generator)]]

    def _portions(self, batch: Tensor) -> Iterator[Portion]:
        labels = self._labels[batch]
        counts, positives = labels.isfinite().sum(0), (labels == 1).sum(0)
        parts = batch.tensor_split(self.shares.parts)
        for number in range(self.shares.accumulate):
            yield Portion(parts[number * self.shares.world + self.shares.rank], counts, positives)


def balanced(categories: Tensor, generator: torch.Generator) -> Tensor:
    """Places (N,) of which each category has the same number, or one more: whole permutations, then a part of one."""
    present = categories.unique()
    size, found = categories.numel(), []
    for number, category in enumerate(present):
        places = torch.nonzero(categories == category)[:, 0]
        wanted = size // present.numel() + (number < size % present.numel())
        rounds = -(-wanted // places.numel())
        drawn = [places[torch.randperm(places.numel(), generator=generator)] for _ in range(rounds)]
        found.append(torch.cat(drawn)[:wanted])
    return torch.cat(found)


def categories_of(group: npt.NDArray[np.integer], period: npt.NDArray[np.integer], balance: str) -> Tensor | None:
    """The category of each origin by its group's or its period's number; None where nothing is balanced."""
    if balance == "none":
        return None
    return torch.as_tensor(group if balance == "groups" else period)
