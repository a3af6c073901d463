"""Checks of losses: `forward` gives one finite loss per row, `point` one forecast per row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tftctl.core.records import Kind, Loss
from tftctl.plugins import resolve
from tftctl.testing.report import Finding, malformed, run_checks

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 48
LARGE = 20.0
STEPS = 60


@dataclass(frozen=True, slots=True)
class _Trial:
    """One loss module and a batch for one kind of head: raw (N, outputs), target (N,), pos_weight (N,) or None."""

    kind: Kind
    module: Any
    raw: Tensor
    target: Tensor
    pos_weight: Tensor | None
    levels: tuple[float, ...] = ()

    def forward(self, rows: slice) -> Tensor:
        """The loss of some rows; of copies, for a loss may write into what it is given."""
        weight = None if self.pos_weight is None else self.pos_weight[rows].clone()
        return self.module.forward(self.raw[rows].clone(), self.target[rows].clone(), weight)


def check(record: Loss) -> list[Finding]:
    """See `tftctl.testing.check_loss`."""
    problems = malformed("loss", record)
    if problems:
        return problems
    failed = run_checks(f"loss {record.name}", {"factory": lambda: _factory(record)}, {})
    return failed or [finding for trial in _trials(record) for finding in _check(record, trial)]


def _factory(record: Loss) -> Iterator[str]:
    from torch import nn

    made = resolve(record.factory)()
    if not isinstance(made, nn.Module):
        yield f"it makes a {type(made).__name__}, not a torch.nn.Module"
    outputs = record.outputs({})
    if not isinstance(outputs, int) or outputs < 1:
        yield f"outputs(options) is {outputs!r}, not a number of at least 1"
    yield from _levels(record, made)


def _levels(record: Loss, module: Any) -> Iterator[str]:
    levels = record.levels({})
    if not isinstance(levels, tuple) or not all(isinstance(level, float) and 0 < level < 1 for level in levels):
        yield f"levels(options) is {levels!r}, not a tuple of floats between 0 and 1"
    elif list(levels) != sorted(set(levels)):
        yield f"levels(options) is {levels!r}, which does not rise"
    elif levels and record.kinds != ("regression",):
        yield "levels(options) is for regression alone"
    elif levels and not callable(getattr(module, "quantiles", None)):
        yield "levels(options) names quantiles, and its module has no quantiles(raw)"


def _trials(record: Loss) -> Iterator[_Trial]:
    import torch

    module, outputs = resolve(record.factory)(), record.outputs({})
    random = torch.Generator().manual_seed(11)
    raw = torch.randn(ROWS, outputs, generator=random)
    weight = 1.0 + torch.rand(ROWS, generator=random)
    for kind in record.kinds:
        for pos_weight in (None, weight) if kind == "binary" else (None,):
            target = _target(kind, torch.randn(ROWS, generator=random))
            yield _Trial(kind, module, raw, target, pos_weight, record.levels({}))


def _target(kind: Kind, values: Tensor) -> Tensor:
    return (values > 0).to(values.dtype) if kind == "binary" else values


def _check(record: Loss, trial: _Trial) -> list[Finding]:
    name = f"loss {record.name}"
    basic = {"shape": lambda: _shape(trial), "pure": lambda: _pure(trial)}
    numbers = {"finite": lambda: _finite(trial), "rows": lambda: _rows(trial), "quantiles": lambda: _quantiles(trial)}
    meaning = {"descent": lambda: _descent(trial), "pos_weight": lambda: _pos_weight(trial)}
    return run_checks(name, basic, {}) or run_checks(name, numbers, meaning)


def _shape(trial: _Trial) -> Iterator[str]:
    for rows in (slice(None), slice(1), slice(0)):
        size = trial.raw[rows].shape[0]
        shapes = {"forward": trial.forward(rows).shape, "point": trial.module.point(trial.raw[rows]).shape}
        for name, shape in shapes.items():
            if tuple(shape) != (size,):
                yield f"{name} gives shape {tuple(shape)} for {size} rows, not ({size},)"


def _finite(trial: _Trial) -> Iterator[str]:
    import torch

    large = LARGE * trial.raw.sign()
    for what, values in (("", trial.raw), (" for outputs of +-20", large), (" for outputs of 0", 0.0 * trial.raw)):
        raw = values.clone().requires_grad_()
        loss = trial.module.forward(raw, trial.target, trial.pos_weight)
        if not torch.isfinite(loss).all():
            yield f"the loss is not finite{what}"
        (gradient,) = torch.autograd.grad(loss.sum(), raw)
        if not torch.isfinite(gradient).all():
            yield f"the gradient is not finite{what}"
        if not torch.isfinite(trial.module.point(raw)).all():
            yield f"point is not finite{what}"


def _rows(trial: _Trial) -> Iterator[str]:
    import torch

    half = slice(ROWS // 2)
    if not torch.allclose(trial.forward(half), trial.forward(slice(None))[half], rtol=1e-5, atol=1e-6):
        yield "the loss of a row changes with the other rows of the batch"


def _quantiles(trial: _Trial) -> Iterator[str]:
    """One column per level, which never falls from one level to the next, whatever the outputs are."""
    import torch

    if not trial.levels:
        return
    extremes = LARGE * trial.raw.sign()
    for raw in (trial.raw, extremes, -extremes, 0.0 * trial.raw, trial.raw[:1], trial.raw[:0]):
        found, wanted = trial.module.quantiles(raw.clone()), (raw.shape[0], len(trial.levels))
        if tuple(found.shape) != wanted:
            yield f"quantiles gives shape {tuple(found.shape)}, not {wanted}"
            return
        if not torch.isfinite(found).all():
            yield f"quantiles are not finite for outputs of up to {LARGE:g}"
        elif (found.diff(dim=1) < 0).any():
            yield "quantiles cross"


def _pure(trial: _Trial) -> Iterator[str]:
    import torch

    given = {"raw": trial.raw, "target": trial.target, "pos_weight": trial.pos_weight}
    copies = {name: None if values is None else values.clone() for name, values in given.items()}
    trial.module.forward(*copies.values())
    trial.module.point(copies["raw"])
    for name, values in given.items():
        if values is not None and not torch.equal(values, copies[name]):  # type: ignore[arg-type]
            yield f"it changes {name} in place"
    if not torch.equal(trial.forward(slice(None)).nan_to_num(), trial.forward(slice(None)).nan_to_num()):
        yield "the same batch gives another loss when run again"


def _descent(trial: _Trial) -> Iterator[str]:
    """Following the gradient brings the forecast nearer to the target, for a binary head its probability."""
    import torch

    raw = trial.raw.clone().requires_grad_()
    optimiser = torch.optim.Adam([raw], lr=0.05)
    before = _distance(trial, raw)
    for _ in range(STEPS):
        optimiser.zero_grad()
        trial.module.forward(raw, trial.target, trial.pos_weight).sum().backward()
        optimiser.step()
    after = _distance(trial, raw)
    if not after < before:
        yield f"{STEPS} steps down its gradient take the forecast from {before:.3g} to {after:.3g} off the target"


def _distance(trial: _Trial, raw: Tensor) -> float:
    point = trial.module.point(raw.detach())
    is_binary = trial.kind == "binary"
    return float(((point.sigmoid() if is_binary else point) - trial.target).abs().mean())


def _pos_weight(trial: _Trial) -> Iterator[str]:
    """The weight is taken out of the probability again by its logarithm: it must be exactly that in the loss."""
    import torch

    if trial.pos_weight is None:
        return
    plain = replace(trial, pos_weight=None).forward(slice(None))
    weighted = trial.forward(slice(None))
    expected = torch.where(trial.target > 0, trial.pos_weight * plain, plain)
    if not torch.allclose(weighted, expected, rtol=1e-4, atol=1e-6):
        yield "pos_weight does not multiply the loss of positive rows, and of these alone"
