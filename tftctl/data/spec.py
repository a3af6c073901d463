"""What a trained network must know of its data: plain values that live in the checkpoint (SEMANTICS S5)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tftctl.core.records import Kind
from tftctl.data.splits import Cuts


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Frozen):
    """One input column. `block` names the context period, macro series or cross-section whose absence is flagged."""

    name: str
    role: str
    block: str | None = None


class TargetSpec(_Frozen):
    """One target: its loss, and per period the base rate of training labels (binary only).

    `levels`: of the quantiles that its head forecasts beside the point. `likelihood`: its loss has a scale of its own.

    The base rate is the decision threshold of a probability, 0.5 that of `scores`, whose positive weights are those of
    each batch; pos_weight = (1 - rate) / rate is fixed for training and taken out
    of the probability again (M2).
    """

    name: str
    kind: Kind
    unit: str
    loss: str
    loss_options: dict[str, Any] = {}
    outputs: int = 1
    levels: list[float] = []
    likelihood: bool = False
    weight: float = 1.0
    base_rate: dict[str, float] = {}
    scores: bool = False


class GroupSpec(_Frozen):
    """One (symbol, period) with centre and scale of each target's training labels.

    `pooled`: it has too few of its own; centre and scale are the medians of the other groups of its period, and its
    windows carry the code of an unknown symbol.
    """

    symbol: str
    period: str
    pooled: bool = False
    centre: list[float]
    scale: list[float]


class DataSpec(_Frozen):
    """Inputs, targets, scales, encodings and cuts of one training.

    Checkpoints are chosen on the validation labels that end by `choice_end` (S6). `pooled`: behind the codes of the
    symbols there is one more, for symbols without an embedding of their own (S5).
    """

    snapshot: int
    encoder_length: int
    inputs: list[InputSpec]
    targets: list[TargetSpec]
    groups: list[GroupSpec]
    symbols: list[str]
    periods: list[str]
    input_mean: list[list[float]]
    input_std: list[list[float]]
    train_end: int
    choice_end: int
    val_end: int
    embargo_ms: int
    pooled: bool = False

    @property
    def cuts(self) -> Cuts:
        """The instants that divide the splits."""
        return Cuts(self.train_end, self.val_end, self.embargo_ms)

    def code(self, group: GroupSpec) -> int:
        """The symbol's number among the embeddings, the one behind the last where it is pooled."""
        return len(self.symbols) if group.pooled else self.symbols.index(group.symbol)

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks that have a missing flag, in order of first appearance."""
        return list(dict.fromkeys(item.block for item in self.inputs if item.block is not None))

    @property
    def reals(self) -> list[str]:
        """Input columns and missing flags in the order of the batch."""
        return [*(item.name for item in self.inputs), *(f"missing__{block}" for block in self.blocks)]

    @property
    def known(self) -> list[int]:
        """Numbers of the inputs that are known in advance."""
        return [place for place, item in enumerate(self.inputs) if item.role == "known"]

    @property
    def required(self) -> list[int]:
        """Numbers of the inputs whose nulls spoil a window: those of the row's own bars (S3)."""
        return [place for place, item in enumerate(self.inputs) if item.block is None and item.role != "known"]
