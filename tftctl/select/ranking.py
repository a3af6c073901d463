"""Ranks as scores: the best is 1, the worst 0."""

from __future__ import annotations

from collections.abc import Mapping


def rank_scores(values: Mapping[str, float]) -> dict[str, float]:
    """(n - rank) / (n - 1) of n values, rank 1 being the largest and ties sharing their mean rank; 1 of a single one.

    Where all are equal nothing is better than anything else: 0.
    """
    from scipy.stats import rankdata

    size = len(values)
    if size == 1:
        return dict.fromkeys(values, 1.0)
    if len(set(values.values())) < 2:
        return dict.fromkeys(values, 0.0)
    ranks = rankdata([-value for value in values.values()], method="average")
    return {name: float((size - rank) / (size - 1)) for name, rank in zip(values, ranks, strict=True)}
