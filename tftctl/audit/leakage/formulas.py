"""Formulas over prepared bars that are tried together: indicators, or targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.leakage.world import Group
from tftctl.core.errors import PluginError
from tftctl.features.definitions import IndicatorInstance, TargetInstance
from tftctl.features.engine import compute_features, numbers
from tftctl.features.labels import compute_labels

Array = npt.NDArray[np.float64]
# bars; what remembers longer, or never forgets, is told from its even course
MEMORIES = (8, 24, 64, 128, 256, 512, 1024, 2048)
NEVER_FORGETS = 512


@dataclass(frozen=True, slots=True)
class Formula:
    """What makes some columns of one group. `memory`: bars before a row that it still knows, as far as that is tried;
    `ahead`: bars after a row that it may read.
    """

    columns: tuple[str, ...]
    memory: int
    ahead: int
    tolerance: float
    source: IndicatorInstance | TargetInstance
    bars_per_year: int


def indicator_formulas(group: Group, names: Sequence[str]) -> list[Formula]:
    """Indicators of scope group that make any of the columns, but for those that are known in advance."""
    found = []
    for instance in group.instances():
        columns = tuple(column for column in instance.columns if column in names)
        if columns and not instance.record.known:
            record = instance.record
            found.append(Formula(columns, _memory(instance), 0, record.tolerance, instance, 0))
    return found


def target_formulas(group: Group) -> list[Formula]:
    """Targets with a horizon at the period of the group."""
    bars_per_year = group.recipe.calendars[group.symbol].bars_per_year(group.period)
    found = []
    for target in group.recipe.targets:
        span = target.span(group.period, bars_per_year)
        if span is not None:
            back, ahead = span
            memory = _bucket(back + 1)
            found.append(Formula((target.column,), memory, ahead, 1e-9, target, bars_per_year))
    return found


def alike(formulas: Sequence[Formula]) -> dict[tuple[int, int], list[Formula]]:
    """Formulas that remember and look ahead alike, which one run tries at once."""
    found: dict[tuple[int, int], list[Formula]] = {}
    for formula in formulas:
        found.setdefault((formula.memory, formula.ahead), []).append(formula)
    return found


def values_of(formulas: Sequence[Formula], prepared: pl.DataFrame) -> Mapping[str, Array]:
    """Columns of formulas of one kind over prepared bars, (rows,), without those of formulas that fail on these."""
    try:
        return _run(formulas, prepared)
    except PluginError:
        if len(formulas) == 1:
            return {}
        return {name: values for one in formulas for name, values in values_of([one], prepared).items()}


def column_or_nan(formula: Formula, column: str, prepared: pl.DataFrame) -> Array:
    """One column of a formula, (rows,); NaN where it fails on these bars."""
    values = values_of([formula], prepared).get(column)
    return np.full(prepared.height, np.nan) if values is None else values


def _run(formulas: Sequence[Formula], prepared: pl.DataFrame) -> dict[str, Array]:
    indicators = [one.source for one in formulas if isinstance(one.source, IndicatorInstance)]
    targets = [one.source for one in formulas if isinstance(one.source, TargetInstance)]
    frames = [compute_features(prepared, indicators)] if indicators else []
    if targets:
        frames.append(compute_labels(prepared, targets, formulas[0].bars_per_year))
    wanted = [column for one in formulas for column in one.columns]
    return {name: numbers(frame[name]) for frame in frames for name in wanted if name in frame.columns}


def _memory(instance: IndicatorInstance) -> int:
    bars = max(max(feature.settle, feature.first_valid) for feature in instance.features)
    return NEVER_FORGETS if instance.memory is None else _bucket(bars)


def _bucket(bars: int) -> int:
    return next((memory for memory in MEMORIES if memory >= bars), MEMORIES[-1])
