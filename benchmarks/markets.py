"""Bars to measure on: seeded random walks, and the folder of real ones; and a store that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl

    from tftctl.store import Store

HOUR_MS = 3_600_000
HOURS = {"1h": 1, "4h": 4, "1d": 24}
START_MS = 1_577_836_800_000  # 2020-01-01, a Wednesday
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Walks:
    """Seeded random walks: so many symbols of so many hourly bars each."""

    symbols: int
    bars: int
    seed: int = 20_251

    def __str__(self) -> str:
        return f"{self.symbols} synthetic symbols x {self.bars:,} bars at 1h"

    @property
    def names(self) -> list[str]:
        """In order."""
        return [f"W{number:04d}" for number in range(self.symbols)]

    def frames(self) -> Iterator[pl.DataFrame]:
        """Raw hourly bars, one symbol after the other."""
        for number, name in enumerate(self.names):
            yield walk(name, self.bars, np.random.default_rng([self.seed, number]))


@dataclass(frozen=True, slots=True)
class Folder:
    """Real bars: `1h/SYMBOL.parquet`, with timestamp in milliseconds, prices and volume."""

    path: Path

    def __str__(self) -> str:
        return f"{len(self.files())} symbols of {self.path} at 1h"

    def files(self) -> list[Path]:
        """One per symbol. Exits where there are none."""
        found = sorted((self.path / "1h").glob("*.parquet"))
        if not found:
            raise SystemExit(f"no files 1h/*.parquet in {self.path}")
        return found

    def frames(self) -> Iterator[pl.DataFrame]:
        """Raw hourly bars, one symbol after the other."""
        for file in self.files():
            yield read_bars(file, "1h")


Market = Walks | Folder


def walk(symbol: str, bars: int, rng: np.random.Generator) -> pl.DataFrame:
    """Hourly bars with 1 % volatility; drawn bar by bar, so that a longer walk begins as a shorter one."""
    import polars as pl

    steps = rng.standard_normal((bars, 4))
    close = 100 * np.exp(np.cumsum(0.01 * steps[:, 0]))
    opens = np.concatenate(([100.0], close[:-1]))
    values = {
        "open": opens,
        "high": np.maximum(opens, close) * np.exp(0.004 * np.abs(steps[:, 1])),
        "low": np.minimum(opens, close) * np.exp(-0.004 * np.abs(steps[:, 2])),
        "close": close,
        "volume": np.exp(6 + steps[:, 3]),
    }
    stamps = START_MS + HOUR_MS * np.arange(bars, dtype=np.int64)
    return keyed(pl.DataFrame({"timestamp": stamps, **values}), symbol, "1h")


def read_bars(file: Path, period: str) -> pl.DataFrame:
    """One file of real bars: Parquet, or CSV with times as text."""
    import polars as pl

    if file.suffix == ".parquet":
        rows = pl.read_parquet(file)
    else:
        at = pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("ms")
        rows = pl.read_csv(file).with_columns(at)
    numbers = (pl.col(name).cast(pl.Float64) for name in (*PRICES, "volume"))
    return keyed(rows.select(pl.col("timestamp").cast(pl.Int64), *numbers), file.name.split(".")[0], period)


def keyed(rows: pl.DataFrame, symbol: str, period: str) -> pl.DataFrame:
    """With symbol, period and available_at of a market that never closes."""
    import polars as pl

    return rows.select(
        pl.lit(symbol).alias("symbol"),
        pl.lit(period).alias("period"),
        "timestamp",
        (pl.col("timestamp") + HOURS[period] * HOUR_MS).alias("available_at"),
        *PRICES,
        "volume",
    )


def slower(hourly: pl.DataFrame, period: str) -> pl.DataFrame:
    """Aggregates of complete buckets of one symbol's hourly bars."""
    import polars as pl

    length = HOURS[period] * HOUR_MS
    bucket = pl.col("timestamp") // length * length
    rows = hourly.group_by(bucket, maintain_order=True).agg(
        pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume"), pl.len().alias("bars")
    )
    return keyed(rows.filter(pl.col("bars") == HOURS[period]), hourly["symbol"][0], period)


def every_period(market: Market) -> dict[str, list[pl.DataFrame]]:
    """Raw bars at 1h, 4h and 1d by period: the files of a folder, or aggregates of walks."""
    if isinstance(market, Folder):
        return {
            period: [read_bars(file, period) for file in sorted((market.path / period).iterdir())] for period in HOURS
        }
    hourly = list(market.frames())
    return {"1h": hourly} | {period: [slower(frame, period) for frame in hourly] for period in ("4h", "1d")}


def prepared(market: Market) -> list[pl.DataFrame]:
    """One frame per symbol as the engine sees bars: short holes filled, longer ones breaking segments."""
    from tftctl.core.calendars import open_calendar
    from tftctl.features.bars import prepare_bars

    return [prepare_bars(frame, open_calendar("24x7"), max_fill_bars=3) for frame in market.frames()]


def fill_store(store: Store, period: str, frames: Iterable[pl.DataFrame]) -> int:
    """Make these frames, in order of symbols, all bars of a period; they are written as they come. Returns rows."""
    symbols: list[str] = []

    def noted() -> Iterator[pl.DataFrame]:
        for frame in frames:
            symbols.append(frame["symbol"][0])
            yield frame

    with store.write("benchmark") as txn:
        rows = txn.replace("bars", period, noted())
        txn.set_meta("bars", bars_meta({*symbols, *_symbols(txn)}))
        txn.commit()
    return rows


def add_bars(store: Store, period: str, frame: pl.DataFrame) -> None:
    """Add bars, or put them in the place of those of the same key, as an import does."""
    with store.write("benchmark") as txn:
        txn.upsert("bars", period, frame)
        txn.commit()


def bars_meta(symbols: Iterable[str]) -> dict[str, Any]:
    """What an import keeps with the bars: the calendar and basis of each symbol."""
    known = {"calendar": "24x7", "basis": "raw", "anchor": {}, "delay_ms": 0}
    return {"symbols": dict.fromkeys(sorted(symbols), known), "extras": {}, "calendar_versions": {}}


def _symbols(txn: Any) -> set[str]:
    pending = txn.pending()
    return {symbol for period in pending.periods("bars") for symbol in pending.symbols("bars", period)}
