"""What every column of the fused table is, and which of them may be inputs (SEMANTICS F1, F2, S2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import ConfigError, choices
from tftctl.core.names import BAR_COLUMNS, age_column, context_column
from tftctl.core.records import Scale, Scope
from tftctl.features.anomaly import anomaly_columns, hint_name
from tftctl.features.definitions import IndicatorInstance, TargetInstance, of_scope
from tftctl.features.normalise import SUFFIXES

Role = Literal["bar", "own", "normalised", "context", "macro", "age", "known", "extra", "cross_section", "contextual"]
INPUT_ROLES = frozenset({"own", "normalised", "context", "macro", "extra", "known", "cross_section", "contextual"})
# what indicators of a scope make; those over other rows are views of others, whose nulls are data (S3)
_ROLES: dict[Scope, Role] = {"group": "own", "context": "contextual", "cross_section": "cross_section"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the fused table. `source` is the feature or series it was made from.

    `dtype` is the stored type: Float64 for running totals, which Float32 would round away (F2).
    """

    name: str
    role: Role
    scale: Scale
    source: str
    context_period: str | None = None
    summary: str = ""
    dtype: Literal["Float32", "Float64"] = "Float32"

    @property
    def is_input(self) -> bool:
        """Whether the network takes it when nobody says otherwise."""
        return self.role in INPUT_ROLES and self.scale == "free"


def own_columns(
    instances: Sequence[IndicatorInstance], extras: Mapping[str, Scale], config: FeaturesConfig
) -> list[Column]:
    """Columns of the features table after the bars: indicators, declared extras, normalised ones, cross-sections.

    Raises ConfigError when a column to normalise does not exist, or one name is made twice.
    """
    bars = [Column(name, "bar", "volume" if name == "volume" else "price", name) for name in BAR_COLUMNS]
    made = [*bars, *_indicator_columns(of_scope(instances, "group"))]
    made += [Column(name, "extra", scale, name, None, "a column of the bars") for name, scale in extras.items()]
    there = [column.name for column in made]
    made += _normalised_columns(there, config)
    made += _anomaly_columns(there, config)
    cross = of_scope(instances, "cross_section")
    _require_inputs(cross, there)
    made += _indicator_columns(cross)
    names = [column.name for column in made]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ConfigError(f"two sources make the column {twins[0]!r}", "rename the extra column or drop the indicator")
    return made


def fused_columns(
    own: Sequence[Column], instances: Sequence[IndicatorInstance], config: FeaturesConfig, series: Sequence[str]
) -> list[Column]:
    """All columns of the fused table, the same for all periods: own, context and ages, macro and ages, contextual.

    Raises ConfigError when a context feature does not exist.
    """
    by_name = {column.name: column for column in own}
    contexts = context_periods(config)
    made = list(own)
    for q in contexts:
        for name in config.context_features:
            if name not in by_name:
                raise ConfigError(
                    f"configs/features.yaml: context_features: there is no column {name!r}",
                    choices(name, by_name, "columns"),
                )
            text = f"{name} of the last {q} bar"
            seen = by_name[name]
            made.append(Column(context_column(name, q), "context", seen.scale, name, q, text, seen.dtype))
        made.append(Column(age_column(q), "age", "free", q, q, f"hours since the last {q} bar was complete"))
    for name in series:
        made.append(Column(name, "macro", "free", name, None, f"last published value of {name}"))
        made.append(Column(age_column(name), "age", "free", name, None, f"hours since {name} was published"))
    contextual = of_scope(instances, "context")
    _require_inputs(contextual, config.context_features)
    made += _indicator_columns(contextual)
    twins = sorted({c.name for c in made if sum(other.name == c.name for other in made) > 1})
    if twins:
        raise ConfigError(f"two sources make the column {twins[0]!r}", "rename the macro series")
    return made


def context_periods(config: FeaturesConfig) -> list[str]:
    """Every period that some other period looks at, in the order of the file."""
    asked = [q for p in config.periods for q in config.context.get(p, [])]
    return list(dict.fromkeys(asked))


def describe_columns(columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """The `columns` entry of the fused table's meta."""
    return {column.name: {k: v for k, v in asdict(column).items() if k != "name"} for column in columns}


def wide_columns(columns: Sequence[Column]) -> frozenset[str]:
    """Names of the columns that are stored in Float64."""
    return frozenset(column.name for column in columns if column.dtype == "Float64")


def describe_targets(targets: Sequence[TargetInstance]) -> dict[str, dict[str, Any]]:
    """The `targets` entry of the targets table's meta."""
    return {
        target.column: {
            "record": target.record.name,
            "kind": target.record.kind,
            "unit": target.record.unit,
            "horizon": target.horizon,
            "loss": target.record.loss,
            "tail": target.record.tail,
        }
        for target in targets
    }


def _indicator_columns(instances: Sequence[IndicatorInstance]) -> list[Column]:
    scales = {(i.record.name, o.name): o.scale for i in instances for o in i.record.outputs}
    return [
        Column(
            feature.column,
            "known" if instance.record.known else _ROLES[instance.record.scope],
            scales[instance.record.name, feature.output],
            instance.record.name,
            None,
            instance.record.summary,
            "Float64" if feature.settle < 0 and scales[instance.record.name, feature.output] != "free" else "Float32",
        )
        for instance in instances
        for feature in instance.features
    ]


def _require_inputs(instances: Sequence[IndicatorInstance], there: Sequence[str]) -> None:
    """Raise ConfigError where an indicator over other columns reads one that is not made."""
    for instance in instances:
        for name in instance.inputs:
            if name not in there:
                place = "context_features" if instance.record.scope == "context" else "indicators"
                raise ConfigError(
                    f"configs/features.yaml: {instance.record.name} needs the column {name!r}",
                    f"add it to {place}; there: {', '.join(there)}",
                )


def _anomaly_columns(present: Sequence[str], config: FeaturesConfig) -> list[Column]:
    made = []
    for score, sources in anomaly_columns(config.anomalies).items():
        for name in sources:
            if name not in present:
                raise ConfigError(
                    f"configs/features.yaml: anomalies: there is no column {name!r}",
                    choices(name, present, "columns"),
                )
        text = f"of {', '.join(sources)} by the bars before"
        made.append(Column(score, "normalised", "free", sources[0], None, f"score {text}"))
        made.append(
            Column(hint_name(score), "normalised", "free", sources[0], None, f"whether the score {text} is high")
        )
    return made


def _normalised_columns(present: Sequence[str], config: FeaturesConfig) -> list[Column]:
    made = []
    for method, settings in config.normalise.items():
        for name in settings.columns:
            if name not in present:
                raise ConfigError(
                    f"configs/features.yaml: normalise.{method}.columns: there is no column {name!r}",
                    choices(name, present, "columns"),
                )
            text = f"{method} of {name} by the bars before"
            made.append(Column(name + SUFFIXES[method], "normalised", "free", name, None, text))
    return made
