"""`tftctl features list` and `describe`: what can be made, and what a column is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tftctl.core.config.features import FeaturesConfig, IndicatorEntry, TargetEntry
from tftctl.core.errors import ConfigError, UsageError, choices
from tftctl.features.columns import Column, fused_columns, own_columns
from tftctl.features.definitions import IndicatorInstance, TargetInstance, resolve, resolve_indicators, resolve_targets
from tftctl.plugins import Registry


@dataclass(frozen=True, slots=True)
class Definition:
    """An indicator or target with the parameters of the configuration, or its defaults where that does not use it.

    `first_valid` and `settle` are the largest over its columns and the configured periods, -1 for ever; `settle_at`
    has those of each period.
    """

    name: str
    kind: str
    plugin: str
    inputs: list[str]
    outputs: list[str]
    first_valid: int | None
    settle: int | None
    params: dict[str, Any] = field(default_factory=dict)
    horizon: dict[str, int] = field(default_factory=dict)
    configured: bool = True
    summary: str = ""
    settle_at: dict[str, int] = field(default_factory=dict)


def list_definitions(config: FeaturesConfig, registry: Registry) -> list[Definition]:
    """Configured indicators and targets in the order of the file, then what else the plugins provide."""
    indicators, targets = resolve(config, registry)
    used = {instance.record.name for instance in indicators} | {instance.record.name for instance in targets}
    other_indicators = [name for name in registry.names("indicator") if name not in used]
    other_targets = [name for name in registry.names("target") if name not in used]
    made = [_indicator(instance, config.periods, registry, True) for instance in indicators]
    made += [_target(instance, registry, True) for instance in targets]
    made += [
        _indicator(_default_indicator(name, registry), config.periods, registry, False) for name in other_indicators
    ]
    made += [_target(_default_target(name, config.periods, registry), registry, False) for name in other_targets]
    return made


def describe_name(name: str, config: FeaturesConfig, registry: Registry, macro: Sequence[str] = ()) -> dict[str, Any]:
    """What is known about an indicator, a target or a column of the fused table. Raises UsageError for neither."""
    definitions = list_definitions(config, registry)
    found = [entry for entry in definitions if name == entry.name or name in entry.outputs]
    columns = _columns(config, registry, macro)
    matching = [column for column in columns if name in (column.name, column.source)]
    if not found and not matching:
        known = {*(entry.name for entry in definitions), *(column.name for column in columns)}
        raise UsageError(f"there is no indicator, target or column {name!r}", choices(name, known, "names"))
    return {
        "name": name,
        "definitions": [asdict(entry) | _record_details(entry, registry) for entry in found],
        "columns": [asdict(column) | {"is_input": column.is_input} for column in matching],
    }


def _columns(config: FeaturesConfig, registry: Registry, macro: Sequence[str]) -> list[Column]:
    indicators, _ = resolve(config, registry)
    try:
        return fused_columns(own_columns(indicators, config.extra_columns, config), indicators, config, macro)
    except ConfigError:
        # context or normalisation may name extra columns that only the bars know
        return own_columns(indicators, config.extra_columns, config.model_copy(update={"normalise": {}}))


def _indicator(instance: IndicatorInstance, periods: Sequence[str], registry: Registry, configured: bool) -> Definition:
    at = {period: instance.at(period).features for period in periods}
    settle = {period: _longest([feature.settle for feature in features]) for period, features in at.items()}
    return Definition(
        name=instance.record.name,
        kind="indicator",
        plugin=registry.find("indicator", instance.record.name).plugin,
        inputs=list(instance.inputs),
        outputs=[feature.column for feature in instance.features],
        first_valid=max(feature.first_valid for features in at.values() for feature in features),
        settle=_longest(settle.values()),
        params=instance.params.model_dump(mode="json"),
        configured=configured,
        summary=instance.record.summary,
        settle_at=settle,
    )


def _longest(settles: Collection[int]) -> int:
    """The largest number of bars, -1 being for ever."""
    return -1 if min(settles) < 0 else max(settles)


def _target(instance: TargetInstance, registry: Registry, configured: bool) -> Definition:
    return Definition(
        name=instance.record.name,
        kind="target",
        plugin=registry.find("target", instance.record.name).plugin,
        inputs=list(instance.record.inputs),
        outputs=[instance.column],
        first_valid=None,
        settle=None,
        params=instance.params.model_dump(mode="json"),
        horizon=instance.horizon,
        configured=configured,
        summary=instance.record.summary,
    )


def _record_details(entry: Definition, registry: Registry) -> dict[str, Any]:
    if entry.kind == "indicator":
        record = registry.indicator(entry.name)
        return {"scales": {output.name: output.scale for output in record.outputs}, "known": record.known}
    target = registry.target(entry.name)
    return {"target_kind": target.kind, "unit": target.unit, "default_loss": target.loss, "tail": target.tail}


def _default_indicator(name: str, registry: Registry) -> IndicatorInstance:
    return resolve_indicators([IndicatorEntry(name=name)], registry)[0]


def _default_target(name: str, periods: Sequence[str], registry: Registry) -> TargetInstance:
    return resolve_targets([TargetEntry(name=name)], periods, registry)[0]
