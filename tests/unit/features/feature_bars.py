"""Small bars, and a store that holds them as an import writes it, for the tests of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.calendars import Calendar, open_calendar
from tftctl.core.config.features import FeaturesConfig, IndicatorEntry
from tftctl.core.periods import period_ms
from tftctl.core.times import parse_iso
from tftctl.features.bars import prepare_bars
from tftctl.features.definitions import IndicatorInstance, resolve_indicators
from tftctl.plugins import load_registry
from tftctl.store import Store

HOUR = 3_600_000
DAY = 24 * HOUR
START = parse_iso("2021-03-01")  # a Monday
PRICES = ("open", "high", "low", "close")


def bars_at(
    stamps: Sequence[int] | np.ndarray, period: str, symbol: str = "AAA", *, seed: int = 0, calendar: str = "24x7"
) -> pl.DataFrame:
    """Real bars of a random walk that open at these instants."""
    times = np.asarray(stamps, dtype=np.int64)
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((times.size, 4))  # by row, so that more bars begin with the same ones
    close = 50 * np.exp(np.cumsum(0.02 * steps[:, 0]))
    opens = np.concatenate(([50.0], close))[: times.size]
    return pl.DataFrame({"symbol": [symbol] * times.size, "period": [period] * times.size}).with_columns(
        timestamp=pl.Series(times),
        available_at=pl.Series(open_calendar(calendar).available_at(period, times)),
        open=pl.Series(opens),
        high=pl.Series(np.maximum(opens, close) * np.exp(0.01 * np.abs(steps[:, 1]))),
        low=pl.Series(np.minimum(opens, close) * np.exp(-0.01 * np.abs(steps[:, 2]))),
        close=pl.Series(close),
        volume=pl.Series(np.exp(5 + steps[:, 3])),
    )


def row_of_bars(size: int, period: str, symbol: str = "AAA", *, missing: Sequence[int] = (), seed: int = 0) -> Any:
    """`size` expected 24x7 bars from START on, without those of the given numbers."""
    kept = np.setdiff1d(np.arange(size), missing)
    return bars_at(START + period_ms(period) * kept, period, symbol, seed=seed)


def prepared(bars: pl.DataFrame, calendar: Calendar | None = None, max_fill_bars: int = 3) -> pl.DataFrame:
    """One group on its calendar."""
    return prepare_bars(bars, calendar or open_calendar("24x7"), max_fill_bars=max_fill_bars)


def real_bars(shared_data: Path, symbol: str, period: str, first: str, last: str) -> pl.DataFrame:
    """Crypto bars that open in [first, last)."""
    folder = shared_data / "crypto" / period
    if period == "4h":
        rows = pl.read_csv(folder / f"{symbol}.csv.gz").with_columns(
            pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("ms")
        )
    else:
        rows = pl.read_parquet(folder / f"{symbol}.parquet")
    rows = rows.filter(pl.col("timestamp").is_between(parse_iso(first), parse_iso(last), closed="left"))
    return rows.select(
        pl.lit(symbol).alias("symbol"),
        pl.lit(period).alias("period"),
        "timestamp",
        (pl.col("timestamp") + period_ms(period)).alias("available_at"),
        *PRICES,
        "volume",
    )


def features_config(**values: Any) -> FeaturesConfig:
    """A configuration as the file would give it."""
    return FeaturesConfig.model_validate(values)


def builtin_names(kind: str) -> list[str]:
    """What the package itself brings; guests may be installed beside it."""
    registry = load_registry()
    names = [name for name in registry.names(kind) if registry.find(kind, name).plugin.startswith("builtins.")]
    return [name for name in names if kind != "indicator" or registry.indicator(name).scope == "group"]


def indicators(*entries: str | Mapping[str, Any]) -> list[IndicatorInstance]:
    """Instances as the configuration makes them."""
    named = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in entries]
    return resolve_indicators([IndicatorEntry.model_validate(entry) for entry in named], load_registry())


def write_bars(
    store: Store,
    *groups: pl.DataFrame,
    calendars: Mapping[str, str] | None = None,
    basis: str = "raw",
    extras: Mapping[str, str] | None = None,
) -> int:
    """Make these groups all bars of their periods."""
    with store.write("test bars") as txn:
        periods = {group["period"][0] for group in groups}
        for period in sorted(periods):
            there = [group for group in groups if group["period"][0] == period]
            txn.replace("bars", period, pl.concat(there, how="diagonal").sort("symbol", "timestamp"))
        symbols = sorted({symbol for period in txn.pending().periods("bars") for symbol in symbols_of(txn, period)})
        known = {
            symbol: {"calendar": (calendars or {}).get(symbol, "24x7"), "basis": basis, "anchor": {}, "delay_ms": 0}
            for symbol in symbols
        }
        txn.set_meta("bars", {"symbols": known, "extras": dict(extras or {}), "calendar_versions": {}})
        return txn.commit()


def symbols_of(txn: Any, period: str) -> list[str]:
    """Symbols that the pending bars have at a period."""
    return txn.pending().symbols("bars", period)


def table(store: Store, name: str, period: str, symbol: str | None = None) -> pl.DataFrame:
    """Rows of one period as a reader sees them."""
    with store.read() as snapshot:
        return snapshot.scan(name, period, symbols=None if symbol is None else [symbol]).collect()


def numbers(column: pl.Series) -> np.ndarray:
    """Float64, null as NaN."""
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
