"""The baselines that a user would ask for first: the training mean (or base rate), and persistence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tftctl.data.assemble import Prepared
from tftctl.data.panel import NO_LABEL_END, Panel
from tftctl.train.scores import Forecasts

Array = npt.NDArray[np.float64]


def training_mean(forecasts: Forecasts, prepared: Prepared, place: int) -> Forecasts:
    """The mean of the group's training labels; for binary targets the base rate of the period's."""
    spec = prepared.spec
    if forecasts.kind == "binary":
        rates = spec.targets[place].base_rate
        rate = np.array([rates[str(period)] for period in forecasts.period])
        return replace(forecasts, prediction=rate, prediction_raw=rate)
    centre, _ = _scale(forecasts, prepared, place)
    return replace(forecasts, prediction=np.zeros(centre.size), prediction_raw=centre)


def persistence(forecasts: Forecasts, prepared: Prepared, place: int) -> Forecasts:
    """The latest label that was known at the origin (M7): label_end <= available_at. NaN where there is none.

    For binary targets the forecast is that label, 0 or 1.
    """
    raw = np.full(forecasts.timestamp.size, np.nan)
    for group in prepared.panel.groups:
        rows = (forecasts.symbol == group.symbol) & (forecasts.period == group.period)
        if rows.any():
            span = slice(group.start, group.stop)
            raw[rows] = latest_known(prepared.panel, span, place, forecasts.available_at[rows])
    centre, scale = _scale(forecasts, prepared, place)
    return replace(forecasts, prediction=(raw - centre) / scale, prediction_raw=raw)


def latest_known(panel: Panel, group: slice, place: int, at: npt.NDArray[np.int64]) -> Array:
    """Label with the latest label_end at or before each instant, of one group; NaN where there is none."""
    labels, ends = panel.labels[group, place].astype(np.float64), panel.label_end[group, place]
    there = np.isfinite(labels) & (ends != NO_LABEL_END)
    labels, ends = labels[there], ends[there]
    order = np.argsort(ends, kind="stable")
    number = np.searchsorted(ends[order], at, side="right") - 1
    known = np.append(labels[order], np.nan)
    return known[number]


def _scale(forecasts: Forecasts, prepared: Prepared, place: int) -> tuple[Array, Array]:
    stats = {(group.symbol, group.period): group for group in prepared.spec.groups}
    found = [stats[str(s), str(p)] for s, p in zip(forecasts.symbol, forecasts.period, strict=True)]
    return np.array([group.centre[place] for group in found]), np.array([group.scale[place] for group in found])
