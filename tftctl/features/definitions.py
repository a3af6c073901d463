"""From configuration entries to instances: a record, checked parameters, and the columns they make (F1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from tftctl.core.config.explain import explain
from tftctl.core.config.features import FeaturesConfig, IndicatorEntry, TargetEntry
from tftctl.core.declared import first_valid_of, follows_period, settle_of
from tftctl.core.errors import ConfigError, PluginError
from tftctl.core.names import parameter_suffix
from tftctl.core.records import Indicator, LabelSpan, Output, Params, Scope, Target
from tftctl.plugins import Registry

ENGINE_REVISION = 2


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of an indicator instance. `output` is the name in the record, `column` the one in the table.

    `first_valid` and `settle` are enough for bars of any period until the instance is asked for those of one.
    """

    column: str
    output: str
    scale: str
    first_valid: int
    settle: int


@dataclass(frozen=True, slots=True)
class IndicatorInstance:
    """An indicator with parameters. `fingerprint` changes whenever its numbers may (F8)."""

    record: Indicator
    params: Params
    features: tuple[Feature, ...]
    fingerprint: str
    follows_period: bool = False

    def at(self, period: str) -> IndicatorInstance:
        """The instance with what it declares for bars of a period."""
        if not self.follows_period:
            return self
        outputs = {output.name: output for output in self.record.outputs}
        features = tuple(
            replace(
                feature,
                first_valid=first_valid_of(self.record, outputs[feature.output], self.params, period),
                settle=settle_of(self.record, outputs[feature.output], self.params, period),
            )
            for feature in self.features
        )
        return replace(self, features=features, follows_period=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Bar columns that it reads."""
        return self.record.inputs(self.params)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it makes."""
        return tuple(feature.column for feature in self.features)

    @property
    def memory(self) -> int | None:
        """Bars before a bar that its values still know; None for all of the segment."""
        settles = [feature.settle for feature in self.features]
        if min(settles) < 0:
            return None
        return max(*settles, *(feature.first_valid for feature in self.features))


@dataclass(frozen=True, slots=True)
class TargetInstance:
    """A target with parameters and its horizon in bars at each period where it exists."""

    record: Target
    params: Params
    column: str
    horizon: dict[str, int]
    fingerprint: str

    def span(self, period: str, bars_per_year: int) -> tuple[int, int] | None:
        """Bars read before the row itself by the yardstick, and after it; None where it has no horizon."""
        horizon = self.horizon.get(period)
        if horizon is None:
            return None
        yardstick = self.record.yardstick(self.params, LabelSpan(period, horizon, bars_per_year))
        return (0 if yardstick is None else yardstick.lookback - 1), horizon


def resolve_indicators(entries: Iterable[IndicatorEntry], registry: Registry) -> list[IndicatorInstance]:
    """Instances in the order of the file. Raises ConfigError for unknown names, parameters, double columns."""
    instances = [_indicator(entry, registry) for entry in entries]
    _refuse_twins([feature.column for instance in instances for feature in instance.features], "indicators")
    return instances


def resolve_targets(entries: Sequence[TargetEntry], periods: Sequence[str], registry: Registry) -> list[TargetInstance]:
    """Instances in the order of the file. Raises ConfigError as for indicators."""
    instances = [_target(entry, periods, registry) for entry in entries]
    _refuse_twins([instance.column for instance in instances], "targets")
    return instances


def of_scope(instances: Iterable[IndicatorInstance], scope: Scope) -> tuple[IndicatorInstance, ...]:
    """The instances of one scope (F7)."""
    return tuple(instance for instance in instances if instance.record.scope == scope)


def resolve(config: FeaturesConfig, registry: Registry) -> tuple[list[IndicatorInstance], list[TargetInstance]]:
    """Both lists of one configuration."""
    return resolve_indicators(config.indicators, registry), resolve_targets(config.targets, config.periods, registry)


def fingerprint(*parts: Any) -> str:
    """A short hash of JSON-able parts and of the libraries that compute."""
    text = json.dumps([ENGINE_REVISION, _library_versions(), parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _indicator(entry: IndicatorEntry, registry: Registry) -> IndicatorInstance:
    record = _known(registry.indicator, entry.name)
    params = _params(record, entry)
    suffix = _suffix(params, record.params)
    features = tuple(_feature(record, output, params, suffix) for output in record.outputs)
    origin = registry.find("indicator", record.name)
    mark = fingerprint(record.name, params.model_dump(mode="json"), origin.plugin, origin.version, record.revision)
    return IndicatorInstance(record, params, features, mark, follows_period(record))


def _feature(record: Indicator, output: Output, params: Params, suffix: str) -> Feature:
    first_valid, settle = first_valid_of(record, output, params), settle_of(record, output, params)
    return Feature(output.name + suffix, output.name, output.scale, first_valid, settle)


def _target(entry: TargetEntry, periods: Sequence[str], registry: Registry) -> TargetInstance:
    record = _known(registry.target, entry.name)
    params = _params(record, entry)
    horizon = _horizons(record, entry, periods)
    column = record.name + _suffix(params, record.params) + _horizon_suffix(record, entry, periods)
    origin = registry.find("target", record.name)
    mark = fingerprint(
        record.name, params.model_dump(mode="json"), horizon, origin.plugin, origin.version, record.revision
    )
    return TargetInstance(record, params, column, horizon, mark)


def _horizons(record: Target, entry: TargetEntry, periods: Sequence[str]) -> dict[str, int]:
    asked = entry.horizon
    if isinstance(asked, int):
        found: dict[str, int | None] = dict.fromkeys(periods, asked)
    elif asked is not None:
        found = {period: asked.get(period, record.horizon_for(period)) for period in periods}
    else:
        found = {period: record.horizon_for(period) for period in periods}
    wrong = [period for period, bars in found.items() if bars is not None and bars < 1]
    if wrong:
        raise ConfigError(f"{entry.name}: the horizon at {wrong[0]} is {found[wrong[0]]}", "use at least 1 bar")
    return {period: bars for period, bars in found.items() if bars is not None}


def _horizon_suffix(record: Target, entry: TargetEntry, periods: Sequence[str]) -> str:
    """One number for all periods that differs from the default is part of the name: `_h24`."""
    if isinstance(entry.horizon, int) and any(record.horizon_for(period) != entry.horizon for period in periods):
        return f"_h{entry.horizon}"
    return ""


def _known(find: Callable[[str], Any], name: str) -> Any:
    try:
        return find(name)
    except PluginError as error:
        if "there is no" in error.message:
            raise ConfigError(f"configs/features.yaml: {error.message}", error.hint) from None
        raise


def _params(record: Indicator | Target, entry: IndicatorEntry) -> Params:
    try:
        return record.params.model_validate(entry.parameters)
    except ValidationError as error:
        problems = explain(error, record.params, entry.parameters, entry.name, {})
        known = ", ".join(record.params.model_fields) or "none"
        raise ConfigError(
            f"configs/features.yaml: {'; '.join(map(str, problems))}", f"parameters of {entry.name}: {known}"
        ) from None


def _suffix(params: Params, model: type[Params]) -> str:
    values = params.model_dump()
    if all(values[name] == field.default for name, field in model.model_fields.items()):
        return ""
    return parameter_suffix(list(values.values()))


def _refuse_twins(columns: list[str], what: str) -> None:
    twins = sorted({column for column in columns if columns.count(column) > 1})
    if twins:
        raise ConfigError(
            f"configs/features.yaml: two {what} make the column {twins[0]!r}", "remove one, or change its parameters"
        )


@cache
def _library_versions() -> list[str]:
    return [f"{name} {version(name)}" for name in ("TA-Lib", "numba", "polars")]
