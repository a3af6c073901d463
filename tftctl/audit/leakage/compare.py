"""Equal or not: to the last bit, or within what a formula declares (SEMANTICS A1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.features.engine import numbers

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def differing(before: Array, after: Array, tolerance: float = 0.0) -> Mask:
    """Where two columns differ; NaN equals NaN, `tolerance` is relative to the larger value and to the usual size."""
    with np.errstate(invalid="ignore"):
        same = before == after
        if tolerance:
            known = np.abs(before[np.isfinite(before)])
            usual = float(np.median(known)) if known.size else 0.0
            same |= np.abs(before - after) <= tolerance * np.fmax(np.fmax(np.abs(before), np.abs(after)), usual)
    return ~(same | (np.isnan(before) & np.isnan(after)))


def not_as_stored(fresh: pl.Series, stored: pl.Series) -> Mask:
    """Where a stored column is not the fresh one rounded to its type, by more than one unit in the last place."""
    now, before = fresh.to_numpy(), stored.to_numpy()
    narrow = stored.dtype == pl.Float32
    now = now.astype(np.float32 if narrow else np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        # a column that is stored wide may be one that was continued from a carried state
        allowed = np.spacing(np.abs(before)) if narrow else 1e-9 * np.abs(before)
        same = np.abs(now - before) <= allowed
    return ~(same | (np.isnan(now) & np.isnan(before)))


def columns_of(frame: pl.DataFrame, names: list[str]) -> dict[str, Array]:
    """Columns as float64 (rows,), NaN where null."""
    return {name: numbers(frame[name]) for name in names}


def alongside(fresh: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame | None:
    """The fresh rows of one group at the stored timestamps; None where a stored row has none.

    A pruned table has fewer rows than its bars.
    """
    if fresh["timestamp"].equals(stored["timestamp"]):
        return fresh
    rows = fresh.join(stored.select("timestamp"), on="timestamp", how="semi", maintain_order="left")
    return rows if rows.height == stored.height else None


def missing_rows(fresh: pl.DataFrame, stored: pl.DataFrame) -> list[int]:
    """Timestamps that only one of two frames has, ascending."""
    return sorted(set(fresh["timestamp"]) ^ set(stored["timestamp"]))
