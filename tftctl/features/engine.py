"""Running indicators over the segments of one group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from tftctl.core.errors import DataError, PluginError, guest_code
from tftctl.core.names import KEY_COLUMNS
from tftctl.core.records import Indicator
from tftctl.features.definitions import IndicatorInstance

Array = np.ndarray
# a bar column by name, as a kernel may have it
Inputs = Callable[[str], Array]


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
    span = first, bars.height if stop is None else stop
    names = sorted({name for instance in instances for name in _kernel_inputs(instance)})
    originals = {name: numbers(bars[name]) for name in names}
    shared = {name: values.copy() for name, values in originals.items()}
    made = _all_columns(bars, shared.__getitem__, instances, span)
    if not all(_same_bits(shared[name], originals[name]) for name in names):
        # a kernel has written into its inputs: so that none sees what another has left, each gets its own
        made = _all_columns(bars, lambda name: originals[name].copy(), instances, span)
    return pl.DataFrame(pa.RecordBatch.from_pydict(made))


def segment_bounds(bars: pl.DataFrame) -> list[tuple[int, int]]:
    """First bar and the bar after the last of each unbroken segment, in order of time."""
    segment = bars["segment"].to_numpy()
    starts = [0, *(np.flatnonzero(segment[1:] != segment[:-1]) + 1).tolist()] if segment.size else []
    return list(zip(starts, [*starts[1:], bars.height], strict=True))


def split_segments(bars: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Unbroken segments in order of time."""
    for start, stop in segment_bounds(bars):
        yield bars.slice(start, stop - start)


def known_columns(instances: Sequence[IndicatorInstance], timestamps: Array) -> dict[str, Array]:
    """Columns of `known` indicators for any open times, also future ones: float64 of the same shape."""
    frame = pl.DataFrame({"timestamp": pl.Series(timestamps, dtype=pl.Int64), "segment": np.zeros(timestamps.size)})
    columns = compute_features(frame, [instance for instance in instances if instance.record.known])
    return {name: numbers(columns[name]) for name in columns.columns}


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


def nullable(values: Array) -> pa.Array:
    """A column of these float64 values, without a copy, null where they are not finite."""
    known = np.isfinite(values)
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), values.size, [valid, pa.py_buffer(values)])


def input_arrays(segment: pl.DataFrame, names: Sequence[str]) -> dict[str, Array]:
    """Contiguous float64 arrays to write to; null becomes NaN."""
    return {name: numbers(segment[name]).copy() for name in names}


def numbers(column: pl.Series) -> Array:
    """A column as float64 (rows,), NaN where it is null; read only, perhaps in the column's own memory."""
    return (column if column.dtype == pl.Float64 else column.cast(pl.Float64)).to_numpy()


def _stretches(bounds: Sequence[tuple[int, int]], memory: int | None, first: int, stop: int) -> Iterator[_Stretch]:
    for begin, end in bounds:
        if begin < stop and first < end:
            wanted = max(begin, first)
            start = begin if memory is None else max(begin, wanted - memory)
            yield _Stretch(start, min(end, stop), wanted - start)


def _all_columns(
    bars: pl.DataFrame, inputs: Inputs, instances: Sequence[IndicatorInstance], span: tuple[int, int]
) -> dict[str, pa.Array]:
    bounds = segment_bounds(bars)
    made: dict[str, pa.Array] = {}
    for instance in instances:
        name = instance.record.name
        stretches = list(_stretches(bounds, instance.memory, *span))
        with guest_code(
            f"indicator {name!r}", f"look into it: tftctl plugins check {name}, tftctl plugins show {name}"
        ):
            made |= _instance_columns(bars, inputs, instance, stretches, span[1] - span[0])
    return made


def _same_bits(a: Array, b: Array) -> bool:
    return np.array_equal(a.view(np.int64), b.view(np.int64))


def _instance_columns(
    bars: pl.DataFrame,
    inputs: Inputs,
    instance: IndicatorInstance,
    stretches: Sequence[_Stretch],
    size: int,
) -> dict[str, pa.Array]:
    """Columns of `size` values: the wanted bars of all stretches one after the other, null where not finite."""
    values = {feature.column: np.empty(size) for feature in instance.features}
    place = 0
    for stretch in stretches:
        raw = _run(bars, inputs, instance, stretch)
        end = place + stretch.stop - stretch.start - stretch.warm
        for feature in instance.features:
            part = values[feature.column][place:end]
            part[:] = raw[feature.output][stretch.warm :]
            part[: max(feature.first_valid - stretch.warm, 0)] = np.nan
        place = end
    return {column: nullable(array) for column, array in values.items()}


def _run(bars: pl.DataFrame, inputs: Inputs, instance: IndicatorInstance, stretch: _Stretch) -> Mapping[str, Array]:
    record, params = instance.record, instance.params
    if record.kernel is not None:
        columns = {name: inputs(name)[stretch.start : stretch.stop] for name in instance.inputs}
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
