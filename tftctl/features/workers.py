"""Spreading symbols over processes. Every worker reads the store itself and writes its own segments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import polars as pl

from tftctl.core.calendars import ObservedCalendar
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import ConfigError
from tftctl.features.crosssection import CrossSections, gather_inputs, inputs_file
from tftctl.features.layout import Layout, lay_out
from tftctl.features.plan import Affected, PeriodPlan, examine_groups
from tftctl.features.reading import PreparedBars
from tftctl.features.work import Work
from tftctl.plugins import Registry
from tftctl.store import Place, Segment, SegmentSink, Snapshot, Store

Engine = Literal["processes", "ray"]
Key = tuple[str, str]  # table, period
Plans = Mapping[str, PeriodPlan]
Crossed = Mapping[str, CrossSections]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a worker needs to build the same layout: plain values and a function that loads the plugins."""

    store: Store
    snapshot: int
    config: FeaturesConfig
    observed: ObservedCalendar | None
    load: Callable[[], Registry]


@dataclass(slots=True)
class Written:
    """What one task leaves: finished segments of rewritten periods, and rows to patch, by table and period."""

    segments: dict[Key, list[Segment]] = field(default_factory=dict)
    columns: dict[Key, dict[str, str]] = field(default_factory=dict)
    patches: dict[Key, list[pl.DataFrame]] = field(default_factory=dict)
    removed: dict[Key, list[pl.DataFrame]] = field(default_factory=dict)
    rows: int = 0


class Workers(Protocol):
    """Where tasks run."""

    def examine(self, tasks: Sequence[tuple[str, list[str]]]) -> Iterator[Mapping[str, Affected]]:
        """Compare groups (period, symbols) with what their rows were made from; in any order."""
        ...

    def gather(self, tasks: Sequence[tuple[str, list[str], int, Path]]) -> None:
        """Leave the inputs of cross-sections of groups (period, symbols) from an instant on in a folder."""
        ...

    def make(self, plans: Plans, cross: Crossed, tasks: Sequence[list[str]]) -> Iterator[tuple[int, Written]]:
        """Make the rows of some symbols each; yields the number of the task with what it left, in any order."""
        ...


@dataclass(frozen=True)
class Here:
    """In this process, one task after the other."""

    bars: PreparedBars

    def examine(self, tasks: Sequence[tuple[str, list[str]]]) -> Iterator[Mapping[str, Affected]]:
        """See `Workers`."""
        for period, symbols in tasks:
            yield examine_groups(self.bars, period, symbols)

    def gather(self, tasks: Sequence[tuple[str, list[str], int, Path]]) -> None:
        """See `Workers`."""
        for task in tasks:
            gather_groups(self.bars, *task)

    def make(self, plans: Plans, cross: Crossed, tasks: Sequence[list[str]]) -> Iterator[tuple[int, Written]]:
        """See `Workers`."""
        for number, symbols in enumerate(tasks):
            yield number, make_symbols(Work(self.bars, plans, cross), symbols)


@dataclass(frozen=True)
class Pool:
    """In processes of their own. `submit(function, *arguments)` gives a future."""

    submit: Callable[..., Any]
    results: Callable[[Sequence[Any]], Iterator[tuple[int, Any]]]
    setup: Any

    def examine(self, tasks: Sequence[tuple[str, list[str]]]) -> Iterator[Mapping[str, Affected]]:
        """See `Workers`."""
        futures = [self.submit(_examine, self.setup, period, symbols) for period, symbols in tasks]
        for _, found in self.results(futures):
            yield found

    def gather(self, tasks: Sequence[tuple[str, list[str], int, Path]]) -> None:
        """See `Workers`."""
        for _ in self.results([self.submit(_gather, self.setup, *task) for task in tasks]):
            pass

    def make(self, plans: Plans, cross: Crossed, tasks: Sequence[list[str]]) -> Iterator[tuple[int, Written]]:
        """See `Workers`."""
        futures = [self.submit(_make, self.setup, plans, cross, symbols) for symbols in tasks]
        yield from self.results(futures)


@contextmanager
def process_pool(setup: Setup, jobs: int) -> Iterator[Pool]:
    """`jobs` processes, started afresh (Polars does not survive a fork), one Polars thread each."""
    with _one_thread_each(), ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as executor:
        try:
            yield Pool(executor.submit, _as_completed, setup)
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise


