"""Running indicators over the segments of one group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from tftctl.core.errors import DataError, PluginError, guest_code
from tftctl.core.names import KEY_COLUMNS
from tftctl.core.records import Indicator
from tftctl.features.definitions import IndicatorInstance

Array = np.ndarray


def compute_features(bars: pl.DataFrame, instances: Sequence[IndicatorInstance]) -> pl.DataFrame:
    """Columns of all instances for one group of prepared bars, Float64, null where undefined.

    Every segment is computed on its own: an indicator never sees a gap. Raises DataError when a bar column is
    missing, PluginError when an indicator returns something else than it declared.
    """
    _require_inputs(bars, instances)
    parts = [_segment_features(segment, instances) for segment in split_segments(bars)]
    return pl.concat(parts) if parts else pl.DataFrame()


def split_segments(bars: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Unbroken segments in order of time."""
    starts = np.flatnonzero(np.diff(bars["segment"].to_numpy(), prepend=-1))
    for start, end in zip(starts, [*starts[1:], bars.height], strict=True):
        yield bars.slice(int(start), int(end - start))


def known_columns(instances: Sequence[IndicatorInstance], timestamps: Array) -> dict[str, Array]:
    """Columns of `known` indicators for any open times, also future ones: float64 of the same shape."""
    frame = pl.DataFrame({"timestamp": pl.Series(timestamps, dtype=pl.Int64)})
    known = [instance for instance in instances if instance.record.known]
    columns = _segment_features(frame, known)
    return {name: columns[name].fill_null(float("nan")).to_numpy() for name in columns.columns}


def run_kernel(record: Indicator, params: object, columns: Mapping[str, Array]) -> dict[str, Array]:
    """Call a kernel and check what it returns. Raises PluginError that names the indicator."""
    assert record.kernel is not None
    found = record.kernel(columns, params)
    size = len(next(iter(columns.values())))
    for output in record.outputs:
        values = found.get(output.name)
        if values is None or np.shape(values) != (size,):
            raise PluginError(
                f"indicator {record.name!r} should return {output.name!r} with {size} values, "
                f"got {'nothing' if values is None else np.shape(values)}"
            )
    return {output.name: np.asarray(found[output.name], dtype=np.float64) for output in record.outputs}


def run_stages(frame: pl.DataFrame, stages: Sequence[Mapping[str, pl.Expr]]) -> pl.DataFrame:
    """Add the columns of each stage in turn; a later stage sees the earlier ones."""
    for stage in stages:
        frame = frame.with_columns(**stage)
    return frame


def input_arrays(segment: pl.DataFrame, names: Sequence[str]) -> dict[str, Array]:
    """Contiguous float64 arrays; null becomes NaN."""
    return {name: _float64(segment[name]) for name in names}


def _float64(column: pl.Series) -> Array:
    return np.ascontiguousarray(column.cast(pl.Float64).fill_null(float("nan")).to_numpy(writable=True))


def _segment_features(segment: pl.DataFrame, instances: Sequence[IndicatorInstance]) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    for instance in instances:
        name = instance.record.name
        with guest_code(
            f"indicator {name!r}", f"look into it: tftctl plugins check {name}, tftctl plugins show {name}"
        ):
            raw = _run(segment, instance)
        for feature in instance.features:
            columns[feature.column] = _blank(raw[feature.output], feature.first_valid)
    return pl.DataFrame(columns) if columns else segment.select()


def _run(segment: pl.DataFrame, instance: IndicatorInstance) -> Mapping[str, Array | pl.Series]:
    record, params = instance.record, instance.params
    if record.kernel is not None:
        return run_kernel(record, params, input_arrays(segment, instance.inputs))
    assert record.expr is not None
    made = run_stages(segment.select(instance.inputs), record.expr(params))
    missing = [output.name for output in record.outputs if output.name not in made.columns]
    if missing:
        raise PluginError(f"indicator {record.name!r} should make a column {missing[0]!r} and does not")
    return {output.name: made[output.name] for output in record.outputs}


def _blank(values: Array | pl.Series, first_valid: int) -> pl.Series:
    """NaN, infinity and everything before the first valid bar become null."""
    array = _float64(values) if isinstance(values, pl.Series) else values.copy()
    array[:first_valid] = np.nan
    array[~np.isfinite(array)] = np.nan
    return pl.Series(array).fill_nan(None)


def _require_inputs(bars: pl.DataFrame, instances: Sequence[IndicatorInstance]) -> None:
    for instance in instances:
        for name in instance.inputs:
            if name not in bars.columns:
                group = " ".join(str(bars[key][0]) for key in KEY_COLUMNS[:2])
                raise DataError(
                    f"indicator {instance.record.name!r} needs the column {name!r}, which {group} does not have",
                    f"columns there: {', '.join(bars.columns)}",
                )
