"""Whether selections of several folds agree: selection frequency, Jaccard and Kuncheva indices."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations


def frequencies(sets: Sequence[Collection[str]], pool: Sequence[str]) -> dict[str, float]:
    """Share of the sets that a feature is in."""
    return {name: sum(name in chosen for chosen in sets) / len(sets) for name in pool}


def jaccard(first: Collection[str], second: Collection[str]) -> float | None:
    """Common members as a share of all; None of two empty sets."""
    union = set(first) | set(second)
    return len(set(first) & set(second)) / len(union) if union else None


def kuncheva(first: Collection[str], second: Collection[str], pool: int) -> float | None:
    """Common members beyond chance, 1 for as many as the sizes allow: (r - ab/n) / (min(a, b) - ab/n).

    For a = b this is the consistency index of Kuncheva (2007), (rn - k^2) / (k (n - k)). None where one set is empty or
    the whole pool.
    """
    a, b = len(set(first)), len(set(second))
    chance = a * b / pool
    most = min(a, b) - chance
    return (len(set(first) & set(second)) - chance) / most if most > 0 else None


def mean_over_pairs(values: Sequence[float | None]) -> float | None:
    """Mean of those that are defined."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def agreement_of(sets: Sequence[Collection[str]], pool: int) -> tuple[float | None, float | None]:
    """Mean Jaccard and Kuncheva index over all pairs of sets."""
    pairs = list(combinations(sets, 2))
    return (
        mean_over_pairs([jaccard(a, b) for a, b in pairs]),
        mean_over_pairs([kuncheva(a, b, pool) for a, b in pairs]),
    )
