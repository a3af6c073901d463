"""`anomalies`: what is off by default and dear: MAD and LOF scores, and the GARCH family where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markets import Walks, prepared
from measure import median, one_thread_each, seconds_of, table

if TYPE_CHECKING:
    import polars as pl

    from tftctl.core.records import Indicator

GARCH_PLUGIN = "tftctl_garch"
GARCH_FOLDER = Path(__file__).parents[1] / "plugins" / "tftctl-garch"
Scored = tuple[str, Callable[[], Any]]


def anomalies(walks: Walks, repeats: int) -> str:
    """One thread, in this process, after a run on few bars; the markdown report."""
    one_thread_each()
    frames = prepared(walks)
    small = [frame.head(min(frame.height, 3000)) for frame in frames[:1]]
    rows: list[list[Any]] = []
    for (name, run), (_, try_out) in zip(scored(frames), scored(small), strict=True):
        try_out()
        seconds = [seconds_of(run)[0] for _ in range(repeats)]
        bars = sum(frame.height for frame in frames)
        rows.append([name, median(seconds), bars / median(seconds), median(seconds) / bars * 1e6])
    notes = [f"{walks}, default parameters, one thread, median of {repeats}."]
    if not _garch():
        notes.append(f"Skipped, neither installed nor in {GARCH_FOLDER}: {GARCH_PLUGIN}.")
    return "\n".join([*notes, "", table(["score", "median s", "bars/s", "µs per bar"], rows)])


def scored(frames: list[pl.DataFrame]) -> Iterator[Scored]:
    """Name and computation over all frames."""
    from tftctl.core.config.features import AnomaliesConfig, LofAnomaly, MadAnomaly
    from tftctl.features.anomaly import anomalies as configured

    points = [frame.with_columns(_features(frame, ["log_return", "rolling_volatility"])) for frame in frames]
    for name, config in (("MAD", AnomaliesConfig(mad=MadAnomaly())), ("LOF", AnomaliesConfig(lof=LofAnomaly()))):
        (rolling,) = configured(config, "1h")
        yield name, partial(_each, rolling.compute, points)
    for record in _garch():
        yield record.name, partial(_each, partial(_kernel, record), frames)


def _each(compute: Callable[[pl.DataFrame], Any], frames: list[pl.DataFrame]) -> None:
    for frame in frames:
        compute(frame)


def _features(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    from tftctl.core.config.features import IndicatorEntry
    from tftctl.features.definitions import resolve_indicators
    from tftctl.features.engine import compute_features
    from tftctl.plugins import load_registry

    return compute_features(frame, resolve_indicators([IndicatorEntry(name=name) for name in names], load_registry()))


def _garch() -> list[Indicator]:
    """Indicators of the plugin: installed, or as it lies in this repository."""
    if find_spec(GARCH_PLUGIN) is None:
        sys.path.append(str(GARCH_FOLDER))
    return list(import_module(GARCH_PLUGIN).tftctl_indicators()) if find_spec(GARCH_PLUGIN) else []


def _kernel(record: Indicator, frame: pl.DataFrame) -> None:
    """Segment by segment."""
    from tftctl.features.engine import input_arrays, run_kernel, split_segments

    params = record.params()
    for segment in split_segments(frame):
        run_kernel(record, params, input_arrays(segment, record.inputs(params)))
