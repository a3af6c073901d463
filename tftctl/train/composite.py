"""val_composite_score (SEMANTICS M5)."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

from tftctl.core.config.training import CompositeConfig
from tftctl.core.errors import ConfigError, choices, nearest
from tftctl.core.records import Metric
from tftctl.plugins import Registry

COMPOSITE_KEY = "val_composite_score"
LOSS_KEYS = ("val_loss", "val_loss_for_ckpt")
_KEY = re.compile(r"val_(?P<target>target_[a-z0-9_]+?)_(?P<metric>[a-z0-9_]+)@(?P<period>[a-z0-9]+)")


class CompositeScore:
    """Sum |w| s / sum |w| over the entries that the data define.

    `kinds` has the kind of each trained target. Raises ConfigError for unknown metrics, for metrics of the other
    kind, and for a weight whose sign contradicts the metric's direction.
    """

    def __init__(
        self, config: CompositeConfig, kinds: Mapping[str, str], periods: Collection[str], registry: Registry
    ) -> None:
        self.weights: dict[str, float] = {}
        self.metrics: dict[str, Metric | None] = {}
        self.removed: list[str] = []
        for key, weight in config.root.items():
            metric, present = find_metric(key, kinds, periods, registry, "composite_score.yaml")
            _check_sign(key, weight, metric)
            if present:
                self.weights[key], self.metrics[key] = weight, metric
            else:
                self.removed.append(key)
        if not self.weights:
            self.weights, self.metrics = {"val_loss_for_ckpt": -1.0}, {"val_loss_for_ckpt": None}

    def remove_undefined(self, values: Mapping[str, float]) -> list[str]:
        """Drop, for the whole run, entries that the data leave undefined (NaN); returns them.

        The loss is never one of them: where it is NaN, the predictions are.
        """
        gone = [key for key in self.weights if key not in LOSS_KEYS and math.isnan(values.get(key, math.nan))]
        for key in gone:
            del self.weights[key]
        self.removed += gone
        return gone

    def score(self, values: Mapping[str, float]) -> float:
        """The score in [0, 1]; 0 when no entry is left."""
        total = sum(abs(weight) for weight in self.weights.values())
        summed = sum(abs(w) * normalised(values[key], self.metrics[key]) for key, w in self.weights.items())
        return summed / total if total else 0.0


def normalised(value: float, metric: Metric | None) -> float:
    """A metric's value in [0, 1], higher is better, 0 for NaN. `metric` None is a loss, an unbounded error."""
    if math.isnan(value):
        return 0.0
    if metric is None or metric.upper is None:
        return 1 / (1 + max(value, 0.0))
    clipped = min(max(value, metric.lower), metric.upper)
    share = (clipped - metric.lower) / (metric.upper - metric.lower)
    return share if metric.direction == "higher" else 1 - share


def find_metric(
    key: str, kinds: Mapping[str, str], periods: Collection[str], registry: Registry, place: str
) -> tuple[Metric | None, bool]:
    """The metric that a key names, None for a loss, and whether its target and period are trained.

    Raises ConfigError, beginning with `place`, for a key that names no metric or one of the other kind.
    """
    if key in LOSS_KEYS:
        return None, True
    well_formed = _KEY.fullmatch(key)
    names = registry.names("metric")
    name = metric_at_end(key.split("@")[0], names) if well_formed else None
    if name is None:
        match = nearest(key, [f"val_{t}_{n}@{p}" for t in kinds for n in names for p in periods])
        meant = f"did you mean {match!r}? " if match else ""
        raise ConfigError(f"{place}: {key!r} is no metric key", meant + choices("", names, "metrics"))
    metric = registry.metric(name)
    target = key.split("@")[0].removeprefix("val_").removesuffix(f"_{metric.name}")
    kind = kinds.get(target)
    if kind is not None and kind not in metric.kinds:
        serving = [name for name in names if kind in registry.metric(name).kinds]
        raise ConfigError(f"{place}: {key}: {target} is {kind}, {metric.name} is not", choices("", serving, "metrics"))
    return metric, kind is not None and key.split("@")[1] in periods


def metric_at_end(stem: str, names: Collection[str]) -> str | None:
    """The metric at the end of `<target>_<metric>`: the longest, as a target may end in what looks like one."""
    return max((name for name in names if stem.endswith(f"_{name}")), key=len, default=None)


def _check_sign(key: str, weight: float, metric: Metric | None) -> None:
    higher = metric is not None and metric.direction == "higher"
    if (weight > 0) != higher:
        word, sign = ("higher", "positive") if higher else ("lower", "negative")
        raise ConfigError(
            f"composite_score.yaml: {key}: {weight}", f"{word} is better here, so the weight has to be {sign}"
        )
