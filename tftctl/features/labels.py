"""Running targets: labels, and the instant at which each could be known (SEMANTICS L1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from tftctl.core.errors import DataError, PluginError, guest_code
from tftctl.core.names import KEY_COLUMNS, label_end_column
from tftctl.core.records import LabelSpan
from tftctl.features.definitions import TargetInstance
from tftctl.features.engine import input_arrays, numbers, run_stages, split_segments

MAX_FILLED_SHARE = 0.1


def compute_labels(bars: pl.DataFrame, targets: Sequence[TargetInstance], bars_per_year: int) -> pl.DataFrame:
    """Key columns, and per target its label (Float64) and `label_end__<target>` (Int64), for one group.

    A label is null where the horizon is not complete within its segment, where bar t or t+h is filled, or where
    more than a tenth of its bars are. `label_end` is null only where bar t+h does not exist.
    """
    parts = [_segment_labels(segment, targets, bars_per_year) for segment in split_segments(bars)]
    return pl.concat(parts)


def _segment_labels(segment: pl.DataFrame, targets: Sequence[TargetInstance], bars_per_year: int) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    period = segment["period"][0]
    for target in targets:
        horizon = target.horizon.get(period)
        end = label_end_column(target.column)
        if horizon is None:
            columns[target.column] = pl.Series([None] * segment.height, dtype=pl.Float64)
            columns[end] = pl.Series([None] * segment.height, dtype=pl.Int64)
            continue
        columns[end] = segment["available_at"].shift(-horizon)
        with guest_code(f"target {target.record.name!r}", f"look into it: tftctl plugins show {target.record.name}"):
            label = _run(segment, target, LabelSpan(period, horizon, bars_per_year))
        label[~label_allowed(segment["is_filled"].to_numpy(), horizon)] = np.nan
        columns[target.column] = pl.Series(label).fill_nan(None)
    return segment.select(KEY_COLUMNS).with_columns(**columns)


def label_allowed(is_filled: np.ndarray, horizon: int) -> np.ndarray:
    """Rows of one segment that may have a label over the next `horizon` bars (L1)."""
    size = is_filled.size
    allowed = np.zeros(size, bool)
    if size <= horizon:
        return allowed
    count = np.concatenate(([0], np.cumsum(is_filled)))
    ahead = count[1 + horizon :] - count[1 : size - horizon + 1]
    ends_real = ~is_filled[: size - horizon] & ~is_filled[horizon:]
    allowed[: size - horizon] = ends_real & (ahead <= MAX_FILLED_SHARE * horizon)
    return allowed


def _run(segment: pl.DataFrame, target: TargetInstance, span: LabelSpan) -> np.ndarray:
    record = target.record
    missing = [name for name in record.inputs if name not in segment.columns]
    if missing:
        raise DataError(
            f"target {record.name!r} needs the column {missing[0]!r}, which {segment['symbol'][0]} does not have",
            f"columns there: {', '.join(segment.columns)}",
        )
    if record.kernel is not None:
        label = record.kernel(input_arrays(segment, record.inputs), target.params, span)
    else:
        assert record.expr is not None
        made = run_stages(segment.select(record.inputs), record.expr(target.params, span))
        label = numbers(made["label"])
    if np.shape(label) != (segment.height,):
        raise PluginError(f"target {record.name!r} should return {segment.height} labels, got {np.shape(label)}")
    label = np.array(label, dtype=np.float64)
    label[~np.isfinite(label)] = np.nan
    return label
