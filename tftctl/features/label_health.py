"""What the labels of a snapshot look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tftctl.features.conventions import CONVENTIONS, Decided, decided_by_convention
from tftctl.features.layout import Layout
from tftctl.features.sampling import Group
from tftctl.store import Snapshot


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """Labels of one target at one period, over the real rows of all symbols.

    `base_rate` of binary targets, `mean` and `std` (ddof 1) of the others. `ties` is the share of labels for which two
    values that decide are equal, `inside_bar` of those that depend on the order of prices inside one bar; None where
    the target does not say.
    """

    target: str
    period: str
    kind: str
    rows: int
    labelled: int
    base_rate: float | None = None
    mean: float | None = None
    std: float | None = None
    ties: float | None = None
    inside_bar: float | None = None


def label_health(
    snapshot: Snapshot, period: str, groups: Sequence[Group], described: Mapping[str, Any], bars: Layout | None
) -> list[TargetHealth]:
    """Of every target that has a horizon at a period; `described` is the `targets` entry of the table's meta, `bars`
    what the labels were made from."""
    symbols = [group.symbol for group in groups]
    decided = {} if bars is None else decided_by_convention(snapshot, bars, period, symbols)
    here = {name: entry for name, entry in described.items() if period in entry["horizon"]}
    return [_measure(snapshot, period, groups, name, entry, decided) for name, entry in here.items()]


def _measure(
    snapshot: Snapshot,
    period: str,
    groups: Sequence[Group],
    name: str,
    entry: Mapping[str, Any],
    decided: Decided,
) -> TargetHealth:
    moments = []
    for symbol in (group.symbol for group in groups):
        labels = snapshot.collect(snapshot.scan("targets", period, symbols=[symbol], columns=[name]))
        values = labels[name].drop_nulls().cast(pl.Float64).to_numpy()
        if values.size:
            moments.append((values.size, values.mean(), values.var() * values.size))
    labelled, mean, std = _pooled(moments)
    binary = entry["kind"] == "binary"
    return TargetHealth(
        target=name,
        period=period,
        kind=entry["kind"],
        rows=sum(group.rows for group in groups),
        labelled=labelled,
        base_rate=mean if binary else None,
        mean=None if binary else mean,
        std=None if binary else std,
        **{c: decided[name, c] / labelled for c in CONVENTIONS if labelled and (name, c) in decided},
    )


def _pooled(moments: Sequence[tuple[int, float, float]]) -> tuple[int, float | None, float | None]:
    """Count, mean and standard deviation of several groups together."""
    if not moments:
        return 0, None, None
    sizes, means, squares = (np.array(part, dtype=float) for part in zip(*moments, strict=True))
    size = sizes.sum()
    mean = float(sizes @ means / size)
    square = float(squares.sum() + sizes @ (means - mean) ** 2)
    return int(size), mean, float(np.sqrt(square / (size - 1))) if size > 1 else None
