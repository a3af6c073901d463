"""Running indicators over the segments of one group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tftctl.core.errors import DataError, PluginError, guest_code
from tftctl.core.names import KEY_COLUMNS
from tftctl.core.records import Indicator
from tftctl.features.definitions import IndicatorInstance

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Bars start..stop of one segment; `warm` bars at its head serve only to warm up."""

    start: int
    stop: int
    warm: int


def compute_features(
    bars: pl.DataFrame, instances: Sequence[IndicatorInstance], first: int = 0, stop: int | None = None
) -> pl.DataFrame:
    """Columns of all instances for bars first..stop of one group of prepared bars, Float64, null where undefined.

    Every segment is computed on its own: an indicator never sees a gap. Bars before `first` are read only as far as
    an indicator remembers (its `settle`), all of the segment where it never forgets. Raises DataError when a bar
    column is missing, PluginError when an indicator returns something else than it declared.
    """
    _require_inputs(bars, instances)
    stop = bars.height if stop is None else stop
    bounds = segment_bounds(bars)
    inputs = input_arrays(bars, sorted({name for instance in instances for name in _kernel_inputs(instance)}))
    made: dict[str, pl.Series] = {}
    for instance in instances:
        name = instance.record.name
        stretches = list(_stretches(bounds, instance.memory, first, stop))
        with guest_code(
            f"indicator {name!r}", f"look into it: tftctl plugins check {name}, tftctl plugins show {name}"
        ):
            columns = _instance_columns(bars, inputs, instance, stretches, stop - first)
        made |= {column: pl.Series(column, values, nan_to_null=True) for column, values in columns.items()}
    return pl.DataFrame(made)


def segment_bounds(bars: pl.DataFrame) -> list[tuple[int, int]]:
    """First bar and the bar after the last of each unbroken segment, in order of time."""
    starts = np.flatnonzero(np.diff(bars["segment"].to_numpy(), prepend=-1)).tolist()
    return list(zip(starts, [*starts[1:], bars.height], strict=True))


def split_segments(bars: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Unbroken segments in order of time."""
    for start, stop in segment_bounds(bars):
        yield bars.slice(start, stop - start)


def known_columns(instances: Sequence[IndicatorInstance], timestamps: Array) -> dict[str, Array]:
    """Columns of `known` indicators for any open times, also future ones: float64 of the same shape."""
    frame = pl.DataFrame({"timestamp": pl.Series(timestamps, dtype=pl.Int64), "segment": np.zeros(timestamps.size)})
    columns = compute_features(frame, [instance for instance in instances if instance.record.known])
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
    column = column.cast(pl.Float64)
    if column.null_count():
        column = column.fill_null(float("nan"))
    return np.ascontiguousarray(column.to_numpy(writable=True))


def _stretches(bounds: Sequence[tuple[int, int]], memory: int | None, first: int, stop: int) -> Iterator[_Stretch]:
    for begin, end in bounds:
        if begin < stop and first < end:
            wanted = max(begin, first)
            start = begin if memory is None else max(begin, wanted - memory)
            yield _Stretch(start, min(end, stop), wanted - start)


def _instance_columns(
    bars: pl.DataFrame,
    inputs: Mapping[str, Array],
    instance: IndicatorInstance,
    stretches: Sequence[_Stretch],
    size: int,
) -> dict[str, Array]:
    """Float64 arrays of shape (size,) by column: the wanted bars of all stretches one after the other."""
    columns = {feature.column: np.full(size, np.nan) for feature in instance.features}
    place = 0
    for stretch in stretches:
        raw = _run(bars, inputs, instance, stretch)
        rows = stretch.stop - stretch.start - stretch.warm
        for feature in instance.features:
            blank = max(feature.first_valid - stretch.warm, 0)
            columns[feature.column][place + blank : place + rows] = raw[feature.output][stretch.warm + blank :]
        place += rows
    for values in columns.values():
        values[~np.isfinite(values)] = np.nan
    return columns


def _run(
    bars: pl.DataFrame, inputs: Mapping[str, Array], instance: IndicatorInstance, stretch: _Stretch
) -> Mapping[str, Array]:
    record, params = instance.record, instance.params
    if record.kernel is not None:
        # copies: a kernel that writes into its inputs must not reach the next one
        columns = {name: inputs[name][stretch.start : stretch.stop].copy() for name in instance.inputs}
        return run_kernel(record, params, columns)
    assert record.expr is not None
    rows = bars.slice(stretch.start, stretch.stop - stretch.start).select(instance.inputs)
    made = run_stages(rows, record.expr(params))
    missing = [output.name for output in record.outputs if output.name not in made.columns]
    if missing:
        raise PluginError(f"indicator {record.name!r} should make a column {missing[0]!r} and does not")
    return input_arrays(made, [output.name for output in record.outputs])


def _kernel_inputs(instance: IndicatorInstance) -> tuple[str, ...]:
    return instance.inputs if instance.record.kernel is not None else ()


def _require_inputs(bars: pl.DataFrame, instances: Sequence[IndicatorInstance]) -> None:
    for instance in instances:
        for name in instance.inputs:
            if name not in bars.columns:
                group = " ".join(str(bars[key][0]) for key in KEY_COLUMNS[:2])
                raise DataError(
                    f"indicator {instance.record.name!r} needs the column {name!r}, which {group} does not have",
                    f"columns there: {', '.join(bars.columns)}",
                )
