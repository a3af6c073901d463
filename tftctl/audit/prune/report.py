"""What a pruning says of itself: `tftctl prune --json`, report.json, and the description of the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tftctl.audit.prune.columns import document as dropped_document
from tftctl.audit.prune.coverage import coverage, rows_dropped
from tftctl.audit.prune.decide import Pruning
from tftctl.audit.prune.parts import TRAIN, VALIDATION
from tftctl.audit.prune.rules import SAMPLE_ROWS, SEED
from tftctl.core.times import iso


def record(pruning: Pruning) -> dict[str, Any]:
    """What the pruned table's description keeps: where it came from, by what rules, and what was read (A4)."""
    parts = pruning.parts
    label_end, later = parts.last_label_end(TRAIN), parts.last_label_end(VALIDATION)
    return {
        "from_snapshot": pruning.snapshot,
        "rules": pruning.rules.document(),
        "targets": list(parts.targets),
        "train_end": iso(parts.cuts.first),
        "val_end": iso(parts.cuts.second),
        "last_label_end": None if label_end is None else iso(label_end),
        "last_label_end_of_drift": iso(later) if later is not None and pruning.rules.columns.drift else None,
        "sample": {"rows": SAMPLE_ROWS, "seed": SEED} if _sampled(pruning) else None,
        "columns_dropped": [dropped_document(entry) for entry in pruning.dropped],
        "rows_dropped": rows_dropped(pruning.groups),
    }


def document(pruning: Pruning, number: int | None) -> dict[str, Any]:
    """All of it; `snapshot` is the new one, or that which was read where none was made."""
    before = sum(group.rows.rows for group in pruning.groups)
    return {
        "snapshot": pruning.snapshot if number is None else number,
        **record(pruning),
        "columns": {"before": len(pruning.columns), "after": len(pruning.columns) - len(pruning.gone)},
        "rows": {"before": before, "after": before - pruning.removed},
        "coverage": coverage(pruning.groups, pruning.seen),
        "measures": list(measured(pruning)),
    }


def measured(pruning: Pruning) -> Iterator[dict[str, Any]]:
    """Every column at every period where it was measured, in the order of the table; None where there is no number."""
    reasons = {entry.column: entry.reason for entry in pruning.dropped}
    tables = {
        (found.period, name): (found, place) for found in pruning.measures for place, name in enumerate(found.columns)
    }
    for name, entry in pruning.columns.items():
        there = [found.period for found in pruning.measures if (found.period, name) in tables]
        if not there and name in reasons:
            yield {"column": name, "role": entry["role"], "dropped": reasons[name], "period": None}
        for period in there:
            found, place = tables[period, name]
            yield {
                "column": name,
                "role": entry["role"],
                "dropped": reasons.get(name),
                "period": period,
                "missing": _number(found.missing[place]) if found.rows else None,
                "constant": bool(found.tallies.constant[place]) if found.rows else None,
                "same": _number(found.same[place]),
                "variance": _number(found.tallies.variance[place]),
                "psi": _number(found.psi[place]),
                "ks": _number(found.ks[place]),
                "target": _number(found.target[place]),
            }


def notes(pruning: Pruning) -> list[str]:
    """What the user should know beside the numbers."""
    said = []
    if pruning.dropped or pruning.removed:
        built = "the next features build makes the whole table again"
        said.append(built if pruning.origin == "built" else f"for the whole table: data_path: {pruning.snapshot}")
    for file, names in pruning.inputs.missed(pruning.gone).items():
        said.append(f"{file} names columns that are gone, remove them before training: {', '.join(names)}")
    for period in pruning.parts.periods:
        mine = [group for group in pruning.groups if group.rows.period == period]
        empty = [group.rows.symbol for group in mine if not group.kept.any()]
        if len(empty) == len(mine):
            said.append(f"no row of {period} is left")
        elif empty:
            said.append(f"no row of {', '.join(empty)} is left at {period}")
    return said


def _sampled(pruning: Pruning) -> bool:
    return pruning.rules.columns.ranked or pruning.rules.columns.drift


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
