"""`build`, `append`, `memory`: what `tftctl features build` takes, storing included."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markets import PRICES, Market, Walks, every_period, fill_store
from measure import Peak, median, one_thread_each, seconds_of, served, table

if TYPE_CHECKING:
    from tftctl.core.config.features import FeaturesConfig
    from tftctl.store import Store

CONFIGURATION = Path(__file__).parents[1] / "configs" / "features.yaml"
PACK = "sma ema rsi macd bollinger_bands atr adx obv kdj rolling_volatility return_skewness".split()
BYTES_PER_ROW = 350  # bars, features and fused of the 17 outputs, with room
TABLES = ("features", "targets", "fused")


def default_config() -> FeaturesConfig:
    """What `tftctl init` writes."""
    from tftctl.core.config.features import FeaturesConfig
    from tftctl.core.config.loading import load

    return load(CONFIGURATION, FeaturesConfig)


def hourly(config: FeaturesConfig, indicators: Sequence[Any]) -> FeaturesConfig:
    """With other indicators, at 1h alone; targets and normalised columns stay."""
    values = config.model_dump() | {"indicators": indicators, "periods": ["1h"], "context": {}, "context_features": []}
    return type(config).model_validate(values)


def catalogue() -> list[str]:
    """Built-in indicators of one group's bars that need no column beyond prices and volume."""
    from tftctl.plugins import load_registry

    registry = load_registry()
    own = [
        name for name in registry.names("indicator") if registry.find("indicator", name).plugin.startswith("builtins.")
    ]
    records = [registry.indicator(name) for name in own]
    plain = {*PRICES, "volume", "timestamp", "available_at", "next_timestamp", "bar_index", "segment"}
    return [r.name for r in records if r.scope == "group" and set(r.inputs(r.params())) <= plain]


def configuration(columns: int | None) -> FeaturesConfig:
    """The default's indicators, targets and normalised columns at 1h, and of the catalogue up to `columns`, or all."""
    from tftctl.features.anomaly import anomaly_columns
    from tftctl.features.definitions import resolve_indicators
    from tftctl.plugins import load_registry

    config = default_config()
    entries: list[Any] = [{"name": entry.name, **entry.parameters} for entry in config.indicators]
    made = sum(len(settings.columns) for settings in config.normalise.values())
    made += 2 * len(anomaly_columns(config.anomalies))  # a score and its hint
    made += sum(len(instance.columns) for instance in resolve_indicators(config.indicators, load_registry()))
    there = {entry.name for entry in config.indicators}
    for name in catalogue():
        size = len(load_registry().indicator(name).outputs)
        if name not in there and (columns is None or made + size <= columns):
            entries.append({"name": name})
            made += size
    return hourly(config, entries)


@contextmanager
def store_in(folder: Path | None) -> Iterator[Store]:
    """A store that is removed afterwards."""
    from tftctl.store import Store

    with tempfile.TemporaryDirectory(prefix="tftctl-bench-", dir=folder) as path:
        yield Store(Path(path))


def run_build(store: Store, config: FeaturesConfig, jobs: int) -> Any:
    """As `tftctl features build --jobs N` does, in this process and its workers."""
    from tftctl.features.build import Spread, build
    from tftctl.plugins import load_registry

    return build(store, config, load_registry(), spread=Spread(jobs, "processes", load_registry))


def warm(config: FeaturesConfig, jobs: int, folder: Path | None) -> None:
    """A small build, but not too small for compiled hashing, so that numba's functions lie in its cache."""
    with store_in(folder) as store:
        fill_store(store, "1h", Walks(2, 10_000).frames())
        run_build(store, config, jobs)


# build


def build_table(market: Market, jobs: Sequence[int], repeats: int, folder: Path | None) -> str:
    """The whole build with 100 columns, and with the catalogue."""
    one_thread_each()
    rows = []
    for label, columns in (("100 columns", 100), ("whole catalogue", None)):
        for count in jobs:
            with served(build_server, market, columns, count, folder) as process:
                found = [process.measured("build") for _ in range(repeats)]
            seconds = [result[1] for result, _ in found]
            (made, *_), peaks = found[0][0], [peak for _, peak in found]
            rows.append([
                label, made["features"], count, made["rows"], median(seconds), made["rows"] / median(seconds),
                max(peak.resident for peak in peaks), max(peak.anonymous for peak in peaks), found[0][0][2],
            ])  # fmt: skip
    header = [
        "configuration", "feature columns", "jobs", "fused rows", "seconds", "rows/s", "peak MiB of the tree",
        "of it anonymous", "store MiB",
    ]  # fmt: skip
    note = (
        f"{market}; bars to features, targets and fused, committed; median of {repeats}; bars are in the store before."
    )
    return f"{note}\n\n{table(header, rows)}"


