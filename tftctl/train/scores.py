"""Metrics per target and period under their keys (SEMANTICS M4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.core.records import Metric, MetricInput
from tftctl.plugins import Registry, resolve


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Forecasts of one target: arrays (N,), rows with a label only.

    prediction and truth are standardised or probability and 0/1; *_raw are in the target's unit. quantiles (N, Q) are
    those at `levels`, None where the head forecasts none.
    """

    target: str
    kind: str
    symbol: npt.NDArray[np.str_]
    period: npt.NDArray[np.str_]
    timestamp: npt.NDArray[np.int64]
    available_at: npt.NDArray[np.int64]
    label_end: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]
    prediction_raw: npt.NDArray[np.float64]
    truth_raw: npt.NDArray[np.float64]
    threshold: Mapping[str, float]
    levels: tuple[float, ...] = ()
    quantiles: npt.NDArray[np.float64] | None = None
    quantiles_raw: npt.NDArray[np.float64] | None = None

    def at(self, period: str) -> MetricInput:
        """The rows of one period, as metrics see them."""
        rows = self.period == period
        return MetricInput(
            prediction=self.prediction[rows],
            truth=self.truth[rows],
            prediction_raw=self.prediction_raw[rows],
            truth_raw=self.truth_raw[rows],
            threshold=self.threshold.get(period, 0.5),
            available_at=self.available_at[rows],
            symbol=self.symbol[rows],
            label_end=self.label_end[rows],
            levels=self.levels,
            quantiles=None if self.quantiles is None else self.quantiles[rows],
        )


def metric_key(target: str, metric: str, period: str) -> str:
    """`val_target_logreturn_rmse@1h`."""
    return f"val_{target}_{metric}@{period}"


def score_all(forecasts: Iterable[Forecasts], registry: Registry) -> dict[tuple[str, str, str], float]:
    """(target, period, metric) -> value for every metric that serves the target's head; NaN where undefined."""
    metrics = [registry.metric(name) for name in registry.names("metric")]
    made = [(metric, resolve(metric.factory)()) for metric in metrics]
    return {
        (entry.target, str(period), metric.name): score_one(metric, score, entry.at(str(period)))
        for entry in forecasts
        for period in np.unique(entry.period)
        for metric, score in made
        if entry.kind in metric.kinds and (entry.levels or not metric.needs_levels)
    }


def score_one(metric: Metric, score: object, scored: MetricInput) -> float:
    """One metric of one (target, period); predictions that are not finite score as no skill (M5)."""
    made = scored.quantiles if metric.needs_levels and scored.quantiles is not None else scored.prediction
    if scored.truth.size and not np.isfinite(made).all():
        return metric.no_skill
    return float(score(scored))  # type: ignore[operator]
