"""Scores of unusual bars by the bars before them: a hint for the network, never a filter (SEMANTICS T4).

`anomaly_mad` is the largest of |x - median| / (1.4826 MAD) over the columns, by a rolling window (Iglewicz and Hoaglin
1993). `anomaly_lof` is the local outlier factor (Breunig et al. 2000) of a bar beside the `fit` bars before its block.
Each has a hint, 1 where the score exceeds the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.config.features import AnomaliesConfig, LofAnomaly, MadAnomaly
from tftctl.features.normalise import MAD_TO_DEVIATION
from tftctl.features.rolling import RollingColumns

MAD, LOF = "anomaly_mad", "anomaly_lof"
# distances between identical points are 0, and so are densities' inverses: fewer distinct bars than this tell nothing
_LEAST_DISTINCT = 2


def hint_name(score: str) -> str:
    """`anomaly_mad` -> `anomaly_mad_hint`."""
    return f"{score}_hint"


def anomaly_columns(config: AnomaliesConfig) -> dict[str, tuple[str, ...]]:
    """Configured scores with the columns that they read; each has a hint beside it."""
    found: dict[str, tuple[str, ...]] = {}
    if config.mad is not None:
        found[MAD] = tuple(config.mad.columns)
    if config.lof is not None:
        found[LOF] = tuple(config.lof.columns)
    return found


def anomalies(config: AnomaliesConfig, period: str) -> list[RollingColumns]:
    """The configured scores at a period; null where it has no window."""
    made = []
    if config.mad is not None:
        made.append(_mad(config.mad, config.mad.window.get(period)))
    if config.lof is not None:
        made.append(_lof(config.lof))
    return made


def _mad(settings: MadAnomaly, window: int | None) -> RollingColumns:
    compute = partial(_mad_scores, settings=settings, window=window)
    definition = ["mad", window, settings.threshold]
    return RollingColumns(tuple(settings.columns), (MAD, hint_name(MAD)), window or 0, compute, definition)


def _lof(settings: LofAnomaly) -> RollingColumns:
    compute = partial(_lof_scores, settings=settings)
    samples = settings.fit + settings.block
    definition = ["lof", settings.fit, settings.block, settings.neighbours, settings.threshold]
    return RollingColumns(tuple(settings.columns), (LOF, hint_name(LOF)), samples, compute, definition)


def _mad_scores(frame: pl.DataFrame, *, settings: MadAnomaly, window: int | None) -> Mapping[str, pl.Series]:
    score = np.full(frame.height, np.nan)
    if window is not None:
        from tftctl.features.order_statistics import rolling_median_mad

        points, sample = _points(frame, settings.columns)
        before = np.cumsum(sample) - sample
        each = np.full(points.shape, np.nan)
        for place in range(points.shape[1]):
            median, mad = rolling_median_mad(np.ascontiguousarray(points[sample, place]), window)
            centre, scale = (np.concatenate(([np.nan], part))[before] for part in (median, MAD_TO_DEVIATION * mad))
            with np.errstate(divide="ignore", invalid="ignore"):
                each[:, place] = np.where(scale > 0, np.abs(points[:, place] - centre) / scale, np.nan)
        # a column that stood still says nothing; the others still do
        score = np.where(np.isfinite(each).any(axis=1), np.nanmax(np.nan_to_num(each, nan=-1.0), axis=1), np.nan)
    return _with_hint(MAD, score, settings.threshold)


def _lof_scores(frame: pl.DataFrame, *, settings: LofAnomaly) -> Mapping[str, pl.Series]:
    """Blocks of `block` bars are anchored to bar numbers; each is scored by the `fit` samples before it."""
    points, sample = _points(frame, settings.columns)
    score = np.full(frame.height, np.nan)
    complete = np.isfinite(points).all(axis=1)
    block = frame["bar_index"].to_numpy() // settings.block
    samples = np.flatnonzero(sample)
    for start, stop in _runs(block):
        past = samples[np.searchsorted(samples, start) - settings.fit : np.searchsorted(samples, start)]
        rows = start + np.flatnonzero(complete[start:stop])
        if np.searchsorted(samples, start) >= settings.fit and rows.size:
            score[rows] = _factors(points[past], points[rows], settings.neighbours)
    return _with_hint(LOF, score, settings.threshold)


def _runs(block: np.ndarray) -> list[tuple[int, int]]:
    starts = np.flatnonzero(np.diff(block, prepend=-1)).tolist()
    return list(zip(starts, [*starts[1:], block.size], strict=True))


def _factors(past: np.ndarray, now: np.ndarray, neighbours: int) -> np.ndarray:
    """Local outlier factors of `now` beside `past`, each (bars, columns), in units of the past's quartile range.

    Identical bars of a halted symbol count once: beside a heap of them everything else would be infinitely far.
    """
    from sklearn.neighbors import LocalOutlierFactor

    low, middle, high = np.quantile(past, [0.25, 0.5, 0.75], axis=0)
    spread = np.where(high > low, high - low, np.maximum(past.std(axis=0), np.finfo(float).tiny))
    distinct = np.unique((past - middle) / spread, axis=0)
    if distinct.shape[0] < max(_LEAST_DISTINCT, neighbours + 1):
        return np.full(now.shape[0], np.nan)
    model = LocalOutlierFactor(n_neighbors=neighbours, novelty=True).fit(distinct)
    return -model.score_samples((now - middle) / spread)


def _points(frame: pl.DataFrame, names: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values (rows, columns), NaN where null, and which rows are samples: real bars that have all of them."""
    points = frame.select(pl.col(list(names)).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    return points, ~frame["is_filled"].to_numpy() & np.isfinite(points).all(axis=1)


def _with_hint(name: str, score: np.ndarray, threshold: float) -> dict[str, pl.Series]:
    hint = np.where(np.isfinite(score), score > threshold, np.nan)
    return {
        name: pl.Series(name, np.where(np.isfinite(score), score, np.nan), nan_to_null=True),
        hint_name(name): pl.Series(hint_name(name), hint, nan_to_null=True),
    }
