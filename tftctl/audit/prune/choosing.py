"""Which of several equal or correlated columns stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tftctl.audit.prune.measure import Measures
from tftctl.audit.prune.rules import ColumnRules
from tftctl.features.columns import INPUT_ROLES


@dataclass(frozen=True, slots=True)
class Preference:
    """Best first: what is pinned, what is an input of the network, what `keep` prefers, what comes first."""

    order: tuple[str, ...]
    pinned: frozenset[str]

    def best(self, names: Collection[str]) -> str:
        """The one that stays."""
        return min(names, key=self.order.index)


def prefer(
    columns: Mapping[str, Mapping[str, Any]], pinned: Collection[str], measures: Sequence[Measures], rules: ColumnRules
) -> Preference:
    """Rank columns; a measure is averaged over periods by their training rows, a label's by periods."""
    worth = _worth(list(columns), measures, rules)

    def rank(name: str) -> tuple[bool, bool, float]:
        return name not in pinned, not _is_input(columns[name]), -worth[name]

    return Preference(tuple(sorted(columns, key=rank)), frozenset(pinned))


def _is_input(entry: Mapping[str, Any]) -> bool:
    return entry["role"] in INPUT_ROLES and entry["scale"] == "free"


def _worth(names: Sequence[str], measures: Sequence[Measures], rules: ColumnRules) -> dict[str, float]:
    """What `keep` goes by; 0 for all where the first stays."""
    if rules.keep == "first":
        return dict.fromkeys(names, 0.0)
    sums, weights = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for found in measures:
        weight = float(found.rows) if rules.kept_by_target is None else 1.0
        for name, value in zip(found.columns, _values(found, rules), strict=True):
            if np.isfinite(value):
                sums[name] += weight * float(value)
                weights[name] += weight
    return {name: sums[name] / weights[name] if weights[name] else -1.0 for name in names}


def _values(found: Measures, rules: ColumnRules) -> np.ndarray:
    if rules.keep == "coverage":
        return 1 - found.missing
    return found.tallies.variance if rules.keep == "variance" else found.target