@contextmanager
def ray_pool(setup: Setup) -> Iterator[Pool]:
    """The Ray cluster named by RAY_ADDRESS, or one on this machine. Raises ConfigError when Ray is not installed."""
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "engine ray: Ray is not installed", "pip install 'tftctl[ray]', or --engine processes"
        ) from None
    mine = not ray.is_initialized()
    if mine:
        # without a cluster, one of its own that nobody else reaches
        alone = {} if os.environ.get("RAY_ADDRESS") else {"_node_ip_address": "127.0.0.1"}
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False, **alone)

    def submit(function: Callable[..., Any], *arguments: Any) -> Any:
        return ray.remote(function).options(runtime_env={"env_vars": _ONE_THREAD}).remote(*arguments)

    def results(futures: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        number = {future: place for place, future in enumerate(futures)}
        waiting = list(futures)
        while waiting:
            (done,), waiting = ray.wait(waiting, num_returns=1)
            yield number[done], ray.get(done)

    try:
        yield Pool(submit, results, ray.put(setup))
    finally:
        if mine:
            ray.shutdown()


def gather_groups(bars: PreparedBars, period: str, symbols: Sequence[str], since_ms: int, folder: Path) -> None:
    """Leave what cross-sections read of some groups in `folder`, one file each (`inputs_file`)."""
    layout = bars.layout
    for symbol, prepared in bars.each(period, symbols):
        gather_inputs(layout.recipe, prepared, since_ms, inputs_file(folder, layout.symbols[period], symbol))


def make_symbols(work: Work, symbols: Sequence[str]) -> Written:
    """Make all rows of some symbols, in order: rewritten periods go to new segments, patches stay in memory."""
    written = Written()
    sinks: dict[Key, SegmentSink] = {}
    try:
        for symbol, made in work.rows_of(symbols):
            key = made.table, made.period
            written.rows += made.frame.height if made.table == "fused" else 0
            if work.plans[made.period].mode(made.table) == "rewrite":
                if key not in sinks:
                    sinks[key] = SegmentSink(work.snapshot.storage, Place(*key))
                sinks[key].add(made.frame)
                continue
            written.patches.setdefault(key, []).append(made.frame)
            if made.removed:
                gone = pl.DataFrame({"timestamp": pl.Series(made.removed, dtype=pl.Int64)})
                written.removed.setdefault(key, []).append(gone.with_columns(symbol=pl.lit(symbol)))
        written.segments = {key: sink.finish() for key, sink in sinks.items()}
        written.columns = {key: dict(sink.columns) for key, sink in sinks.items()}
    except BaseException:
        for sink in sinks.values():
            sink.abandon()
            for segment in sink.segments:
                work.snapshot.storage.delete(segment.path)
        raise
    return written


def with_bars(setup: Setup, function: Callable[..., T], *task: Any) -> T:
    """`function(bars, *task)` in a worker, with the prepared bars of the setup's snapshot."""
    return function(_open(setup), *task)


_ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
_opened: dict[tuple[Path, int, str], tuple[Snapshot, Layout]] = {}


def _examine(setup: Setup, period: str, symbols: list[str]) -> Mapping[str, Affected]:
    return examine_groups(_open(setup), period, symbols)


def _gather(setup: Setup, period: str, symbols: list[str], since_ms: int, folder: Path) -> None:
    gather_groups(_open(setup), period, symbols, since_ms, folder)


def _make(setup: Setup, plans: Plans, cross: Crossed, symbols: list[str]) -> Written:
    return make_symbols(Work(_open(setup), plans, cross), symbols)


def _open(setup: Setup) -> PreparedBars:
    """Once per worker and build: the snapshot and its layout. The lock of the parent keeps the files in place."""
    key = setup.store.root, setup.snapshot, setup.config.model_dump_json()
    if key not in _opened:
        snapshot = Snapshot(setup.store.storage, setup.store.manifest(setup.snapshot))
        _opened[key] = snapshot, lay_out(snapshot, setup.config, setup.load(), setup.observed)
    return PreparedBars(*_opened[key])


def _as_completed(futures: Sequence[Future[T]]) -> Iterator[tuple[int, T]]:
    number = {future: place for place, future in enumerate(futures)}
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield number[future], future.result()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside inherit it; this one has read its own settings long ago."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
