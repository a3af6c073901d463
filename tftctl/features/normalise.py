"""Causal rolling normalisation (SEMANTICS T4, F2): z-score and min-max by the bars before the current one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import polars as pl

from tftctl.core.config.features import Normaliser

SUFFIXES = {"zscore": "_zscore", "minmax": "_minmax"}


def normalise_columns(
    frame: pl.DataFrame, config: Mapping[Literal["zscore", "minmax"], Normaliser], period: str
) -> dict[str, pl.Series]:
    """Normalised columns of one group, by name (`rsi_zscore`).

    `frame` holds is_filled and the columns to normalise, Float64, in order of time. The statistics are those of
    the last W valid values of real bars before the current one, also across segments; null until there are W.
    A period without a window gives null.
    """
    real = ~frame["is_filled"].to_numpy()
    made: dict[str, pl.Series] = {}
    for method, settings in config.items():
        for name in settings.columns:
            made[name + SUFFIXES[method]] = _normalise(frame[name], real, method, settings, period)
    return made


def _normalise(column: pl.Series, real: np.ndarray, method: str, settings: Normaliser, period: str) -> pl.Series:
    window = settings.window.get(period)
    if window is None:
        return pl.Series([None] * len(column), dtype=pl.Float64)
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    sample = real & np.isfinite(values)
    centre, scale = _statistics(values[sample], window, method)
    # a row's window ends with the last sample before it, whether or not the row itself is a sample
    before = np.cumsum(sample) - sample
    made = (values - centre[before]) / scale[before]
    if settings.clip is not None:
        made = np.clip(made, -settings.clip, settings.clip)
    return pl.Series(made).fill_nan(None)


def _statistics(samples: np.ndarray, window: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale of the `window` samples before position i, i = 0..n; NaN where undefined or 0."""
    series = pl.Series(samples)
    if method == "zscore":
        centre, scale = _mean_and_deviation(series, window)
    else:
        centre = series.rolling_min(window)
        scale = series.rolling_max(window) - centre
    shifted = [np.concatenate(([np.nan], part.fill_null(float("nan")).to_numpy())) for part in (centre, scale)]
    return shifted[0], np.where(shifted[1] > 0, shifted[1], np.nan)


def _mean_and_deviation(series: pl.Series, window: int) -> tuple[pl.Series, pl.Series]:
    """Rolling mean and standard deviation (ddof 1); exactly 0 for a window of equal values."""
    spread = series.rolling_max(window) - series.rolling_min(window)
    deviation = series.rolling_std(window, ddof=1)
    flat = spread == 0
    return series.rolling_mean(window), deviation.zip_with(~flat, pl.Series([0.0]).new_from_index(0, len(series)))
