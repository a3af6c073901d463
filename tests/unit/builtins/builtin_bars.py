"""Bars, and the engine run over them, for the tests of built-in indicators and targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl import testing
from tftctl.core.calendars import open_calendar
from tftctl.core.config.features import IndicatorEntry, TargetEntry
from tftctl.features.bars import prepare_bars
from tftctl.features.definitions import IndicatorInstance, TargetInstance, resolve_indicators, resolve_targets
from tftctl.features.engine import compute_features
from tftctl.features.labels import compute_labels
from tftctl.plugins import load_registry

HOUR = 3_600_000
DAY = 24 * HOUR
PRICES = ("open", "high", "low", "close")
UNBROKEN = 35_974  # row after which BTCUSDT 1h has no hole for a year and a half


def random_bars(size: int, seed: int = 1) -> pl.DataFrame:
    """One unbroken segment of hourly bars of a random walk."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.02 * rng.standard_normal(size)))
    opens = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opens, close) * np.exp(0.01 * rng.random(size))
    low = np.minimum(opens, close) * np.exp(-0.01 * rng.random(size))
    return frame(opens, high, low, close, np.exp(5 + rng.standard_normal(size)))


def flat_bars(size: int, price: float = 100.0, volume: float = 0.0) -> pl.DataFrame:
    """A market that never moves."""
    level = np.full(size, price)
    return frame(level, level, level, level, np.full(size, volume))


def then(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Two stretches of bars one after the other in one segment."""
    both = pl.concat([first, second])
    return frame(*(both[name].to_numpy() for name in (*PRICES, "volume")))


def frame(*values: np.ndarray, step: int = HOUR) -> pl.DataFrame:
    """Prepared bars of one segment from arrays of open, high, low, close, volume; taker buys swing about the half."""
    size = values[0].size
    stamps = step * np.arange(size, dtype=np.int64)
    return pl.DataFrame({"symbol": ["AAA"] * size, "period": ["1h" if step == HOUR else "1d"] * size}).with_columns(
        timestamp=pl.Series(stamps),
        available_at=pl.Series(stamps + step),
        segment=pl.lit(0, dtype=pl.Int32),
        is_filled=pl.lit(False),
        **{name: pl.Series(array) for name, array in zip((*PRICES, "volume"), values, strict=True)},
        taker_buy_volume=pl.Series(values[4] * (0.5 + 0.3 * np.sin(np.arange(size)))),
    )


def real_days(shared_data: Path, symbol: str, size: int) -> pl.DataFrame:
    """The first daily bars of a real market."""
    bars = pl.read_parquet(shared_data / "crypto" / "1d" / f"{symbol}.parquet").head(size)
    return frame(*(bars[name].to_numpy() for name in (*PRICES, "volume")), step=DAY)


def real_hours(shared_data: Path, symbol: str, start: int, size: int) -> pl.DataFrame:
    """Hourly bars of a real market from row `start` on, with its holes filled or breaking segments."""
    bars = pl.read_parquet(shared_data / "crypto" / "1h" / f"{symbol}.parquet").slice(start, size)
    keyed = bars.select(*PRICES, "volume").with_columns(
        symbol=pl.lit(symbol), period=pl.lit("1h"), timestamp=bars["timestamp"], available_at=bars["timestamp"] + HOUR
    )
    return prepare_bars(keyed, open_calendar("24x7"), max_fill_bars=3)


def builtin_names(kind: str) -> list[str]:
    """What the package itself brings; guests may be installed beside it."""
    registry = load_registry()
    names = [name for name in registry.names(kind) if registry.find(kind, name).plugin.startswith("builtins.")]
    return [name for name in names if kind != "indicator" or registry.indicator(name).scope == "group"]


def family_names(kind: str, *modules: str) -> list[str]:
    """Built-in records of these modules."""
    registry = load_registry()
    plugins = {f"builtins.{kind}s.{module}" for module in modules}
    return [name for name in registry.names(kind) if registry.find(kind, name).plugin in plugins]


def findings(name: str, **params: Any) -> list[str]:
    """What `tftctl.testing` says of an indicator with these parameters."""
    instance = indicator(name, **params)
    return [str(finding) for finding in testing.check_indicator(instance.record, instance.params)]


def indicator(name: str, **params: Any) -> IndicatorInstance:
    """An instance as the configuration makes it."""
    return resolve_indicators([IndicatorEntry(name=name, **params)], load_registry())[0]


def target(name: str, **params: Any) -> TargetInstance:
    """An instance for hours and days as the configuration makes it."""
    return resolve_targets([TargetEntry(name=name, **params)], ["1h", "1d"], load_registry())[0]


def computed(bars: pl.DataFrame, name: str, /, **params: Any) -> dict[str, np.ndarray]:
    """Columns of one indicator, null as NaN."""
    made = compute_features(bars, [indicator(name, **params)])
    return {column: values(made[column]) for column in made.columns}


def labels(bars: pl.DataFrame, name: str, bars_per_year: int = 8760, /, **params: Any) -> np.ndarray:
    """Labels of one target, null as NaN."""
    instance = target(name, **params)
    return values(compute_labels(bars, [instance], bars_per_year)[instance.column])


def values(column: pl.Series) -> np.ndarray:
    """Float64 with NaN for null. A NaN that is no null, or an infinity, is a failure of its own."""
    assert not column.is_nan().any() and not column.is_infinite().any(), column.name
    return column.fill_null(float("nan")).to_numpy()


def first_value(array: np.ndarray) -> int:
    """Index of the first value; the size when there is none."""
    return int(np.argmax(~np.isnan(array))) if (~np.isnan(array)).any() else array.size


def arrays(bars: pl.DataFrame) -> tuple[np.ndarray, ...]:
    """high, low, close, volume."""
    return tuple(bars[name].to_numpy() for name in ("high", "low", "close", "volume"))
