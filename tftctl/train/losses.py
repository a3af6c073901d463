"""The loss of each head: which one a target gets, and its module."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, PluginError, choices
from tftctl.core.records import Loss
from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry, resolve


def choose_targets(
    names: Sequence[str], described: Mapping[str, Mapping[str, Any]], config: ModelConfig, registry: Registry
) -> list[TargetSpec]:
    """Specs of the enabled targets with the loss of each: named, the target's own, or by kind and tail.

    Raises ConfigError for a target that the store lacks, or a loss that does not serve its kind.
    """
    modes = config.pos_weight if isinstance(config.pos_weight, dict) else {}
    for name in [*names, *config.losses, *modes]:
        if name not in described:
            raise ConfigError(f"the store has no target {name!r}", choices(name, described, "targets"))
    for name in modes:
        if described[name]["kind"] != "binary":
            raise ConfigError(f"pos_weight: {name} is {described[name]['kind']}", "only binary targets have one")
    return [_target_spec(name, described[name], config, registry) for name in names]


def _target_spec(name: str, entry: Mapping[str, Any], config: ModelConfig, registry: Registry) -> TargetSpec:
    asked = config.losses.get(name) or entry["loss"] or default_loss(entry["kind"], entry["tail"])
    options = dict(asked) if isinstance(asked, dict) else {"name": asked}
    loss = registry.loss(str(options.pop("name")))
    if entry["kind"] not in loss.kinds:
        fitting = [n for n in registry.names("loss") if entry["kind"] in registry.loss(n).kinds]
        raise ConfigError(f"{name} is {entry['kind']}, the loss {loss.name!r} is not", choices("", fitting, "losses"))
    with _explained(name, loss, options):
        outputs, levels = loss.outputs(options), loss.levels(options) if entry["kind"] == "regression" else ()
    return TargetSpec(
        name=name,
        kind=entry["kind"],
        unit=entry["unit"],
        loss=loss.name,
        loss_options=options,
        outputs=outputs,
        levels=list(levels),
        likelihood=loss.likelihood,
        scores=pos_weight_mode(name, entry["kind"], config.pos_weight) == "batch",
    )


def pos_weight_mode(name: str, kind: str, modes: str | Mapping[str, str]) -> str:
    """`fixed`, `batch` or `off` for a binary target, `off` for any other."""
    if kind != "binary":
        return "off"
    return modes if isinstance(modes, str) else modes.get(name, "fixed")


def default_loss(kind: str, tail: str) -> str:
    """Binary cross-entropy; SmoothL1 for fat-tailed regression, squared error otherwise."""
    if kind == "binary":
        return "bce"
    return "smooth_l1" if tail == "fat" else "mse"


def make_loss(target: TargetSpec, registry: Registry) -> nn.Module:
    """The module of a target's loss. Raises ConfigError for options that it does not take."""
    module = build_loss(target.name, registry.loss(target.loss), target.loss_options)
    if target.levels and not callable(getattr(module, "quantiles", None)):
        raise PluginError(
            f"losses.{target.name}: {target.loss} names quantile levels, and its module has no quantiles(raw)",
            f"see: tftctl plugins check {target.loss}",
        )
    return module


def build_loss(target: str, loss: Loss, options: Mapping[str, Any]) -> nn.Module:
    """The module of a loss with options. Raises ConfigError, which names the target, where they do not fit."""
    make = resolve(loss.factory)
    with _explained(target, loss, options):
        return make(**options)


def _options(factory: Any) -> list[str]:
    """Names that a factory takes; a module without a constructor of its own shows torch's `*args, **kwargs`."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, parameter in inspect.signature(factory).parameters.items() if parameter.kind in named]


@contextmanager
def _explained(target: str, loss: Loss, options: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"losses.{target}: {loss.name} cannot be made with {dict(options)}: {error}",
            f"its options: {', '.join(_options(resolve(loss.factory))) or 'none'}",
        ) from None
