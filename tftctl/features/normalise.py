"""Causal rolling normalisation by the bars before the current one (SEMANTICS T4, F2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import polars as pl

from tftctl.core.config.features import Normaliser, NormaliserName
from tftctl.features.engine import nullable, numbers
from tftctl.features.rolling import RollingColumns, sampled

SUFFIXES: dict[NormaliserName, str] = {"zscore": "_zscore", "minmax": "_minmax", "robust": "_robust"}
MAD_TO_DEVIATION = 1.4826  # of a normal distribution

# samples, window -> centre and scale of the `window` samples that end at each one, NaN before
Statistics = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def normalised_name(name: str, method: NormaliserName) -> str:
    """`rsi`, `zscore` -> `rsi_zscore`."""
    return name + SUFFIXES[method]


def normalisers(config: Mapping[NormaliserName, Normaliser], period: str) -> list[RollingColumns]:
    """One per normalised column. A period without a window gives null."""
    return [
        _rolling(name, method, settings.window.get(period), settings.clip)
        for method, settings in config.items()
        for name in settings.columns
    ]


def normalise_columns(
    frame: pl.DataFrame, config: Mapping[NormaliserName, Normaliser], period: str
) -> dict[str, pl.Series]:
    """Normalised columns of one group, by name (`rsi_zscore`).

    `frame` holds is_filled and the columns to normalise, Float64, in order of time. The statistics are those of
    the last W valid values of real bars before the current one, also across segments; null until there are W.
    """
    made: dict[str, pl.Series] = {}
    for rolling in normalisers(config, period):
        made |= rolling.compute(frame)
    return made


def _rolling(name: str, method: NormaliserName, window: int | None, clip: float | None) -> RollingColumns:
    column = normalised_name(name, method)
    compute = partial(_normalised, name=name, column=column, method=method, window=window, clip=clip)
    return RollingColumns((name,), (column,), window or 0, compute, [method, window, clip])


def _normalised(
    frame: pl.DataFrame, *, name: str, column: str, method: NormaliserName, window: int | None, clip: float | None
) -> dict[str, pl.Series]:
    if window is None:
        return {column: pl.Series(column, [None] * frame.height, dtype=pl.Float64)}
    values = numbers(frame[name])
    sample = sampled(frame, values)
    centre, scale = (_before_each(part) for part in STATISTICS[method](values[sample], window))
    # a row's window ends with the last sample before it, whether or not the row itself is a sample
    before = np.cumsum(sample) - sample
    scale = np.where(scale > 0, scale, np.nan)
    made = (values - centre[before]) / scale[before]
    if clip is not None:
        np.clip(made, -clip, clip, out=made)
    return {column: pl.Series(column, nullable(made))}


def _before_each(statistic: np.ndarray) -> np.ndarray:
    """Of the samples before position i, i = 0..n."""
    return np.concatenate(([np.nan], statistic))


def _mean_and_deviation(samples: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Rolling mean and standard deviation (ddof 1); exactly 0 for a window of equal values."""
    from tftctl.core.rolling import rolling_mean_variance

    mean, variance = rolling_mean_variance(samples, window)
    return mean, np.sqrt(variance * (window / (window - 1)))


def _low_and_range(samples: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    from tftctl.core.rolling import rolling_extremes

    low, high = rolling_extremes(samples, window)
    return low, high - low


def _median_and_deviation(samples: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Rolling median, and the median absolute deviation in units of a normal distribution's standard deviation."""
    from tftctl.features.order_statistics import rolling_median_mad

    median, mad = rolling_median_mad(samples, window)
    return median, MAD_TO_DEVIATION * mad


STATISTICS: dict[NormaliserName, Statistics] = {
    "zscore": _mean_and_deviation,
    "minmax": _low_and_range,
    "robust": _median_and_deviation,
}
