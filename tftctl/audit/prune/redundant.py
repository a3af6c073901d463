"""Columns that say what another says: equal ones, and clusters of correlated ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.audit.prune.choosing import Preference
from tftctl.audit.prune.measure import Measures
from tftctl.audit.prune.rules import How
from tftctl.features.correlation import LEAST_COMMON, linked

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Redundant:
    """A column that goes because `kept` stays; `correlation` with it, and all columns of their cluster."""

    column: str
    kept: str
    correlation: float | None
    cluster: tuple[str, ...]


def duplicates(
    names: Sequence[str], measures: Sequence[Measures], preference: Preference, *, mirrored: bool
) -> Iterator[Redundant]:
    """Columns with the same values and gaps in every training row of all groups, `mirrored` also times -1.

    One that has no value anywhere is equal to nothing. Pinned columns stay beside each other.
    """
    by_content: dict[tuple[bytes, ...], list[str]] = {}
    for name in names:
        content = tuple(_digest(found, name, mirrored) for found in measures)
        if any(content):
            by_content.setdefault(content, []).append(name)
    for equal in by_content.values():
        kept = preference.best(equal)
        for name in equal:
            if name != kept and name not in preference.pinned:
                yield Redundant(name, kept, None, tuple(equal))


def correlated(
    names: Sequence[str],
    measures: Sequence[Measures],
    preference: Preference,
    limit: float,
    linkage: str,
    rule: How,
) -> Iterator[Redundant]:
    """Of each cluster all but the best, again among those that stay, until no two correlate above `limit`.

    `complete` linkage joins columns that all correlate above the limit with each other, `average` those that do on
    average. `rule`: whether a pair correlates in any period or in all to which one of the two applies.
    """
    strength = _over_periods(names, measures, rule)
    left = [place for place, _ in enumerate(names)]
    while True:
        gone = []
        for cluster in linked(strength[np.ix_(left, left)], limit, linkage):
            members = [left[place] for place in cluster]
            for place, kept in _going(names, strength, members, preference):
                gone.append(place)
                cluster_names = tuple(names[member] for member in members)
                yield Redundant(names[place], names[kept], float(strength[place, kept]), cluster_names)
        if not gone:
            return
        left = [place for place in left if place not in set(gone)]


def _going(
    names: Sequence[str], strength: Array, members: Sequence[int], preference: Preference
) -> Iterator[tuple[int, int]]:
    """(column that goes, column that stays): of several pinned ones that with which it correlates most."""
    pinned = [place for place in members if names[place] in preference.pinned]
    best = preference.best([names[place] for place in members])
    staying = pinned or [place for place in members if names[place] == best]
    for place in members:
        if place not in staying:
            yield place, max(staying, key=lambda kept: strength[place, kept])


def _over_periods(names: Sequence[str], measures: Sequence[Measures], rule: How) -> Array:
    """|correlation| (C, C) of all periods together: the largest for `any`, the smallest for `all`; else 0."""
    tables = np.stack([_of_period(names, found, rule) for found in measures])
    known = ~np.isnan(tables)
    if rule == "any":
        return np.where(known, tables, 0.0).max(0)
    return np.where(known.any(0), np.where(known, tables, np.inf).min(0), 0.0)


def _of_period(names: Sequence[str], found: Measures, rule: How) -> Array:
    """One period's, NaN where it has nothing to say: neither column varies there. For `all` a pair of which one varies,
    or with too few common rows, is not correlated."""
    places = {name: place for place, name in enumerate(found.columns)}
    here = np.array([name in places for name in names])
    numbers = np.array([places.get(name, 0) for name in names], dtype=np.int64)
    varies = np.zeros(len(names), bool)
    if found.columns:
        tallies = found.tallies
        moving = ~tallies.constant & (tallies.values >= LEAST_COMMON)
        varies = here & moving[numbers]
    table = np.full((len(names), len(names)), np.nan)
    if found.columns:
        table = np.where(np.outer(here, here), found.correlation[np.ix_(numbers, numbers)], np.nan)
    if rule == "all":
        table = np.where(np.isnan(table) & (varies[:, None] | varies[None, :]), 0.0, table)
    return table


def _digest(found: Measures, name: str, mirrored: bool) -> bytes:
    if name not in found.columns:
        return b""
    place = found.columns.index(name)
    return found.tallies.mirrored(place) if mirrored else found.tallies.equal(place)
