"""Fingerprints of columns: equal marks mean equal numbers from equal bars (SEMANTICS F8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tftctl.core.names import BAR_COLUMNS, context_column
from tftctl.features.columns import Column
from tftctl.features.crosssection import universe
from tftctl.features.definitions import fingerprint
from tftctl.features.fuse import MacroSeries
from tftctl.features.groups import Recipe

Marks = dict[str, str]
ABSENT = "absent"


def own_marks(recipe: Recipe, period: str, symbols: Sequence[str]) -> Marks:
    """Of every column of the features table at a period; `symbols` are those that it has."""
    marks = dict.fromkeys(BAR_COLUMNS, "bar") | dict.fromkeys(recipe.extras, "extra")
    for instance in recipe.indicators:
        marks |= {f.column: fingerprint(instance.fingerprint, f.output) for f in instance.features}
    for rolling in recipe.rolling(period):
        sources = [marks[name] for name in rolling.sources]
        marks |= {name: fingerprint(name, rolling.definition, sources) for name in rolling.columns}
    for instance in recipe.cross:
        seen = [marks[name] for name in instance.inputs]
        members = universe(recipe, instance, symbols)
        marks |= {f.column: fingerprint(instance.fingerprint, f.output, seen, members) for f in instance.features}
    return marks


def label_marks(recipe: Recipe) -> Marks:
    """Of every target; the horizons of all periods are part of it."""
    return {target.column: target.fingerprint for target in recipe.targets}


def fused_marks(
    recipe: Recipe, period: str, own: Mapping[str, Marks], columns: Sequence[Column], macro: Sequence[MacroSeries]
) -> Marks:
    """Of every column of the fused table at a period; `own` are the marks of all periods' features.

    Values of macro series are rows, not definitions: they are compared by the versions that were joined.
    """
    config = recipe.config
    marks = dict(own[period])
    contexts = [q for q in config.context.get(period, []) if q in own]
    for column in columns:
        if column.role == "context":
            q = str(column.context_period)
            seen = own[q][column.source] if q in contexts else ABSENT
            marks[column.name] = fingerprint("context", seen, config.max_stale) if seen != ABSENT else ABSENT
        elif column.role == "age":
            q = column.source
            here = q in contexts or q in {series.name for series in macro}
            marks[column.name] = "age" if here else ABSENT
    for series in macro:
        marks[series.name] = fingerprint(series.name, series.frequency, series.stamp, config.max_stale)
    for instance in recipe.contextual:
        seen_here = [marks[name] for name in instance.inputs]
        seen_there = [marks[context_column(name, q)] for name in instance.inputs for q in contexts]
        marks |= {
            f.column: fingerprint(instance.fingerprint, f.output, seen_here, seen_there) for f in instance.features
        }
    return marks


def stale_columns(marks: Mapping[str, str], known: Mapping[str, str]) -> list[str]:
    """Columns that are new or were made otherwise, in the order of `marks`."""
    return [name for name, mark in marks.items() if known.get(name) != mark]
