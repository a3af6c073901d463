"""Normalisers, counted again value by value: their statistics are those of the bars before (SEMANTICS T4, F2)."""

from __future__ import annotations

import numpy as np
import polars as pl

from tftctl.audit.leakage.classes import ALL_DATA
from tftctl.audit.leakage.evidence import Evidence
from tftctl.audit.leakage.world import Group
from tftctl.features.engine import numbers
from tftctl.features.normalise import MAD_TO_DEVIATION, normalised_name

ROWS = 12
CLOSE = 1e-6  # relative: a rolling sum against a sum


def audit_statistics(group: Group, fresh: pl.DataFrame, evidence: Evidence) -> None:
    """Note normalised columns that are not their source by centre and scale of the last W valid values before each row.

    `fresh`: feature rows of the whole group, Float64. A few rows per column, spread over it.
    """
    filled = fresh["is_filled"].to_numpy()
    for method, settings in group.recipe.config.normalise.items():
        window = settings.window.get(group.period)
        for name in settings.columns if window else ():
            column = normalised_name(name, method)
            values, made = numbers(fresh[name]), numbers(fresh[column])
            samples = np.flatnonzero(~filled & np.isfinite(values))
            for row in _spread(np.flatnonzero(np.isfinite(made))):
                before = values[samples[: np.searchsorted(samples, row)]][-(window or 0) :]
                centre, scale = _centre_and_scale(before, method)
                expected = (values[row] - centre) / scale
                if settings.clip is not None:
                    expected = float(np.clip(expected, -settings.clip, settings.clip))
                if not np.isclose(made[row], expected, rtol=CLOSE, atol=CLOSE):
                    how = "its centre and scale are not those of the values before"
                    stamp = int(fresh["timestamp"][int(row)])
                    evidence.suspect(column, group.name, [stamp], how, "normalisation", ALL_DATA)
                    break


def _centre_and_scale(values: np.ndarray, method: str) -> tuple[float, float]:
    if method == "zscore":
        return float(values.mean()), float(values.std(ddof=1))
    if method == "minmax":
        return float(values.min()), float(values.max() - values.min())
    middle = float(np.median(values))
    return middle, MAD_TO_DEVIATION * float(np.median(np.abs(values - middle)))


def _spread(rows: np.ndarray) -> list[int]:
    return rows[np.unique(np.linspace(0, rows.size - 1, ROWS).astype(int))].tolist() if rows.size else []
