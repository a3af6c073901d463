"""The audit's tasks: one group, one period's cross-sections, one column's class. Each runs in any process."""

from __future__ import annotations

import numpy as np
import polars as pl

from tftctl.audit.leakage.adopted import seen_future
from tftctl.audit.leakage.classes import ALL_DATA, LABEL, LOOK_AHEAD, Question, classify, label_twin
from tftctl.audit.leakage.compare import Array, columns_of
from tftctl.audit.leakage.crosssections import audit_cross_sections
from tftctl.audit.leakage.effort import Effort
from tftctl.audit.leakage.evidence import Evidence, Suspicion
from tftctl.audit.leakage.features import compare_stored, fresh_features, try_cuts
from tftctl.audit.leakage.formulas import Formula, column_or_nan, indicator_formulas
from tftctl.audit.leakage.labels import audit_labels
from tftctl.audit.leakage.levels import audit_levels
from tftctl.audit.leakage.pokes import poke
from tftctl.audit.leakage.rows import audit_rows
from tftctl.audit.leakage.statistics import audit_statistics
from tftctl.audit.leakage.world import Group, load_group
from tftctl.features.engine import numbers, segment_bounds
from tftctl.features.reading import PreparedBars, by_symbol
from tftctl.store import Snapshot

FEW = 1000  # rows by which a column that may be a label is found


@np.errstate(all="ignore")
def audit_group(bars: PreparedBars, period: str, symbol: str, effort: Effort, number: int) -> Evidence:
    """Everything about one symbol at one period; `number` counts groups, the largest first."""
    evidence = Evidence()
    snapshot, layout = bars.snapshot, bars.layout
    group = load_group(bars, period, symbol)
    fresh, names = fresh_features(group, evidence)
    evidence.valued |= {name for name in names if fresh[name].count()}
    features = _stored(snapshot, "features", period, symbol)
    if features is not None:
        compare_stored("features", fresh, features, names, group.name, evidence)
    names = try_cuts(group, fresh, names, effort, evidence, number)
    poke(group, indicator_formulas(group, names), columns_of(fresh, names), effort, evidence, number)
    audit_statistics(group, fresh, evidence)
    audit_levels(group, fresh, names, evidence)
    labels = audit_labels(group, _stored(snapshot, "targets", period, symbol), effort, evidence, number)
    _later_elsewhere(group, fresh, names, labels, evidence)
    fused = _stored(snapshot, "fused", period, symbol)
    if fused is not None and features is not None:
        audit_rows(snapshot, layout, group, fused, features, labels, evidence)
    return evidence


@np.errstate(all="ignore")
def audit_cross(bars: PreparedBars, period: str, effort: Effort) -> Evidence:
    """The cross-sections of one period."""
    evidence = Evidence()
    audit_cross_sections(bars, period, effort, evidence)
    return evidence


@np.errstate(all="ignore")
def class_of(bars: PreparedBars, suspicion: Suspicion) -> tuple[str, str]:
    """The class of a proven look-ahead of a group's column, and what shows it."""
    group = load_group(bars, suspicion.period, suspicion.symbol)
    formulas = indicator_formulas(group, [suspicion.column])
    if not formulas:
        return _of_rolling(group, suspicion)
    return _of_indicator(group, formulas[0], suspicion)


def _of_indicator(group: Group, formula: Formula, suspicion: Suspicion) -> tuple[str, str]:
    stamps = group.prepared["timestamp"].to_numpy()
    rows = np.searchsorted(stamps, np.array(suspicion.rows))
    start, stop = max(
        segment_bounds(group.prepared), key=lambda bounds: ((rows >= bounds[0]) & (rows < bounds[1])).sum()
    )
    column = suspicion.column

    def run(frame: pl.DataFrame) -> Array:
        return column_or_nan(formula, column, frame)

    inside = [int(row - start) for row in rows if start <= row < stop]
    labels = {name: label[start:stop] for name, label in _labels(group).items()}
    question = Question(group.prepared.slice(start, stop - start), run, inside, formula.tolerance)
    return classify(question, labels)


def _of_rolling(group: Group, suspicion: Suspicion) -> tuple[str, str]:
    """Of a normalised column or score; over all segments, for its samples come from there."""
    column = suspicion.column

    def run(frame: pl.DataFrame) -> Array:
        return numbers(group.run(frame, [column])[column])

    stamps = group.prepared["timestamp"].to_numpy()
    rows = np.searchsorted(stamps, np.array(suspicion.rows)).tolist()
    kind, detail = classify(Question(group.prepared, run, rows, group.tolerances().get(column, 0.0)), {})
    return (ALL_DATA if kind == LOOK_AHEAD else kind), detail


def _labels(group: Group) -> dict[str, Array]:
    made = group.recipe.labels(group.prepared)
    names = [t.column for t in group.recipe.targets if t.horizon.get(group.period) is not None]
    return columns_of(made, names)


def _later_elsewhere(
    group: Group, fresh: pl.DataFrame, names: list[str], labels: dict[str, Array], evidence: Evidence
) -> None:
    """Columns that are labels, or plainly later bars, wherever they come from: other bars do not change a file."""
    few = np.unique(np.linspace(0, fresh.height - 1, FEW).astype(int))
    sample = {of: label[few] for of, label in labels.items()}
    stamps = fresh["timestamp"].to_numpy()
    for name in (*names, *group.recipe.extras):
        values = numbers(fresh[name])
        if name in group.recipe.extras:
            found = seen_future(values, fresh, labels)
        else:
            likely = label_twin(values[few], sample)
            twin = label_twin(values, {likely: labels[likely]}) if likely else None
            found = (LABEL, f"it is {twin}") if twin else None
        if found is not None:
            evidence.suspect(name, group.name, stamps[np.isfinite(values)][:1], found[1], "identity", found[0])


def _stored(snapshot: Snapshot, table: str, period: str, symbol: str) -> pl.DataFrame | None:
    if not snapshot.has(table) or period not in snapshot.periods(table):
        return None
    return by_symbol(snapshot, table, period, [symbol])[symbol]
