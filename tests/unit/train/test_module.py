"""The module that is trained: windows that are shown without their symbol (SEMANTICS S5)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tftctl.data.spec import TargetSpec
from tftctl.plugins import load_registry
from tftctl.train.hybrid import HybridLoss
from tftctl.train.module import ForecastModule

TARGET = TargetSpec(name="target_r", kind="regression", unit="", loss="mse")


class Codes(nn.Module):
    """A network that remembers the codes it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.empty(0)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """One output, the same for all."""
        self.seen = batch["codes"]
        return [self.bias.expand(batch["codes"].shape[0], 1)]


def shown(unknown: int | None, *, train: bool) -> tuple[Tensor, Tensor]:
    """Codes of a batch, and those that the network has seen."""
    torch.manual_seed(0)
    network: Any = Codes()
    module = ForecastModule(network, HybridLoss([TARGET], ["1h"], True, load_registry()), unknown).train(train)
    size = 50_000
    codes = torch.stack([torch.arange(size) % 3, torch.arange(size) % 2], dim=1)
    counts = torch.tensor([size])
    module({
        "codes": codes, "labels": torch.zeros(size, 1), "period": torch.zeros(size, dtype=torch.long),
        "counts": counts, "positives": counts,
    })  # fmt: skip
    return codes, network.seen


def test_two_of_a_hundred_training_windows_have_no_symbol() -> None:
    """S5: that is how the unknown embedding is learned; the period stays."""
    codes, seen = shown(3, train=True)
    hidden = seen[:, 0] == 3
    assert float(hidden.float().mean()) == pytest.approx(0.02, abs=0.002)
    assert torch.equal(seen[~hidden, 0], codes[~hidden, 0])
    assert torch.equal(seen[:, 1], codes[:, 1])


@pytest.mark.parametrize(("unknown", "train"), [(3, False), (None, True)])
def test_no_symbol_is_hidden_in_validation_or_without_an_unknown_one(unknown: int | None, train: bool) -> None:
    """The forecasts of an evaluation are of the symbols themselves."""
    codes, seen = shown(unknown, train=train)
    assert torch.equal(seen, codes)
