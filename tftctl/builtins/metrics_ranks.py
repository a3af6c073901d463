"""Rank correlations of forecasts and truth, pooled and across symbols (SEMANTICS M4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from tftctl.api import MetricInput
from tftctl.builtins.scoring import NAN, Score, is_constant

if TYPE_CHECKING:
    from tftctl.builtins.scoring import Array

MIN_SYMBOLS = 5
MIN_INSTANTS = 3


class _Instants(NamedTuple):
    """Instants in order at which the truth of enough symbols differs.

    available_at; correlation across symbols; end, the latest label_end of the symbols (available_at without any).
    """

    available_at: Array
    correlation: Array
    end: Array


def spearman() -> Score:
    """Rank correlation over all rows."""

    def score(scored: MetricInput) -> float:
        if scored.truth.size < 3 or is_constant(scored.truth):
            return NAN
        return _rank_correlation(scored.prediction_raw, scored.truth_raw)

    return score


def rank_ic() -> Score:
    """Mean over instants of the rank correlation across symbols, where at least five have a forecast.

    An instant with one and the same truth everywhere says nothing and is passed over; one and the same forecast
    everywhere is no skill, 0.
    """

    def score(scored: MetricInput) -> float:
        correlation = _instants(scored).correlation
        return float(correlation.mean()) if correlation.size else NAN

    return score


def icir() -> Score:
    """Mean of `rank_ic`'s correlations over their standard deviation (ddof 1), on instants that do not overlap.

    The first instant counts, and then each that is not before the latest label of the last one that counted has
    ended: labels that share bars would count the same luck again. NaN for fewer than three. Not annualised.
    Correlations that are all alike give infinity with the sign of their mean, 0 where they are 0.
    """

    def score(scored: MetricInput) -> float:
        import numpy as np

        if scored.label_end is None:
            return NAN
        correlation = _apart(_instants(scored))
        if correlation.size < MIN_INSTANTS:
            return NAN
        mean, deviation = float(correlation.mean()), float(np.std(correlation, ddof=1))
        if is_constant(correlation):
            return math.copysign(math.inf, mean) if mean else 0.0
        return mean / deviation

    return score


def _apart(instants: _Instants) -> Array:
    """Correlations of instants whose labels do not overlap."""
    kept, free = [], -math.inf
    for place, instant in enumerate(instants.available_at):
        if instant >= free:
            kept.append(place)
            free = instants.end[place]
    return instants.correlation[kept]


def _instants(scored: MetricInput) -> _Instants:
    import numpy as np

    order = np.argsort(scored.available_at, kind="stable")
    instants, starts, sizes = np.unique(scored.available_at[order], return_index=True, return_counts=True)
    ends = scored.available_at if scored.label_end is None else scored.label_end
    correlation, end = np.full(instants.size, NAN), np.zeros(instants.size, np.int64)
    for size in np.unique(sizes[sizes >= MIN_SYMBOLS]):
        here = sizes == size
        rows = order[starts[here][:, None] + np.arange(size)]
        correlation[here] = _rank_correlations(scored.prediction_raw[rows], scored.truth_raw[rows])
        end[here] = ends[rows].max(axis=1)
    told = ~np.isnan(correlation)
    return _Instants(instants[told], correlation[told], end[told])


def _rank_correlations(prediction: Array, truth: Array) -> Array:
    """Spearman's correlation of each row of (instants, symbols); NaN where the truth, 0 where the forecast is one."""
    import numpy as np
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=1) for values in (prediction, truth)]
    x, y = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    spread_x, spread_y = (x**2).sum(axis=1), (y**2).sum(axis=1)
    scale = np.sqrt(spread_x * spread_y)
    found = np.divide((x * y).sum(axis=1), scale, out=np.zeros(scale.size), where=scale > 0)
    return np.where(spread_y > 0, found, NAN)


def _rank_correlation(prediction: Array, truth: Array) -> float:
    from scipy.stats import spearmanr

    if is_constant(prediction):
        return 0.0
    return float(spearmanr(prediction, truth).statistic)
