"""What the labels of a snapshot look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.names import label_end_column
from tftctl.features.sampling import Group
from tftctl.store import Snapshot

# the sign of C[t+h] / C[t] - 1 is what these are about
_RETURNS = ("target_logreturn", "target_binarytrend")


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """Labels of one target at one period, over the real rows of all symbols.

    `base_rate` of binary targets, `mean` and `std` (ddof 1) of the others. `ties` is the share of labels
    whose two closes are equal, for targets of the sign or size of a return.
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


def label_health(
    snapshot: Snapshot, period: str, groups: Sequence[Group], described: Mapping[str, Any]
) -> list[TargetHealth]:
    """Of every target that has a horizon at a period; `described` is the `targets` entry of the table's meta."""
    found = [_measure(snapshot, period, groups, name, entry) for name, entry in described.items()]
    return [target for target in found if target is not None]


def _measure(
    snapshot: Snapshot, period: str, groups: Sequence[Group], name: str, entry: Mapping[str, Any]
) -> TargetHealth | None:
    if period not in entry["horizon"]:
        return None
    counted = entry["record"] in _RETURNS and snapshot.has("bars") and period in snapshot.periods("bars")
    moments, ties = [], 0
    for symbol in (group.symbol for group in groups):
        labels = snapshot.scan("targets", period, symbols=[symbol], columns=[name, label_end_column(name)])
        frame = snapshot.collect(labels)
        values = frame[name].drop_nulls().cast(pl.Float64).to_numpy()
        if values.size:
            moments.append((values.size, values.mean(), values.var() * values.size))
            ties += _ties(snapshot, period, symbol, frame, name) if counted else 0
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
        ties=ties / labelled if counted and labelled else None,
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


def _ties(snapshot: Snapshot, period: str, symbol: str, labels: pl.DataFrame, name: str) -> int:
    """Labels whose bar t+h, known by its `label_end`, closes as bar t does: as stored, before adjustment."""
    rows = snapshot.scan("bars", period, symbols=[symbol], columns=["available_at", "close"])
    bars = snapshot.collect(rows)
    ends = bars.select("available_at", pl.col("close").alias("later")).unique("available_at", keep="last")
    end = label_end_column(name)
    labelled = labels.filter(pl.col(name).is_not_null()).select("timestamp", end)
    both = labelled.join(bars.select("timestamp", "close"), on="timestamp").join(
        ends, left_on=end, right_on="available_at"
    )
    return int((both["close"] == both["later"]).sum())
