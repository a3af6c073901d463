"""The loss of each head: which one a target gets, and its module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, choices
from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry, resolve


def choose_targets(
    names: Sequence[str], described: Mapping[str, Mapping[str, Any]], config: ModelConfig, registry: Registry
) -> list[TargetSpec]:
    """Specs of the enabled targets with the loss of each: named, the target's own, or by kind and tail.

    Raises ConfigError for a target that the store lacks, or a loss that does not serve its kind.
    """
    for name in [*names, *config.losses]:
        if name not in described:
            raise ConfigError(f"the store has no target {name!r}", choices(name, described, "targets"))
    return [_target_spec(name, described[name], config, registry) for name in names]


def _target_spec(name: str, entry: Mapping[str, Any], config: ModelConfig, registry: Registry) -> TargetSpec:
    asked = config.losses.get(name) or entry["loss"] or default_loss(entry["kind"], entry["tail"])
    options = dict(asked) if isinstance(asked, dict) else {"name": asked}
    loss = registry.loss(str(options.pop("name")))
    if entry["kind"] not in loss.kinds:
        fitting = [n for n in registry.names("loss") if entry["kind"] in registry.loss(n).kinds]
        raise ConfigError(f"{name} is {entry['kind']}, the loss {loss.name!r} is not", choices("", fitting, "losses"))
    return TargetSpec(
        name=name,
        kind=entry["kind"],
        unit=entry["unit"],
        loss=loss.name,
        loss_options=options,
        outputs=loss.outputs(options),
    )


def default_loss(kind: str, tail: str) -> str:
    """Binary cross-entropy; SmoothL1 for fat-tailed regression, squared error otherwise."""
    if kind == "binary":
        return "bce"
    return "smooth_l1" if tail == "fat" else "mse"


def make_loss(target: TargetSpec, registry: Registry) -> nn.Module:
    """The module of a target's loss. Raises ConfigError for options that it does not take."""
    make = resolve(registry.loss(target.loss).factory)
    try:
        return make(**target.loss_options)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"losses.{target.name}: {target.loss} cannot be made with {target.loss_options}: {error}",
            f"see: tftctl plugins show {target.loss}",
        ) from None
