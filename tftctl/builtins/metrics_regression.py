"""Errors of standardised forecasts, and in the target's unit (SEMANTICS M4)."""

from __future__ import annotations

from tftctl.api import MetricInput
from tftctl.builtins.scoring import NAN, Score, is_constant


def rmse() -> Score:
    """Root mean squared error of standardised values."""
    return lambda scored: float((((scored.prediction - scored.truth) ** 2).mean()) ** 0.5) if scored.truth.size else NAN


def mae() -> Score:
    """Mean absolute error of standardised values."""
    return lambda scored: float(abs(scored.prediction - scored.truth).mean()) if scored.truth.size else NAN


def rmse_raw() -> Score:
    """Root mean squared error in the target's unit."""

    def score(scored: MetricInput) -> float:
        gap = scored.prediction_raw - scored.truth_raw
        return float(((gap**2).mean()) ** 0.5) if gap.size else NAN

    return score


def mae_raw() -> Score:
    """Mean absolute error in the target's unit."""

    def score(scored: MetricInput) -> float:
        gap = abs(scored.prediction_raw - scored.truth_raw)
        return float(gap.mean()) if gap.size else NAN

    return score


def r2() -> Score:
    """Share of the variance explained, 1 - SSE/SST; below 0 where the mean is better."""

    def score(scored: MetricInput) -> float:
        from sklearn.metrics import r2_score

        if scored.truth.size < 2 or is_constant(scored.truth):
            return NAN
        return float(r2_score(scored.truth, scored.prediction))

    return score
