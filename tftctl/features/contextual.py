"""Indicators over fused rows: a row's own columns beside those of its context (SEMANTICS F7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from tftctl.core.errors import guest_code
from tftctl.core.names import context_column
from tftctl.features.engine import input_arrays, run_kernel
from tftctl.features.groups import Recipe


def contextual_columns(recipe: Recipe, contexts: Sequence[str], rows: pl.DataFrame) -> list[pl.Series]:
    """Columns of all `context` indicators for fused rows of one period, Float64, null where undefined."""
    made = []
    for instance in recipe.contextual:
        names = [seen for name in instance.inputs for seen in (name, *(context_column(name, q) for q in contexts))]
        columns = input_arrays(rows, [name for name in names if name in rows.columns])
        name = instance.record.name
        with guest_code(f"indicator {name!r}", f"look into it: tftctl plugins show {name}"):
            found = run_kernel(instance.record, instance.params, columns)
        for feature in instance.features:
            values = np.where(np.isfinite(found[feature.output]), found[feature.output], np.nan)
            made.append(pl.Series(feature.column, values, nan_to_null=True))
    return made
