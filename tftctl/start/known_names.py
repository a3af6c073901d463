"""The names in configuration against what the plugins and `configs/features.yaml` provide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from tftctl.core.config.features import FeaturesConfig, IndicatorEntry, TargetEntry
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import Problem
from tftctl.core.config.selection import SelectionConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.errors import TftctlError, nearest
from tftctl.core.registry import Registry
from tftctl.train.composite import COMPOSITE_KEY, LOSS_KEYS, loss_keys, metric_at_end

_METRIC_KEY = re.compile(r"val_(?P<rest>.+?)@(?P<period>\w+)")
# target -> its kind; None where features.yaml is not in order itself
Kinds = Mapping[str, str] | None


def name_problems(place: str, config: BaseModel, registry: Registry, targets: Kinds) -> Iterator[Problem]:
    """Names in a valid configuration that nobody provides, or that do not serve the kind of their target."""
    if isinstance(config, FeaturesConfig):
        yield from _features(place, config, registry)
    elif isinstance(config, ModelConfig):
        yield from _model(place, config, registry, targets)
    elif isinstance(config, WeightsConfig):
        for stage, entry in config.root.items():
            for name in entry.weights:
                yield from _known_target(place, f"{stage}.{name}", name, targets)
            for index, name in enumerate(entry.targets or ()):
                yield from _known_target(place, f"{stage}.targets.{index}", name, targets)
    elif isinstance(config, SelectionConfig):
        for index, name in enumerate(config.targets or ()):
            yield from _known_target(place, f"targets.{index}", name, targets)
    elif isinstance(config, CompositeConfig):
        for key, weight in config.root.items():
            yield from _score(place, key, weight, registry, targets)


def readable_entries(place: str, document: Any, registry: Registry) -> Iterator[Problem]:
    """The same for those entries of an invalid features.yaml that are well formed."""
    document = document if isinstance(document, dict) else {}
    indicators = _readable(document.get("indicators"), IndicatorEntry)
    targets = _readable(document.get("targets"), TargetEntry)
    yield from _entries(place, indicators, targets, FeaturesConfig().periods, registry)


def _readable(entries: Any, model: type[IndicatorEntry]) -> dict[int, Any]:
    found = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        try:
            found[index] = model.model_validate({"name": entry} if isinstance(entry, str) else entry)
        except ValidationError:
            continue  # reported as a problem of the file
    return found


def _features(place: str, config: FeaturesConfig, registry: Registry) -> Iterator[Problem]:
    """Every entry on its own first, so that one wrong name does not hide the next; then what they make together."""
    from tftctl.features.columns import fused_columns, own_columns
    from tftctl.features.definitions import resolve

    indicators, targets = dict(enumerate(config.indicators)), dict(enumerate(config.targets))
    found = [
        *_entries(place, indicators, targets, config.periods, registry),
        *_attempt(place, "calendar", config.calendar, _open),
    ]
    yield from found
    if found:
        return

    def together(_: Any) -> None:
        indicators, _targets = resolve(config, registry)
        fused_columns(own_columns(indicators, config.extra_columns, config), indicators, config, list(config.macro))

    yield from _attempt(place, "", {"": None}, together)


def _entries(
    place: str,
    indicators: Mapping[int, IndicatorEntry],
    targets: Mapping[int, TargetEntry],
    periods: Sequence[str],
    registry: Registry,
) -> Iterator[Problem]:
    from tftctl.features.definitions import resolve_indicators, resolve_targets

    yield from _attempt(place, "indicators", indicators, lambda entry: resolve_indicators([entry], registry))
    yield from _attempt(place, "targets", targets, lambda entry: resolve_targets([entry], periods, registry))


def _open(calendar: str) -> None:
    from tftctl.core.calendars import open_calendar

    if calendar != "observed":
        open_calendar(calendar)


def _attempt(place: str, key: str, entries: Mapping[Any, Any], action: Callable[[Any], object]) -> Iterator[Problem]:
    for where, entry in entries.items():
        try:
            action(entry)
        except TftctlError as error:
            message = error.message.removeprefix("configs/features.yaml: ")
            yield Problem(place, f"{key}.{where}" if key else "", message, error.hint)


def _known_target(place: str, key: str, name: str, targets: Kinds) -> Iterator[Problem]:
    if targets is not None:
        yield from _known(place, key, name, sorted(targets), "target of configs/features.yaml")


def _known(place: str, key: str, name: str, known: Sequence[str], what: str) -> Iterator[Problem]:
    if name not in known:
        match = nearest(name, known)
        allowed = f"did you mean {match!r}?" if match else f"there are: {', '.join(known)}"
        yield Problem(place, key, f"{name!r} is no {what}", allowed)


def _model(place: str, config: ModelConfig, registry: Registry, targets: Kinds) -> Iterator[Problem]:
    for index, name in enumerate(config.targets):
        yield from _known_target(place, f"targets.{index}", name, targets)
    for name, choice in config.losses.items():
        loss = choice if isinstance(choice, str) else str(choice.get("name", ""))
        yield from _known_target(place, f"losses.{name}", name, targets)
        yield from _known(place, f"losses.{name}", loss, registry.names("loss"), "loss")
        if loss in registry.names("loss"):
            serving = {known: registry.loss(known).kinds for known in registry.names("loss")}
            yield from _serves(place, f"losses.{name}", name, loss, serving, targets)
            yield from _options(place, name, choice, registry)
    for name in config.pos_weight if isinstance(config.pos_weight, dict) else ():
        yield from _known_target(place, f"pos_weight.{name}", name, targets)
    if config.monitor not in (COMPOSITE_KEY, *loss_keys(config.targets)):
        yield from _metric_key(place, "monitor", config.monitor, registry, targets)
        metric = _metric_of(config.monitor, registry)
        if metric is not None and registry.metric(metric).direction == "nominal":
            yield Problem(
                place, "monitor", f"{metric} has no better end", f"monitor {COMPOSITE_KEY}, and give {metric} a weight"
            )


def _options(place: str, target: str, choice: str | Mapping[str, Any], registry: Registry) -> Iterator[Problem]:
    """Whether a loss can be made with its options; PyTorch is loaded only where there are some."""
    if isinstance(choice, str) or len(choice) < 2:
        return
    from tftctl.train.losses import build_loss

    key, options = f"losses.{target}", {name: value for name, value in choice.items() if name != "name"}
    try:
        build_loss(target, registry.loss(str(choice["name"])), options)
    except TftctlError as error:
        yield Problem(place, key, error.message.removeprefix(f"{key}: "), error.hint)


def _score(place: str, key: str, weight: float, registry: Registry, targets: Kinds) -> Iterator[Problem]:
    """A key is `val_<target>_<metric>@<period>`; its weight has the sign of the metric's direction (M5)."""
    if key in LOSS_KEYS:
        yield from _sign(place, key, weight, "lower")
        return
    yield from _metric_key(place, key, key, registry, targets)
    metric = _metric_of(key, registry)
    if metric is not None:
        yield from _sign(place, key, weight, registry.metric(metric).direction)


