"""The order of a training: every origin once, its portions, and what is counted over them (SEMANTICS M1, M2, S2)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from tftctl.data.order import Shares, TrainOrder, balanced, categories_of

ROWS = 1000
ORIGINS = torch.arange(100, 357)


def labels() -> torch.Tensor:
    """Two targets: 0 and 1 with gaps, numbers with gaps."""
    random = torch.Generator().manual_seed(3)
    values = torch.randn(ROWS, 2, generator=random)
    values[:, 0] = (values[:, 0] > 0.4).float()
    values[torch.rand(ROWS, 2, generator=random) < 0.2] = torch.nan
    return values


@pytest.mark.parametrize(("batch", "accumulate", "world"), [(16, 1, 1), (8, 2, 1), (4, 1, 4), (2, 2, 4), (100, 1, 2)])
def test_portions_are_the_global_batch_however_it_is_divided(batch: int, accumulate: int, world: int) -> None:
    """M1: a step of all processes sees what one with a batch as large sees, and counts labels over all of it."""
    whole = list(TrainOrder(ORIGINS, labels(), Shares(batch * accumulate * world), 7))
    ranks = [list(TrainOrder(ORIGINS, labels(), Shares(batch, accumulate, world, rank), 7)) for rank in range(world)]
    assert {len(portions) for portions in ranks} == {len(whole) * accumulate}
    for step, want in enumerate(whole):
        parts = [portions[step * accumulate + number] for number in range(accumulate) for portions in ranks]
        assert torch.cat([part.origins for part in parts]).tolist() == want.origins.tolist()
        truth = labels()[want.origins].numpy()
        for part in parts:
            assert part.counts.tolist() == np.isfinite(truth).sum(0).tolist()
            assert part.positives.tolist() == [(truth[:, 0] == 1).sum(), (truth[:, 1] == 1).sum()]


def test_every_origin_comes_once_and_a_rest_waits_for_the_next_epoch() -> None:
    """257 origins in batches of 64: four batches, and one origin that the next epoch's order may have."""
    order = TrainOrder(ORIGINS, labels(), Shares(64), 7)
    seen = [int(origin) for portion in order for origin in portion.origins]
    assert len(seen) == len(set(seen)) == 256
    order.epoch = 1
    assert [int(origin) for portion in order for origin in portion.origins] != seen


def test_an_epoch_can_be_entered_at_any_step() -> None:
    """Resuming: the same portions as in the whole epoch, without those that were seen."""
    order = TrainOrder(ORIGINS, labels(), Shares(10, 3), 7)
    whole = [portion.origins.tolist() for portion in order]
    assert (order.steps, len(order), len(whole)) == (8, 24, 24)
    order.first = 5
    assert (len(order), [portion.origins.tolist() for portion in order]) == (9, whole[15:])
    order.first = order.steps
    assert list(order) == []


@pytest.mark.parametrize(("steps", "want"), [(3, 3), (99, 4), (None, 4)])
def test_an_epoch_can_be_shorter(steps: int | None, want: int) -> None:
    """`max_steps` in epochs of equal length."""
    assert TrainOrder(ORIGINS, labels(), Shares(64), 7, steps=steps).steps == want


def test_origins_that_do_not_make_a_batch_are_divided_all_the_same() -> None:
    """A batch that is alone is taken whole; with fewer origins than portions there is no step."""
    few = ORIGINS[:5]
    parts = [list(TrainOrder(few, labels(), Shares(64, 1, 3, rank), 7)) for rank in range(3)]
    assert sorted(part.origins.numel() for (part,) in parts) == [1, 2, 2]
    assert sorted(int(origin) for (part,) in parts for origin in part.origins) == few.tolist()
    assert TrainOrder(ORIGINS[:2], labels(), Shares(64, 1, 3), 7).steps == 0


def test_balanced_categories_give_as_many_windows_each() -> None:
    """Rare ones in whole rounds before any comes once more, frequent ones without a repetition."""
    categories = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    places = balanced(categories, torch.Generator().manual_seed(1))
    drawn = Counter(categories[places].tolist())
    assert drawn == {0: 334, 1: 333, 2: 333}
    times = Counter(places.tolist())
    assert {count for place, count in times.items() if place < 900} == {1}
    assert {count for place, count in times.items() if 900 <= place < 990} == {3, 4}
    assert {count for place, count in times.items() if place >= 990} == {33, 34}


@pytest.mark.parametrize(("balance", "want"), [("none", None), ("periods", [0, 0, 1]), ("groups", [4, 5, 6])])
def test_what_is_balanced(balance: str, want: list[int] | None) -> None:
    """By period over all symbols, or by each (symbol, period)."""
    found = categories_of(np.array([4, 5, 6]), np.array([0, 0, 1]), balance)
    assert (found.tolist() if found is not None else None) == want


def test_a_balanced_order_has_as_many_windows_as_origins() -> None:
    """The length of an epoch does not change with the balance."""
    categories = torch.tensor([0] * 200 + [1] * 57)
    order = TrainOrder(ORIGINS, labels(), Shares(257), 7, categories)
    (portion,) = order
    assert portion.origins.numel() == 257
    assert abs(int((portion.origins < 300).sum()) - 128.5) < 1
