"""val_composite_score (SEMANTICS M5)."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

from tftctl.core.config.training import CompositeConfig
from tftctl.core.errors import ConfigError, choices, nearest
from tftctl.core.records import Metric
from tftctl.plugins import Registry

COMPOSITE_KEY = "val_composite_score"
LOSS_KEYS = ("val_loss", "val_loss_for_ckpt")
_KEY = re.compile(r"val_(?P<target>target_[a-z0-9_]+?)_(?P<metric>[a-z0-9_]+)@(?P<period>[a-z0-9]+)")
# target -> the quantile levels that its head forecasts
Levels = Mapping[str, Sequence[float]]
NO_LEVELS: Levels = {}


class CompositeScore:
    """Sum |w| s / sum |w| over the entries that the data define.

    `kinds` has the kind of each trained target, `levels` the quantile levels of those that forecast some. Raises
    ConfigError for unknown metrics, for metrics that a target cannot have, and for a weight whose sign contradicts the
    metric's direction.
    """

    def __init__(
        self,
        config: CompositeConfig,
        kinds: Mapping[str, str],
        periods: Collection[str],
        registry: Registry,
        levels: Levels = NO_LEVELS,
    ) -> None:
        self.weights: dict[str, float] = {}
        self.metrics: dict[str, Metric | None] = {}
        self.nominal: dict[str, float] = {}
        self.removed: list[str] = []
        for key, weight in config.root.items():
            metric, present = find_metric(key, kinds, periods, registry, "composite_score.yaml", levels)
            _check_sign(key, weight, metric)
            if present:
                self.weights[key], self.metrics[key] = weight, metric
                self.nominal[key] = _nominal(levels.get(target_of(key, metric), ()))
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

    def remove(self, keys: Collection[str]) -> None:
        """Drop entries that a run has dropped before."""
        for key in [key for key in self.weights if key in keys]:
            del self.weights[key]
            self.removed.append(key)

    def score(self, values: Mapping[str, float]) -> float:
        """The score in [0, 1]; 0 when no entry is left."""
        total = sum(abs(weight) for weight in self.weights.values())
        summed = sum(
            abs(weight) * normalised(values[key], self.metrics[key], self.nominal.get(key, 0.0))
            for key, weight in self.weights.items()
        )
        return summed / total if total else 0.0


def normalised(value: float, metric: Metric | None, nominal: float = 0.0) -> float:
    """A metric's value in [0, 1], higher is better, 0 for NaN. `metric` None is a loss, an unbounded error.

    `nominal` is where a metric of direction nominal is best. An unbounded score x, higher is better, becomes
    (1 + x / (1 + |x|)) / 2, as an unbounded error becomes 1 / (1 + x).
    """
    if math.isnan(value):
        return 0.0
    if metric is not None and metric.direction == "nominal":
        return max(1 - abs(value - nominal), 0.0)
    if metric is None or metric.upper is None:
        is_score = metric is not None and metric.direction == "higher"
        return _squashed(value) if is_score else 1 / (1 + max(value, 0.0))
    clipped = min(max(value, metric.lower), metric.upper)
    share = (clipped - metric.lower) / (metric.upper - metric.lower)
    return share if metric.direction == "higher" else 1 - share


def _squashed(value: float) -> float:
    return (1 + (math.copysign(1.0, value) if math.isinf(value) else value / (1 + abs(value)))) / 2


def _nominal(levels: Sequence[float]) -> float:
    """What the outermost of some quantiles promise to hold."""
    return levels[-1] - levels[0] if levels else 0.0


def find_metric(
    key: str,
    kinds: Mapping[str, str],
    periods: Collection[str],
    registry: Registry,
    place: str,
    levels: Levels = NO_LEVELS,
) -> tuple[Metric | None, bool]:
    """The metric that a key names, None for a loss, and whether its target and period are trained.

    Raises ConfigError, beginning with `place`, for a key that names no metric, one of the other kind, or one of
    quantiles where the target's loss forecasts none.
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
    target = target_of(key, metric)
    kind = kinds.get(target)
    if kind is not None and kind not in metric.kinds:
        serving = [name for name in names if kind in registry.metric(name).kinds]
        raise ConfigError(f"{place}: {key}: {target} is {kind}, {metric.name} is not", choices("", serving, "metrics"))
    if kind is not None and metric.needs_levels and not levels.get(target):
        fitting = choices("", losses_with_levels(kind, registry), "losses")
        raise ConfigError(
            f"{place}: {key}: the loss of {target} forecasts no quantiles",
            f"choose another in model_config.yaml; {fitting}",
        )
    return metric, kind is not None and key.split("@")[1] in periods


def target_of(key: str, metric: Metric | None) -> str:
    """The target in a metric's key; empty for a loss."""
    return key.split("@")[0].removeprefix("val_").removesuffix(f"_{metric.name}") if metric else ""


def losses_with_levels(kind: str, registry: Registry) -> list[str]:
    """Names of the losses of a kind that forecast quantiles with their default options."""
    known = [registry.loss(name) for name in registry.names("loss")]
    return [loss.name for loss in known if kind in loss.kinds and loss.levels({})]


def loss_keys(targets: Collection[str]) -> list[str]:
    """The losses that a training of these targets logs: lower is better in all of them."""
    each = [f"{part}_{target}_loss" for part in ("val", "train") for target in targets]
    return [*LOSS_KEYS, "train_loss", *each]


def metric_at_end(stem: str, names: Collection[str]) -> str | None:
    """The metric at the end of `<target>_<metric>`: the longest, as a target may end in what looks like one."""
    return max((name for name in names if stem.endswith(f"_{name}")), key=len, default=None)


def _check_sign(key: str, weight: float, metric: Metric | None) -> None:
    direction = "lower" if metric is None else metric.direction
    if (weight > 0) != (direction != "lower"):
        sign = "negative" if direction == "lower" else "positive"
        word = "nearer to what the levels promise" if direction == "nominal" else direction
        raise ConfigError(
            f"composite_score.yaml: {key}: {weight}", f"{word} is better here, so the weight has to be {sign}"
        )
