"""The curves of a run: the rows of its `metrics.jsonl`, and which of them is the best."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from tftctl.core.errors import TftctlWarning
from tftctl.train.rundir import Run


def read_rows(run: Run) -> list[dict[str, Any]]:
    """One object per epoch, in the order of the file; none where there is no file yet.

    The last line of a process that was killed while it wrote is left out; another damaged line is warned of.
    """
    try:
        lines = run.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    read = [(number, _row(line)) for number, line in enumerate(lines, 1) if line.strip()]
    damaged = [number for number, row in read if row is None and number < len(lines)]
    if damaged:
        numbers = ", ".join(map(str, damaged))
        warnings.warn(f"{run.metrics}: not readable, left out: line {numbers}", TftctlWarning, stacklevel=2)
    return [row for _, row in read if row is not None]


def best_row(rows: Iterable[Mapping[str, Any]], monitor: str, mode: str) -> dict[str, Any]:
    """The row that the monitored value calls best, the earlier of equal ones; empty where it is never defined."""
    sign = 1 if mode == "max" else -1
    defined = [dict(row) for row in rows if number(row.get(monitor)) is not None]
    return max(defined, key=lambda row: sign * row[monitor], default={})


def best_value(rows: Iterable[Mapping[str, Any]], monitor: str, mode: str) -> float | None:
    """The best value of one key over all rows; None where it is never defined."""
    return best_row(rows, monitor, mode).get(monitor)


def number(value: object) -> float | None:
    """The value where it is a finite number, None for null, NaN, infinity and whatever else stands there."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return value if real and math.isfinite(value) else None  # type: ignore[arg-type,return-value]


def _row(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
