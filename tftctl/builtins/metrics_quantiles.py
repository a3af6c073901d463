"""Scores of quantile forecasts, standardised like their truth (SEMANTICS M4)."""

from __future__ import annotations

from tftctl.api import MetricInput
from tftctl.builtins.scoring import NAN, Score


def pinball() -> Score:
    """Mean over rows and levels of the pinball loss max(l d, (l - 1) d), d = truth - quantile; NaN without levels."""

    def score(scored: MetricInput) -> float:
        import numpy as np

        if not scored.levels or not scored.truth.size:
            return NAN
        level, distance = np.array(scored.levels), scored.truth[:, None] - scored.quantiles
        return float(np.maximum(level * distance, (level - 1) * distance).mean())

    return score


def coverage() -> Score:
    """Share of the truths within the outermost quantiles, both included; NaN for fewer than two levels."""

    def score(scored: MetricInput) -> float:
        if len(scored.levels) < 2 or not scored.truth.size:
            return NAN
        inside = (scored.truth >= scored.quantiles[:, 0]) & (scored.truth <= scored.quantiles[:, -1])
        return float(inside.mean())

    return score
