"""Seeded synthetic bars, ways to change them, and comparison of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.core.names import BAR_COLUMNS
from tftctl.core.periods import period_ms
from tftctl.features.engine import input_arrays

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")
START_MS = 1_609_459_200_000  # 2021-01-01
NUMBERING = ("timestamp", "bar_index")  # where a bar stands: no market moves these
MEMORY = 1e-9  # relative: what may remain of a forgotten start, and of rounding

# so many bars are added that one in a thousand of all is several of them
ADDED_BARS = 4000

CHANGES: dict[str, Callable[[Array], Array]] = {
    "scaling up": lambda values: values * 3.0,
    "scaling down": lambda values: values / 3.0,
}


def make_bars(size: int, names: Collection[str] = (), seed: int = 11, period: str = "1h") -> pl.DataFrame:
    """A random walk with wandering volatility; every name that is no bar column becomes a positive extra column.

    `bar_index`, where it is asked for, counts the bars as in a build.
    """
    rng = np.random.default_rng(seed)
    calm = 0.01 * np.exp(0.3 * np.sin(np.arange(size) / 17.0))
    close = 100.0 * np.exp(np.cumsum(rng.standard_normal(size) * calm))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(rng.standard_normal(size) * 0.001)
    reach = np.abs(rng.standard_normal((2, size))) * calm + 1e-4
    columns = {
        "timestamp": START_MS + np.arange(size, dtype=np.int64) * period_ms(period),
        "open": opened,
        "high": np.maximum(opened, close) * np.exp(reach[0]),
        "low": np.minimum(opened, close) * np.exp(-reach[1]),
        "close": close,
        "volume": rng.lognormal(5.0, 0.8, size),
    }
    if "bar_index" in names:
        columns["bar_index"] = np.arange(size, dtype=np.int64)
    extras = [name for name in dict.fromkeys(names) if name not in columns]
    return pl.DataFrame(columns | {name: rng.lognormal(0.0, 0.5, size) for name in extras})


def flat(bars: pl.DataFrame, start: int = 0) -> pl.DataFrame:
    """One price and no volume from bar `start` on, like filled bars."""
    still = pl.int_range(pl.len()) >= start
    price = pl.col("close").gather(start)
    values = dict.fromkeys(PRICES, price) | {"volume": pl.lit(0.0)}
    return bars.with_columns(pl.when(still).then(value).otherwise(name).alias(name) for name, value in values.items())


def all_columns(bars: pl.DataFrame, rows: Mask) -> dict[str, Mask]:
    """The same rows in every column that may be changed."""
    return {name: rows for name in bars.columns if name not in NUMBERING}


def changed(bars: pl.DataFrame, where: Mapping[str, Mask]) -> dict[str, pl.DataFrame]:
    """The bars with the marked values scaled up, scaled down, replaced by those of other bars, and standing still."""
    frames = {how: _replaced(bars, where, change) for how, change in CHANGES.items()}
    order = np.random.default_rng(7).permutation(bars.height)
    frames["shuffling"] = _replaced(bars, where, lambda values: values[order])
    return frames | {"flattening": _flattened(bars, where)}


def continued(bars: pl.DataFrame, period: str = "1h") -> dict[str, pl.DataFrame]:
    """The bars with many more after them: of a dead market far below, and of a wild one far above (A1).

    What is taken of a whole series, an extreme quantile too, is another one then.
    """
    return {
        f"adding {ADDED_BARS} calm": pl.concat([bars, _after(bars, period, level=0.2, reach=1e-4, traded=0.02)]),
        f"adding {ADDED_BARS} wild": pl.concat([bars, _after(bars, period, level=5.0, reach=0.3, traded=50.0)]),
    }


def _after(bars: pl.DataFrame, period: str, *, level: float, reach: float, traded: float) -> pl.DataFrame:
    """Bars around `level` times the last close, with moves of `reach` and `traded` times the usual volume."""
    rng = np.random.default_rng(13)
    steps = np.arange(1, ADDED_BARS + 1)
    close = level * float(bars["close"][-1]) * np.exp(reach * rng.standard_normal(ADDED_BARS))
    opened = np.append(close[0], close[:-1])
    wick = 1 + reach * rng.random((2, ADDED_BARS))
    columns: dict[str, Array] = {
        "timestamp": bars["timestamp"][-1] + steps * period_ms(period),
        "open": opened,
        "high": np.maximum(opened, close) * wick[0],
        "low": np.minimum(opened, close) / wick[1],
        "close": close,
    }
    if "bar_index" in bars.columns:
        columns["bar_index"] = bars["bar_index"][-1] + steps
    for name in bars.columns:
        if name not in columns:
            usual = float(np.median(bars[name].to_numpy()))
            columns[name] = traded * usual * np.exp(0.1 * rng.standard_normal(ADDED_BARS))
    return pl.DataFrame(columns).select(bars.columns)


def _flattened(bars: pl.DataFrame, where: Mapping[str, Mask]) -> pl.DataFrame:
    """The marked values as those of a market without trades: one price, no volume."""
    still = dict.fromkeys(PRICES, float(bars["close"][0])) | {"volume": 0.0}
    arrays = input_arrays(bars, list(where))
    return bars.with_columns(
        pl.Series(name, np.where(where[name], still.get(name, 0.0), values)) for name, values in arrays.items()
    )


def _replaced(bars: pl.DataFrame, where: Mapping[str, Mask], change: Callable[[Array], Array]) -> pl.DataFrame:
    arrays = input_arrays(bars, list(where))
    return bars.with_columns(
        pl.Series(name, np.where(where[name], change(values), values)) for name, values in arrays.items()
    )


def rescaled(bars: pl.DataFrame, factor: float, extras: str) -> pl.DataFrame:
    """Prices times `factor`, volumes by it; other columns follow `extras`: free, price or volume."""
    powers = dict.fromkeys(PRICES, 1) | {"volume": -1}
    other = {"free": 0, "price": 1, "volume": -1}[extras]
    names = [name for name in bars.columns if name not in NUMBERING]
    return bars.with_columns(pl.col(name) * factor ** powers.get(name, other) for name in names)


def extra_names(names: Sequence[str]) -> list[str]:
    """Those that are neither bar columns nor the time or number of a bar."""
    return [name for name in names if name not in (*BAR_COLUMNS, *NUMBERING)]


def difference(before: Array, after: Array, tolerance: float = MEMORY) -> int | None:
    """Index of the first value that differs; `tolerance` is relative to the value and to the column's usual size."""
    finite = np.abs(before[np.isfinite(before)])
    usual = float(np.median(finite)) if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        size = np.fmax(np.fmax(np.abs(before), np.abs(after)), usual)
        same = (before == after) | (np.abs(before - after) <= tolerance * size)
    apart = np.flatnonzero(~(same | (np.isnan(before) & np.isnan(after))))
    return int(apart[0]) if apart.size else None
