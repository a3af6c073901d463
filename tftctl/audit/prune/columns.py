"""Which columns go, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tftctl.audit.prune.choosing import Preference, prefer
from tftctl.audit.prune.measure import Measures
from tftctl.audit.prune.names import Described, candidates, refuse_both, resolve
from tftctl.audit.prune.redundant import Redundant, correlated, duplicates
from tftctl.audit.prune.rules import ColumnRules, How

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A column that goes: the measure that decided and its limit, the period where it was read, what stays instead.

    `by_period` has the measure wherever it was read, `cluster` the columns that were compared.
    """

    column: str
    reason: str
    value: float | None = None
    limit: float | None = None
    period: str | None = None
    kept: str | None = None
    by_period: Mapping[str, float] = field(default_factory=dict)
    cluster: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """What names alone decide: columns that go, that never go, and that a measure may remove."""

    dropped: tuple[Dropped, ...]
    pinned: tuple[str, ...]
    open: tuple[str, ...]


def by_name(columns: Described, rules: ColumnRules) -> Named:
    """Raises UsageError for names that are not there, and for one that is to be dropped and to stay."""
    pinned = resolve(rules.pin, columns, "--pin")
    dropped = resolve(rules.drop, columns, "--drop")
    refuse_both(dropped, pinned, "it is pinned and to be dropped")
    gone = [Dropped(name, "named") for name in dropped]
    if rules.keep_only is not None:
        listed = set(resolve(rules.keep_only, columns, "--keep-only"))
        refuse_both(dropped, sorted(listed), "--keep-only keeps it and --drop drops it")
        gone += [
            Dropped(name, "not listed")
            for name in candidates(columns)
            if name not in listed and name not in pinned and name not in dropped
        ]
    named = {entry.column for entry in gone}
    return Named(tuple(gone), tuple(pinned), tuple(name for name in candidates(columns) if name not in named))


def by_measure(columns: Described, named: Named, measures: Sequence[Measures], rules: ColumnRules) -> list[Dropped]:
    """Apply the rules one after the other, each to what the ones before left.

    First what is bad alone (missing, constant, same value, psi, ks), then what is redundant (duplicate, correlation).
    """
    measures = [found for found in measures if found.rows]
    left, gone = list(named.open), []
    for scaled, rule in _rules(columns, named, measures, rules):
        # pooled over symbols, a level says which symbol it is of
        judged = left if scaled or rules.any_scale else [name for name in left if columns[name]["scale"] == "free"]
        found = [entry for entry in rule(judged) if entry.column not in named.pinned]
        gone += found
        names = {entry.column for entry in found}
        left = [name for name in left if name not in names]
    return gone


Rule = Callable[[Sequence[str]], Iterable[Dropped]]


def _rules(
    columns: Described, named: Named, measures: Sequence[Measures], rules: ColumnRules
) -> Iterator[tuple[bool, Rule]]:
    """What is asked for, and whether it also judges columns in units of price and volume."""
    limits: list[tuple[str, float | None, Callable[[Measures], Array]]] = [
        ("missing", rules.max_missing, lambda found: found.missing),
        ("constant", 0.5 if rules.constant else None, lambda found: found.tallies.constant.astype(float)),
        ("same value", rules.max_same, lambda found: found.same),
        ("psi", rules.max_psi, lambda found: found.psi),
        ("ks", rules.max_ks, lambda found: found.ks),
    ]
    for reason, limit, of in limits:
        if limit is not None:
            scaled = reason not in ("psi", "ks")
            yield scaled, partial(_above, measures=measures, reason=reason, limit=limit, of=of, rule=rules.period_rule)
    preference = prefer(columns, named.pinned, measures, rules)
    if rules.duplicates is not None:
        yield True, partial(_equal, measures=measures, preference=preference, rules=rules)
    if rules.max_correlation is not None:
        yield False, partial(_clustered, measures=measures, preference=preference, rules=rules)


def _above(
    names: Sequence[str],
    measures: Sequence[Measures],
    reason: str,
    limit: float,
    of: Callable[[Measures], Array],
    rule: How,
) -> Iterator[Dropped]:
    """Columns whose measure is above the limit in any period, or in all that could be measured."""
    tables = {found.period: dict(zip(found.columns, of(found), strict=True)) for found in measures}
    for name in names:
        seen = {p: float(table[name]) for p, table in tables.items() if name in table}
        # what is not the most frequent value of more than half is not above a limit
        values = {p: value for p, value in seen.items() if reason == "same value" or np.isfinite(value)}
        bad = {p: value for p, value in values.items() if value > limit}
        if bad and (rule == "any" or len(bad) == len(values)):
            period = (max if rule == "any" else min)(bad, key=lambda p: bad[p])
            value, shown = (None, None) if reason == "constant" else (bad[period], limit)
            known = {p: value for p, value in values.items() if np.isfinite(value)}
            yield Dropped(name, reason, value, shown, period, by_period={} if reason == "constant" else known)


def _equal(
    names: Sequence[str], measures: Sequence[Measures], preference: Preference, rules: ColumnRules
) -> Iterator[Dropped]:
    for found in duplicates(names, measures, preference, mirrored=rules.duplicates == "sign"):
        yield _replaced(found, "duplicate", None)


def _clustered(
    names: Sequence[str], measures: Sequence[Measures], preference: Preference, rules: ColumnRules
) -> Iterator[Dropped]:
    assert rules.max_correlation is not None
    limit = rules.max_correlation
    if not measures:
        return
    for found in correlated(names, measures, preference, limit, rules.linkage, rules.period_rule):
        yield _replaced(found, "correlation", limit)


def _replaced(found: Redundant, reason: str, limit: float | None) -> Dropped:
    return Dropped(found.column, reason, found.correlation, limit, kept=found.kept, cluster=found.cluster)


def document(entry: Dropped) -> dict[str, Any]:
    """A row of `columns_dropped`."""
    return {
        "column": entry.column,
        "reason": entry.reason,
        "value": entry.value,
        "limit": entry.limit,
        "period": entry.period,
        "kept": entry.kept,
        "by_period": dict(entry.by_period),
        "cluster": list(entry.cluster),
    }
