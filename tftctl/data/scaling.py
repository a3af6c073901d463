"""Statistics of training rows: inputs per (period, column), labels per (symbol, period, target) (SEMANTICS S5)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.core.errors import DataError
from tftctl.data.panel import Panel

Array = npt.NDArray[np.float64]
MIN_LABELS = 250
CLIP = 10.0
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class InputScale:
    """Mean and standard deviation per period and column, (P, F); 0 and 1 where a period has no values."""

    periods: tuple[str, ...]
    mean: Array
    std: Array


@dataclass(frozen=True, slots=True)
class LabelScale:
    """Centre and scale per group and target, (G, T); 0 and 1 for binary targets.

    base_rate (P, T) is the share of ones among training labels per period, NaN for regression.
    """

    centre: Array
    scale: Array
    base_rate: Array


def fit_inputs(panel: Panel, train_end: int) -> InputScale:
    """Pooled over symbols, on real rows with available_at <= train_end, nulls left out, in float64."""
    periods = tuple(dict.fromkeys(panel.periods()))
    period_of = np.array([periods.index(group.period) for group in panel.groups])[panel.group]
    sample = (panel.available_at <= train_end) & ~panel.is_filled
    mean = np.zeros((len(periods), len(panel.columns)))
    std = np.ones_like(mean)
    for place in range(len(periods)):
        rows = np.flatnonzero(sample & (period_of == place))
        mean[place], std[place] = _moments(panel.features, rows)
    return InputScale(periods, mean, std)


def _moments(features: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Mean and standard deviation (ddof 0) per column of some rows, NaN left out, in float64, a chunk at a time.

    0 and 1 for a column without values, 1 for a constant one: the matrix can be larger than memory.
    """
    chunks = [rows[start : start + _CHUNK] for start in range(0, rows.size, _CHUNK)]
    count, total = np.zeros((2, features.shape[1]))
    for chunk in chunks:
        values = features[chunk]
        count += np.isfinite(values).sum(axis=0)
        total += np.nansum(values, axis=0, dtype=np.float64)
    seen = np.maximum(count, 1)
    mean, squares = total / seen, np.zeros(features.shape[1])
    for chunk in chunks:
        squares += np.nansum((features[chunk] - mean) ** 2, axis=0)
    std = np.sqrt(squares / seen)
    return mean, np.where(std > 0, std, 1.0)


def short_of_labels(panel: Panel, kinds: list[str], train: npt.NDArray[np.bool_]) -> list[tuple[int, str, int]]:
    """(group, target, labels) where a regression target has fewer than 250 training labels.

    A target without any label at a period is not in those data (M5) and asks nothing of its groups.
    """
    found = []
    absent = _absent(panel)
    for number, group in enumerate(panel.groups):
        rows = slice(group.start, group.stop)
        for place, target in enumerate(panel.targets):
            labels = int(np.isfinite(panel.labels[rows, place][train[rows]]).sum())
            asked = kinds[place] == "regression" and (group.period, target) not in absent
            if asked and labels < MIN_LABELS:
                found.append((number, target, labels))
    return found


def fit_labels(
    panel: Panel, kinds: list[str], train: npt.NDArray[np.bool_], pooled: Collection[int] = ()
) -> LabelScale:
    """Mean and standard deviation (ddof 0) of training labels per group; base rates per period.

    Groups whose numbers are in `pooled` get the median centre and scale of the others of their period. Raises
    DataError for a target that is constant in training.
    """
    absent = _absent(panel)
    shape = (len(panel.groups), len(panel.targets))
    centre, scale = np.zeros(shape), np.ones(shape)
    own = [(number, group) for number, group in enumerate(panel.groups) if number not in pooled]
    for number, group in own:
        rows = slice(group.start, group.stop)
        for place, target in enumerate(panel.targets):
            if kinds[place] != "regression" or (group.period, target) in absent:
                continue
            labels = _labels(panel, rows, place, train)
            centre[number, place], scale[number, place] = labels.mean(), labels.std()
            if scale[number, place] == 0:
                raise DataError(
                    f"{target} of {group.symbol} {group.period} is constant in training ({labels[0]:g})",
                    "leave the symbol or the target out: --symbols, --targets",
                )
    for number in pooled:
        others = [other for other, group in own if group.period == panel.groups[number].period]
        centre[number], scale[number] = np.median(centre[others], axis=0), np.median(scale[others], axis=0)
    return LabelScale(centre, scale, _base_rates(panel, kinds, train))


def _absent(panel: Panel) -> set[tuple[str, str]]:
    """(period, target) without a single label: the target has no horizon there."""
    labelled = {
        (group.period, target)
        for group in panel.groups
        for place, target in enumerate(panel.targets)
        if np.isfinite(panel.labels[group.start : group.stop, place]).any()
    }
    return {(period, target) for period in panel.periods() for target in panel.targets} - labelled


def _base_rates(panel: Panel, kinds: list[str], train: npt.NDArray[np.bool_]) -> Array:
    periods = list(dict.fromkeys(panel.periods()))
    period_of = np.array([periods.index(group.period) for group in panel.groups])[panel.group]
    rates = np.full((len(periods), len(panel.targets)), np.nan)
    for place, target in enumerate(panel.targets):
        if kinds[place] != "binary":
            continue
        for number, period in enumerate(periods):
            labels = panel.labels[train & (period_of == number), place].astype(np.float64)
            labels = labels[np.isfinite(labels)]
            if labels.size and labels.min() == labels.max():
                raise DataError(
                    f"{target} at {period} is constant in training ({labels[0]:g})",
                    "leave the period or the target out: --periods, --targets",
                )
            rates[number, place] = labels.mean() if labels.size else np.nan
    return rates


def _labels(panel: Panel, rows: slice, place: int, train: npt.NDArray[np.bool_]) -> Array:
    labels = panel.labels[rows, place][train[rows]].astype(np.float64)
    return labels[np.isfinite(labels)]
