"""Formulas over prepared bars that are tried together: indicators, or targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.leakage.world import Group
from tftctl.core.errors import PluginError
from tftctl.core.names import KEY_COLUMNS, label_end_column
from tftctl.features.definitions import IndicatorInstance, TargetInstance
from tftctl.features.engine import compute_features, numbers
from tftctl.features.labels import compute_labels

Array = npt.NDArray[np.float64]
MEMORIES = (8, 24, 64, 128, 256, 512)  # bars; what remembers longer is told from its even course


@dataclass(frozen=True, slots=True)
class Formula:
    """What makes some columns of one group. `memory`: bars before a row that it still knows, or MEMORIES[-1];
    `ahead`: bars after a row that it may read.
    """

    name: str
    columns: tuple[str, ...]
    memory: int
    ahead: int
    tolerance: float
    run: Callable[[pl.DataFrame], Mapping[str, Array]]


def indicator_formulas(group: Group, names: Sequence[str]) -> list[Formula]:
    """Indicators of scope group that make any of the columns and read bars that the market moves."""
    found = []
    for instance in group.instances():
        columns = tuple(column for column in instance.columns if column in names)
        if columns and not instance.record.known:
            found.append(
                Formula(instance.record.name, columns, _memory(instance), 0, instance.record.tolerance,
                        _indicator(instance))
            )  # fmt: skip
    return found


def target_formulas(group: Group) -> list[Formula]:
    """Targets with a horizon at the period of the group."""
    bars_per_year = group.recipe.calendars[group.symbol].bars_per_year(group.period)
    found = []
    for target in group.recipe.targets:
        span = target.span(group.period, bars_per_year)
        if span is not None:
            back, ahead = span
            found.append(Formula(target.record.name, (target.column,), _bucket(back + 1), ahead, 1e-9,
                                 _target(target, bars_per_year)))  # fmt: skip
    return found


def memory_of(formulas: Sequence[Formula]) -> dict[tuple[int, int], list[Formula]]:
    """Formulas that remember and look ahead alike, which one run tries at once."""
    found: dict[tuple[int, int], list[Formula]] = {}
    for formula in formulas:
        found.setdefault((formula.memory, formula.ahead), []).append(formula)
    return found


def _memory(instance: IndicatorInstance) -> int:
    bars = max(max(feature.settle, feature.first_valid) for feature in instance.features)
    return MEMORIES[-1] if instance.memory is None else _bucket(bars)


def _bucket(bars: int) -> int:
    return next((memory for memory in MEMORIES if memory >= bars), MEMORIES[-1])


def _indicator(instance: IndicatorInstance) -> Callable[[pl.DataFrame], Mapping[str, Array]]:
    def run(prepared: pl.DataFrame) -> Mapping[str, Array]:
        made = compute_features(prepared, [instance])
        return {name: numbers(made[name]) for name in made.columns}

    return run


def _target(target: TargetInstance, bars_per_year: int) -> Callable[[pl.DataFrame], Mapping[str, Array]]:
    def run(prepared: pl.DataFrame) -> Mapping[str, Array]:
        made = compute_labels(prepared, [target], bars_per_year).drop(*KEY_COLUMNS, label_end_column(target.column))
        return {name: numbers(made[name]) for name in made.columns}

    return run


def run_or_nothing(formula: Formula, prepared: pl.DataFrame) -> Mapping[str, Array]:
    """Its columns; NaN everywhere where it fails on these bars."""
    try:
        return formula.run(prepared)
    except PluginError:
        return dict.fromkeys(formula.columns, np.full(prepared.height, np.nan))
