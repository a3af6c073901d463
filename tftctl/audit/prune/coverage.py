"""Columns, rows, values and forecast origins by period, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tftctl.audit.prune.parts import TRAIN
from tftctl.audit.prune.thin import Seen, Thinned


def coverage(groups: Sequence[Thinned], seen: Mapping[str, Seen]) -> dict[str, dict[str, dict[str, Any]]]:
    """`share` is that of values which training rows have of the columns that apply.

    `origins` are rows of all parts with a whole window of what a training takes as inputs.
    """
    return {
        period: {
            "before": _side(groups, period, columns.before, columns.inputs_before, 0),
            "after": _side(groups, period, columns.after, columns.inputs_after, 1),
        }
        for period, columns in seen.items()
    }


def rows_dropped(groups: Sequence[Thinned]) -> list[dict[str, Any]]:
    """One entry per group and reason."""
    return [
        {"symbol": group.rows.symbol, "period": group.rows.period, "reason": reason, "rows": rows}
        for group in groups
        for reason, rows in group.reasons.items()
    ]


def _side(groups: Sequence[Thinned], period: str, columns: Sequence[str], inputs: int, side: int) -> dict[str, Any]:
    mine = [group for group in groups if group.rows.period == period]
    rows = sum(group.rows.rows if side == 0 else int(group.kept.sum()) for group in mine)
    train = sum(_training(group, side) for group in mine)
    cells = train * len(columns)
    return {
        "columns": len(columns),
        "inputs": inputs,
        "rows": rows,
        "train_rows": train,
        "share": sum(group.values[side] for group in mine) / cells if cells else None,
        "origins": sum(group.origins[side] for group in mine),
    }


def _training(group: Thinned, side: int) -> int:
    train = group.rows.split == TRAIN
    return int(train.sum() if side == 0 else (train & group.kept).sum())
