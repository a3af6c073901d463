"""Indicators against other implementations: the comparison, pandas-ta-classic, and plain loops of formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from builtin_bars import PRICES, computed, flat_bars, indicator, random_bars, then

Array = np.ndarray
Reference = Callable[[SimpleNamespace, Any], Mapping[str, Array]]


def columns(bars: pl.DataFrame) -> SimpleNamespace:
    """open, high, low, close, volume as arrays."""
    return SimpleNamespace(**{name: bars[name].to_numpy() for name in (*PRICES, "volume")})


def series(bars: SimpleNamespace) -> SimpleNamespace:
    """The same for pandas."""
    return SimpleNamespace(**{name: pd.Series(values) for name, values in vars(bars).items()})


def outputs(bars: pl.DataFrame, name: str, params: Mapping[str, Any]) -> dict[str, Array]:
    """What the engine makes, by the names of the outputs, null as NaN."""
    found = computed(bars, name, **params)
    return {feature.output: found[feature.column] for feature in indicator(name, **params).features}


def apart(found: Array, expected: Array) -> Array:
    """Difference relative to the value and to the column's usual size; NaN where one of the two is missing."""
    usual = np.nanmedian(np.abs(expected)) if (~np.isnan(expected)).any() else 0.0
    size = np.maximum(np.maximum(np.abs(found), np.abs(expected)), usual)
    return np.where(found == expected, 0.0, np.abs(found - expected) / np.where(size > 0, size, 1.0))


def agree(bars: pl.DataFrame, name: str, params: Mapping[str, Any], reference: Reference, since: int = -1) -> None:
    """Equal to 1e-9, null in the same places; with `since`, only from so many bars on, where both have values."""
    found = outputs(bars, name, params)
    expected = reference(columns(bars), indicator(name, **params).params)
    assert expected.keys() <= found.keys()
    for column, values in expected.items():
        mine, other = found[column][max(since, 0) :], np.asarray(values, dtype=float)[max(since, 0) :]
        if since < 0:
            np.testing.assert_array_equal(np.isnan(mine), np.isnan(other), err_msg=column)
        difference = apart(mine, other)
        assert (~np.isnan(difference)).sum() > 100, column
        assert np.nanmax(difference) <= 1e-9, (column, int(np.nanargmax(difference)))


def in_flat_markets(name: str, expected: Mapping[str, float | str]) -> None:
    """The values where prices never move ("price" for that price), at several prices, with and without volume."""
    priced = {feature.output for feature in indicator(name).features if feature.scale == "price"}
    for price, volume in ((100.0, 0.0), (0.37, 3.3), (41234.56, 1e12), (1e-8, 1.0)):
        found = outputs(flat_bars(120, price, volume), name, {})
        assert found.keys() == expected.keys()
        for column, value in expected.items():
            wanted = price if value == "price" else value
            rounding = 1e-12 * price if column in priced else 1e-12
            np.testing.assert_allclose(found[column][-20:], wanted, rtol=0, atol=rounding, err_msg=column)


def after_standstill(name: str, bars: int = 600) -> dict[str, Array]:
    """The last 50 values of a market that moved and then stood still for long, column by column."""
    made = []
    for seed, price in enumerate((0.37, 97.3, 41234.56)):
        lively = random_bars(150, seed)
        lively = lively.with_columns(pl.col(*PRICES) * (price / lively["close"][-1]))
        stopped = then(lively, flat_bars(bars, lively["close"][-1], volume=3.3))
        made.append({column: values[-50:] for column, values in outputs(stopped, name, {}).items()})
    return {column: np.concatenate([part[column] for part in made]) for column in made[0]}


def ema(values: Sequence[float], n: int, first: int = 0) -> Array:
    """Mean of n values from bar `first` on, then previous + 2/(n+1) (value - previous); NaN before."""
    return _smoothed(values, n, 2 / (n + 1), first)


def wilder(values: Sequence[float], n: int, first: int = 0) -> Array:
    """The same with 1/n."""
    return _smoothed(values, n, 1 / n, first)


def _smoothed(values: Sequence[float], n: int, alpha: float, first: int) -> Array:
    made = np.full(len(values), np.nan)
    start = first + n - 1
    if start < len(values):
        made[start] = sum(values[first : start + 1]) / n
        for t in range(start + 1, len(values)):
            made[t] = made[t - 1] + alpha * (values[t] - made[t - 1])
    return made


def rolled(values: Sequence[float], n: int, function: Callable[[Any], float]) -> Array:
    """A function of each n values."""
    return np.array([np.nan] * (n - 1) + [function(values[t - n + 1 : t + 1]) for t in range(n - 1, len(values))])


def true_range(bars: SimpleNamespace) -> Array:
    """From the second bar on."""
    h, lo, c = bars.high, bars.low, bars.close
    made = [max(h[t] - lo[t], abs(h[t] - c[t - 1]), abs(lo[t] - c[t - 1])) for t in range(1, c.size)]
    return np.array([np.nan, *made])


def atr(bars: SimpleNamespace, n: int) -> Array:
    """Wilder's mean of the true range."""
    return wilder(true_range(bars), n, first=1)