def _metric_key(place: str, where: str, key: str, registry: Registry, targets: Kinds) -> Iterator[Problem]:
    """What is wrong with a metric key that stands at `where`."""
    match = _METRIC_KEY.fullmatch(key)
    if match is None:
        yield Problem(
            place, where, f"{key!r} is no metric key", "like val_target_logreturn_rmse@1h, or val_loss_for_ckpt"
        )
        return
    metric, rest = _metric_of(key, registry), match["rest"]
    serving = {name: registry.metric(name).kinds for name in registry.names("metric")}
    if metric is None:
        yield from _no_metric(place, where, rest, serving, targets or {})
        return
    target = rest.removesuffix(f"_{metric}")
    yield from _known_target(place, where, target, targets)
    yield from _serves(place, where, target, metric, serving, targets)


def _metric_of(key: str, registry: Registry) -> str | None:
    match = _METRIC_KEY.fullmatch(key)
    return metric_at_end(match["rest"], registry.names("metric")) if match else None


def _no_metric(
    place: str, where: str, rest: str, serving: Mapping[str, Sequence[str]], targets: Mapping[str, str]
) -> Iterator[Problem]:
    """`rest` is a target and what is no metric, perhaps with an underscore in it."""
    target = max((name for name in targets if rest.startswith(f"{name}_")), key=len, default="")
    name = rest.removeprefix(f"{target}_") if target else rest.rpartition("_")[2]
    fitting = [known for known, kinds in serving.items() if not target or targets[target] in kinds]
    yield from _known(place, where, name, fitting, f"metric of a {targets[target]} target" if target else "metric")


def _serves(
    place: str, where: str, target: str, name: str, serving: Mapping[str, Sequence[str]], targets: Kinds
) -> Iterator[Problem]:
    """Whether a metric or loss is for targets of this kind; `serving` has the kinds of all of them."""
    kind = (targets or {}).get(target)
    if kind is not None and kind not in serving[name]:
        fitting = ", ".join(known for known, kinds in serving.items() if kind in kinds)
        yield Problem(place, where, f"{name} is not for {target}, which is {kind}", f"for {kind} targets: {fitting}")


def _sign(place: str, key: str, weight: float, direction: str) -> Iterator[Problem]:
    if (weight > 0) != (direction != "lower"):
        better = "nearer to what the levels promise" if direction == "nominal" else direction
        yield Problem(
            place,
            key,
            f"{weight:g}",
            f"its weight must be {'below' if direction == 'lower' else 'above'} 0: {better} is better",
        )
