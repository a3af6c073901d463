"""The value that chooses checkpoints: it must exist, and be chosen from the right end."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, choices
from tftctl.plugins import Registry
from tftctl.train.composite import COMPOSITE_KEY, NO_LEVELS, Levels, find_metric, loss_keys


def check_monitor(
    config: ModelConfig,
    kinds: Mapping[str, str],
    periods: Collection[str],
    registry: Registry,
    levels: Levels = NO_LEVELS,
) -> None:
    """Raise ConfigError for a key that this training does not log, and for a `monitor_mode` that picks the worst.

    `kinds` has the kind of each trained target, `levels` the quantile levels of those that forecast some.
    """
    mode = _better(config.monitor, kinds, periods, registry, levels)
    if mode != config.monitor_mode:
        word = {"max": "higher", "min": "lower"}[mode]
        raise ConfigError(
            f"monitor_mode: {config.monitor_mode} would keep the worst checkpoints by {config.monitor}",
            f"{word} is better here, so monitor_mode has to be {mode}",
        )


def _better(key: str, kinds: Mapping[str, str], periods: Collection[str], registry: Registry, levels: Levels) -> str:
    losses = loss_keys(list(kinds))
    if key in losses:
        return "min"
    if key == COMPOSITE_KEY:
        return "max"
    metric, present = find_metric(key, kinds, periods, registry, "monitor", levels)
    if metric is None or not present:
        hint = choices(key, [COMPOSITE_KEY, *losses], "values")
        raise ConfigError(f"monitor: {key!r} is of a target or period that is not trained", hint)
    if metric.direction == "nominal":
        raise ConfigError(
            f"monitor: {key} is best at what the levels promise, neither at its highest nor at its lowest value",
            f"give it a weight in composite_score.yaml and monitor {COMPOSITE_KEY}",
        )
    return "max" if metric.direction == "higher" else "min"
