"""Prepared bars: short holes filled, longer ones breaking segments (SEMANTICS T3)."""

from __future__ import annotations

import numpy as np
import polars as pl

from tftctl.core.calendars import Calendar
from tftctl.core.names import BAR_COLUMNS, KEY_COLUMNS

_PRICES = ("open", "high", "low", "close")


def prepare_bars(bars: pl.DataFrame, calendar: Calendar, *, max_fill_bars: int) -> pl.DataFrame:
    """Lay one group's real bars on the expected slots.

    `bars`: one (symbol, period), sorted by timestamp, with available_at and prices on the wanted basis. A hole of
    at most `max_fill_bars` expected bars is filled (flat at the last close, zero volume, extras null, available
    when the next real bar is); a longer one starts a new segment. A hole at the end is not filled.

    Returns the rows with next_timestamp, segment (Int32), bar_index (Int64) and is_filled, prices in Float64.
    """
    period = bars["period"][0]
    real = bars["timestamp"].to_numpy()
    missing = _missing_before(real, calendar, period)
    owner, fill_times = _filled_slots(real, missing, calendar, period, max_fill_bars)
    filled = _fill_rows(bars, owner, fill_times)
    rows = pl.concat([bars.with_columns(is_filled=pl.lit(False)), filled], how="diagonal").sort("timestamp")
    breaks = pl.Series("timestamp", real[missing > max_fill_bars])
    stamps = rows["timestamp"].to_numpy()
    rows = rows.with_columns(
        next_timestamp=pl.Series(calendar.next_open(period, stamps), dtype=pl.Int64),
        segment=pl.col("timestamp").is_in(breaks.implode()).cum_sum().cast(pl.Int32),
        bar_index=pl.int_range(pl.len(), dtype=pl.Int64),
    )
    own = (*KEY_COLUMNS, "available_at", "next_timestamp", "segment", "bar_index", "is_filled", *BAR_COLUMNS)
    extras = [name for name in bars.columns if name not in own and name != "ingested_at"]
    return rows.select(*own, *extras)


def _missing_before(real: np.ndarray, calendar: Calendar, period: str) -> np.ndarray:
    """Expected slots strictly between each bar and the bar before it."""
    opens = calendar.slots(period, int(real[0]), int(real[-1])).open_ms
    upto = np.searchsorted(opens, real[1:], side="left")
    after = np.searchsorted(opens, real[:-1], side="right")
    return np.concatenate(([0], upto - after))


def _filled_slots(
    real: np.ndarray, missing: np.ndarray, calendar: Calendar, period: str, max_fill_bars: int
) -> tuple[np.ndarray, np.ndarray]:
    """For every slot to fill: the index of the next real bar, and its open time."""
    opens = calendar.slots(period, int(real[0]), int(real[-1])).open_ms
    after = np.flatnonzero((missing > 0) & (missing <= max_fill_bars))
    count = missing[after]
    owner = np.repeat(after, count)
    first = np.searchsorted(opens, real[after - 1], side="right")
    step = np.arange(owner.size) - np.repeat(np.cumsum(count) - count, count)
    return owner, opens[np.repeat(first, count) + step]


def _fill_rows(bars: pl.DataFrame, owner: np.ndarray, times: np.ndarray) -> pl.DataFrame:
    """Flat bars at the last close before the hole, available when the bar after it is."""
    before = bars[owner - 1]
    price = before["close"]
    return pl.DataFrame(
        {
            "symbol": before["symbol"],
            "period": before["period"],
            "timestamp": times,
            "available_at": bars[owner]["available_at"],
            **dict.fromkeys(_PRICES, price),
            "volume": np.zeros(owner.size),
            "is_filled": np.ones(owner.size, bool),
        },
        schema_overrides={"timestamp": pl.Int64, "available_at": pl.Int64},
    )
