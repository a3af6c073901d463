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

    prediction and truth are standardised or probability and 0/1; *_raw are in the target's unit.
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

    def at(self, period: str) -> MetricInput:
        """The rows of one period, as metrics see them."""
        rows = self.period == period
        return MetricInput(
            self.prediction[rows],
            self.truth[rows],
            self.prediction_raw[rows],
            self.truth_raw[rows],
            self.threshold.get(period, 0.5),
            self.available_at[rows],
            self.symbol[rows],
        )


def metric_key(target: str, metric: str, period: str) -> str:
    """`val_target_logreturn_rmse@1h`."""
    return f"val_{target}_{metric}@{period}"


def score_all(forecasts: Iterable[Forecasts], registry: Registry) -> dict[tuple[str, str, str], float]:
    """(target, period, metric) -> value for every metric that serves the target's kind; NaN where undefined."""
    metrics = [registry.metric(name) for name in registry.names("metric")]
    made = [(metric, resolve(metric.factory)()) for metric in metrics]
    return {
        (entry.target, str(period), metric.name): score_one(metric, score, entry.at(str(period)))
        for entry in forecasts
        for period in np.unique(entry.period)
        for metric, score in made
        if entry.kind in metric.kinds
    }


def score_one(metric: Metric, score: object, scored: MetricInput) -> float:
    """One metric of one (target, period); predictions that are not finite score as no skill (M5)."""
    if scored.truth.size and not np.isfinite(scored.prediction).all():
        return metric.no_skill
    return float(score(scored))  # type: ignore[operator]