def build_server(market: Market, columns: int | None, jobs: int, folder: Path | None) -> Callable[[str], Any]:
    """In a process of its own: every answer is one build into a new store: result, seconds, MiB of the store."""
    config = configuration(columns)
    warm(config, jobs, folder)

    def answer(_: str) -> Any:
        with store_in(folder) as store:
            fill_store(store, "1h", market.frames())
            seconds, result = seconds_of(lambda: run_build(store, config, jobs))
            size = sum(file.stat().st_size for file in store.root.rglob("*") if file.is_file()) / 2**20
        return {"features": result.features, "rows": result.rows}, seconds, size

    return answer


# memory


def memory_table(millions: Sequence[float], bars: int, jobs: int, folder: Path | None) -> str:
    """17 outputs of more and more rows."""
    one_thread_each()
    rows: list[list[Any]] = []
    first: Peak | None = None
    for count in millions:
        walks = Walks(max(1, round(count * 1e6 / bars)), bars)
        free = shutil.disk_usage(folder or tempfile.gettempdir()).free
        if free < walks.symbols * bars * BYTES_PER_ROW:
            rows.append([walks.symbols * bars, walks.symbols, f"skipped: only {free / 2**30:.0f} GiB free", *[""] * 6])
            continue
        with served(memory_server, walks, jobs, folder) as process:
            writing = process.measured("write")[1]
            (seconds, made, size), peak = process.measured("build")
        first = first or peak
        rows.append([
            made, walks.symbols, seconds, made / seconds, writing.resident, peak.resident, peak.anonymous,
            peak.resident / first.resident, size,
        ])  # fmt: skip
    header = [
        "rows", "symbols", "build s", "rows/s", "peak MiB writing bars", "peak MiB building", "of it anonymous",
        "peak / first line's", "store MiB",
    ]  # fmt: skip
    return f"{bars:,} bars per symbol, 17 outputs, {jobs} jobs, storing included.\n\n{table(header, rows)}"


def memory_server(walks: Walks, jobs: int, folder: Path | None) -> Callable[[str], Any]:
    """In a process of its own: `write` streams bars into a store, `build` builds it."""
    from tftctl.store import Store

    bare = {"normalise": {}, "anomalies": {}, "targets": ["target_logreturn"]}
    config = hourly(default_config(), PACK)
    config = type(config).model_validate(config.model_dump() | bare)
    warm(config, jobs, folder)
    holder = tempfile.TemporaryDirectory(prefix="tftctl-bench-", dir=folder)
    store = Store(Path(holder.name))

    def answer(question: str) -> Any:
        if question == "write":
            return fill_store(store, "1h", walks.frames())
        seconds, result = seconds_of(lambda: run_build(store, config, jobs))
        size = sum(file.stat().st_size for file in store.root.rglob("*") if file.is_file()) / 2**20
        holder.cleanup()
        return seconds, result.rows, size

    return answer


# append


def append_table(market: Market, periods: Sequence[str], days: int, folder: Path | None) -> str:
    """Builds that go on from an earlier one, and what they differ by from builds from nothing."""
    one_thread_each()
    with served(append_server, market, periods, days, folder) as process:
        return process.call("append")


def append_server(market: Market, periods: Sequence[str], days: int, folder: Path | None) -> Callable[[str], Any]:
    """In one warm process: full build, a day at a time, a corrected bar, and full builds to compare with."""
    from append import appended

    config = default_config()
    context = {p: [q for q in seen if q in periods] for p, seen in config.context.items() if p in periods}
    values = config.model_dump() | {"periods": list(periods), "context": context}
    config = type(config).model_validate(values)
    warm(config, 1, folder)

    def answer(_: str) -> str:
        bars = {period: frames for period, frames in every_period(market).items() if period in periods}
        return appended(bars, config, days, folder)

    return answer
