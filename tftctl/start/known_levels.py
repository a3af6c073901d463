"""Scores of quantiles in configuration against the losses that the targets are trained with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import Problem
from tftctl.core.config.training import CompositeConfig
from tftctl.core.records import Target
from tftctl.core.registry import Registry
from tftctl.train.composite import losses_with_levels, metric_at_end, target_of


def level_problems(
    place: str, config: BaseModel, registry: Registry, model: ModelConfig, targets: Mapping[str, Target]
) -> Iterator[Problem]:
    """Keys of metrics that need quantiles, for targets whose loss in `model` forecasts none.

    `targets` has the record of each column of configs/features.yaml.
    """
    if isinstance(config, CompositeConfig):
        keys = {key: key for key in config.root}
    else:
        keys = {"monitor": config.monitor} if isinstance(config, ModelConfig) else {}
    for where, key in keys.items():
        target = _needing(key, registry)
        if target in targets and not _has_levels(model.losses.get(target) or targets[target].loss, registry):
            fitting = ", ".join(losses_with_levels(targets[target].kind, registry))
            if fitting:
                given = f"the loss of {target} forecasts no quantiles"
                yield Problem(place, where, given, f"set losses.{target} of model_config.yaml to one of: {fitting}")


def _needing(key: str, registry: Registry) -> str:
    """The target of a key whose metric needs quantiles; empty for any other key."""
    name = metric_at_end(key.split("@")[0], registry.names("metric")) if "@" in key else None
    metric = None if name is None else registry.metric(name)
    return target_of(key, metric) if metric is not None and metric.needs_levels else ""


def _has_levels(choice: str | Mapping[str, Any] | None, registry: Registry) -> bool:
    """Whether a loss forecasts quantiles; what is wrong with its name or options is told elsewhere.

    The losses by kind and tail, for targets that name none, forecast a point.
    """
    if choice is None:
        return False
    options = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = str(options.pop("name"))
    if name not in registry.names("loss"):
        return True
    try:
        return bool(registry.loss(name).levels(options))
    except (TypeError, ValueError):
        return True
