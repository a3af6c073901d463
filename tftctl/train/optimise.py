"""What changes the parameters: the optimiser, its schedule, what is frozen, and the mean of the weights over steps."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, choices

PREFIX = "network.tft."
_SCALED = ("initial_lr", "max_lr", "min_lr", "lr")


def make_optimiser(
    config: ModelConfig, module: nn.Module, fresh: Collection[str] = (), fresh_scale: float = 1.0
) -> Optimizer:
    """Adam or AdamW, fused but for float16; no weight decay on biases, norms and log-variances.

    Parameters named in `fresh` are groups of their own, with `fresh_scale` times the rate of the others.
    """
    found: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        is_matrix = parameter.ndim > 1  # biases, norms and log-variances are vectors
        found.setdefault((name in fresh, not is_matrix), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": 0.0 if is_plain else config.weight_decay,
            "scale": fresh_scale if is_fresh else 1.0,
        }
        for (is_fresh, is_plain), parameters in sorted(found.items())
    ]
    make = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    # a fused step divides by the loss scale of float16 itself: gradients cannot be clipped before it
    return make(groups, lr=config.lr, fused=config.precision != "16-mixed")


def make_schedule(config: ModelConfig, optimiser: Optimizer, steps: int, lr: float, *, warmup: bool) -> LRScheduler:
    """A schedule of `steps` optimiser steps with the peak `lr`; without a warm-up it begins at the peak."""
    peaks = [lr * group["scale"] for group in optimiser.param_groups]
    for group, peak in zip(optimiser.param_groups, peaks, strict=True):
        group["lr"] = peak
    if config.schedule == "onecycle" and warmup:
        cycle = config.onecycle
        return OneCycleLR(
            optimiser,
            max_lr=peaks,
            total_steps=max(steps, 2),
            pct_start=cycle.pct_start,
            div_factor=cycle.div_factor,
            final_div_factor=cycle.final_div_factor,
        )
    return LambdaLR(optimiser, partial(_factor, shape=_shape(config, warmup=warmup), steps=steps))


def step_schedule(schedule: LRScheduler) -> None:
    """One step further; past its last step a cycle stays where it ended."""
    if not isinstance(schedule, OneCycleLR) or schedule.last_epoch + 1 < schedule.total_steps:
        schedule.step()


def scale_peak(optimiser: Optimizer, schedule: LRScheduler, before: float, after: float) -> None:
    """Another peak for the steps to come; the schedule keeps its shape."""
    if before == after:
        return
    for group in optimiser.param_groups:
        for key in _SCALED:
            if key in group:
                group[key] *= after / before
    schedule.base_lrs = [value * after / before for value in schedule.base_lrs]


def _shape(config: ModelConfig, *, warmup: bool) -> tuple[str, float, float]:
    """Kind, share of steps to warm up, and the last factor; a cycle without its rise is a cosine to its end."""
    if config.schedule == "cosine":
        return "cosine", config.cosine.warmup_share if warmup else 0.0, config.cosine.final_factor
    if config.schedule == "onecycle":
        return "cosine", 0.0, 1 / (config.onecycle.div_factor * config.onecycle.final_div_factor)
    return "constant", 0.0, 1.0


def _factor(step: int, shape: tuple[str, float, float], steps: int) -> float:
    kind, warmup_share, last = shape
    if kind == "constant":
        return 1.0
    rising = round(warmup_share * steps)
    if step < rising:
        return (step + 1) / rising
    share = min((step - rising) / max(steps - 1 - rising, 1), 1.0)
    return last + (1 - last) * (1 + math.cos(math.pi * share)) / 2


def freeze(module: nn.Module, patterns: Sequence[str], resting: Collection[int] = ()) -> int:
    """Train every parameter but those that match a pattern, and the heads of resting targets; returns how many rest.

    Patterns are of the names in the network, like `lstm_encoder*`, or of the whole name. Raises ConfigError where they
    leave nothing of the network to train.
    """
    heads = tuple(f"{PREFIX}output_layer.{place}." for place in resting)
    trained = _learned(module)
    still = 0
    for name, parameter in module.named_parameters():
        rests = any(matches(name, pattern) for pattern in patterns) or (heads and name.startswith(heads))
        parameter.requires_grad_(name in trained and not rests)
        still += parameter.numel() if rests else 0
    if not any(parameter.requires_grad for name, parameter in module.named_parameters() if name != "loss.log_vars"):
        raise ConfigError(f"freeze: {', '.join(patterns)} leave nothing to train", "freeze fewer parts")
    return still


def check_patterns(module: nn.Module, patterns: Sequence[str]) -> None:
    """Raise ConfigError for a pattern that no parameter matches."""
    names = [name for name, _ in module.named_parameters()]
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            parts = sorted({name.removeprefix(PREFIX).split(".")[0] for name in names})
            raise ConfigError(f"freeze: no parameter is called like {pattern!r}", choices(pattern, parts, "parts", 40))


def matches(name: str, pattern: str) -> bool:
    """Whether a parameter is meant: by its whole name, its name in the network, or a part above it."""
    inner = name.removeprefix(PREFIX)
    return any(fnmatchcase(text, wanted) for text in (name, inner) for wanted in (pattern, f"{pattern}.*"))


def _learned(module: nn.Module) -> set[str]:
    """Names of parameters that are trained at all; log-variances are not where uncertainty is off."""
    learned = getattr(module, "learned", True)
    return {name for name, _ in module.named_parameters() if learned or name != "loss.log_vars"}


class Average:
    """The exponential moving average of parameters over steps (Polyak), beside them.

    After n steps the decay is at most (1 + n) / (10 + n), so that the weights that a network begins with are forgotten
    in a short training too.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, steps: int) -> None:
        """Called after each optimiser step, the `steps`th of the training."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for name, value in module.named_parameters():
            self.values[name].lerp_(value, 1 - decay)

    @contextmanager
    def used(self, module: nn.Module) -> Iterator[None]:
        """The module has the averages for parameters, for a while."""
        kept = {name: value.detach().clone() for name, value in module.named_parameters()}
        _copy(module, self.values)
        try:
            yield
        finally:
            _copy(module, kept)


@torch.no_grad()
def _copy(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(values[name])


def rate_of(optimiser: Any) -> float:
    """The learning rate of the next step."""
    return float(optimiser.param_groups[0]["lr"])
