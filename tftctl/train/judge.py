"""Every metric and the composite score of one validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tftctl.core.progress import Say
from tftctl.plugins import Registry
from tftctl.train.composite import COMPOSITE_KEY, CompositeScore
from tftctl.train.scores import Forecasts, metric_key, score_all


class Judge:
    """Scores forecasts; entries of the composite score that the data leave undefined are told and removed once."""

    def __init__(self, composite: CompositeScore, registry: Registry, say: Say) -> None:
        self.composite = composite
        self._registry = registry
        self._say = say

    def announce(self) -> None:
        """What the data lack for the composite score."""
        if self.composite.removed:
            self._say(f"composite score: left out, not in these data: {', '.join(self.composite.removed)}")

    def score(self, found: Sequence[Forecasts], values: Mapping[str, float]) -> dict[str, float]:
        """All metrics under their keys, and the composite score of these and of `values`, the losses."""
        scores = {metric_key(t, m, p): value for (t, p, m), value in score_all(found, self._registry).items()}
        together = {**values, **scores}
        undefined = self.composite.remove_undefined(together)
        if undefined:
            self._say(f"composite score: left out, undefined in these data: {', '.join(undefined)}")
        return {**scores, COMPOSITE_KEY: self.composite.score(together)}
