"""`tftctl config validate`: the files themselves, and the names in them against what the plugins provide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.config.loading import CONFIGS, load
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import ConfigProblems, Problem
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.errors import TftctlError, UsageError, choices, nearest
from tftctl.core.registry import Registry
from tftctl.core.workspace import Workspace

_METRIC_KEY = re.compile(r"val_(?P<rest>.+?)@(?P<period>\w+)")
_PLAIN_KEYS = frozenset({"val_loss", "val_loss_for_ckpt"})


@dataclass(frozen=True, slots=True)
class Validation:
    """Files read, files of `configs/` that are none of ours, and everything that is wrong."""

    files: tuple[str, ...]
    skipped: tuple[str, ...]
    problems: tuple[Problem, ...]


def validate_files(workspace: Workspace, registry: Registry, paths: Sequence[Path] = ()) -> Validation:
    """Check the named files, or all of `configs/`. Raises UsageError for a file that is none of ours."""
    names, skipped = _files(workspace, paths)
    problems: list[Problem] = []
    loaded: dict[Path, BaseModel] = {}
    for path, model in names.items():
        try:
            loaded[path] = load(path, model)
        except ConfigProblems as error:
            problems += error.problems
        except TftctlError as error:
            problems.append(Problem(error.message, "", "", error.hint))
    for path, config in loaded.items():
        problems += _name_problems(str(path), config, registry, _target_columns(workspace, registry))
    return Validation(tuple(map(str, names)), tuple(map(str, skipped)), tuple(problems))


def config_files() -> dict[str, type[BaseModel]]:
    """File name -> model."""
    return dict(CONFIGS.values())


def _files(workspace: Workspace, paths: Sequence[Path]) -> tuple[dict[Path, type[BaseModel]], list[Path]]:
    known = config_files()
    if not paths:
        present = sorted(workspace.configs.glob("*.y*ml"))
        ours = {workspace.configs / name: model for name, model in known.items()}
        return ours, [path for path in present if path.name not in known]
    for path in paths:
        if path.name not in known:
            raise UsageError(f"{path} has no known configuration name", choices(path.name, known, "names"))
    return {path: known[path.name] for path in paths}, []


def _target_columns(workspace: Workspace, registry: Registry) -> set[str] | None:
    """Names of the targets that `configs/features.yaml` makes; None when it is not in order itself."""
    from tftctl.features.definitions import resolve_targets

    try:
        config = load(workspace.configs / "features.yaml", FeaturesConfig)
        return {target.column for target in resolve_targets(config.targets, config.periods, registry)}
    except TftctlError:
        return None


def _name_problems(place: str, config: BaseModel, registry: Registry, targets: set[str] | None) -> Iterator[Problem]:
    if isinstance(config, FeaturesConfig):
        yield from _features(place, config, registry)
    elif isinstance(config, ModelConfig):
        for index, name in enumerate(config.targets):
            yield from _known_target(place, f"targets.{index}", name, targets)
        for name, choice in config.losses.items():
            loss = choice if isinstance(choice, str) else str(choice.get("name", ""))
            yield from _known(place, f"losses.{name}", loss, registry.names("loss"), "loss")
    elif isinstance(config, WeightsConfig):
        for stage, weights in config.root.items():
            for name in weights:
                yield from _known_target(place, f"{stage}.{name}", name, targets)
    elif isinstance(config, CompositeConfig):
        for key, weight in config.root.items():
            yield from _score(place, key, weight, registry, targets)


def _features(place: str, config: FeaturesConfig, registry: Registry) -> Iterator[Problem]:
    """Every entry on its own first, so that one wrong name does not hide the next; then what they make together."""
    from tftctl.features.columns import fused_columns, own_columns
    from tftctl.features.definitions import resolve, resolve_indicators, resolve_targets

    found = [
        *_attempt(place, "indicators", config.indicators, lambda entry: resolve_indicators([entry], registry)),
        *_attempt(place, "targets", config.targets, lambda entry: resolve_targets([entry], config.periods, registry)),
    ]
    yield from found
    if found:
        return

    def together(_: Any) -> None:
        indicators, _targets = resolve(config, registry)
        fused_columns(own_columns(indicators, config.extra_columns, config), indicators, config, list(config.macro))

    yield from _attempt(place, "", [None], together)


def _attempt(place: str, key: str, entries: Sequence[Any], action: Any) -> Iterator[Problem]:
    for index, entry in enumerate(entries):
        try:
            action(entry)
        except TftctlError as error:
            message = error.message.removeprefix("configs/features.yaml: ")
            yield Problem(place, f"{key}.{index}" if key else "", message, error.hint)


def _known_target(place: str, key: str, name: str, targets: set[str] | None) -> Iterator[Problem]:
    if targets is not None:
        yield from _known(place, key, name, sorted(targets), "target of configs/features.yaml")


def _known(place: str, key: str, name: str, known: Sequence[str], what: str) -> Iterator[Problem]:
    if name not in known:
        match = nearest(name, known)
        allowed = f"did you mean {match!r}?" if match else f"there are: {', '.join(known)}"
        yield Problem(place, key, f"{name!r} is no {what}", allowed)


def _score(place: str, key: str, weight: float, registry: Registry, targets: set[str] | None) -> Iterator[Problem]:
    """A key is `val_<target>_<metric>@<period>`; its weight has the sign of the metric's direction (M5)."""
    if key in _PLAIN_KEYS:
        yield from _sign(place, key, weight, "lower")
        return
    match = _METRIC_KEY.fullmatch(key)
    if match is None:
        yield Problem(place, key, "no metric key", "like val_target_logreturn_rmse@1h, or val_loss_for_ckpt")
        return
    metrics = registry.names("metric")
    metric = max((name for name in metrics if match["rest"].endswith(f"_{name}")), key=len, default=None)
    if metric is None:
        yield from _known(place, key, match["rest"].rpartition("_")[2], metrics, "metric")
        return
    yield from _known_target(place, key, match["rest"].removesuffix(f"_{metric}"), targets)
    yield from _sign(place, key, weight, registry.metric(metric).direction)


def _sign(place: str, key: str, weight: float, direction: str) -> Iterator[Problem]:
    if (weight > 0) != (direction == "higher"):
        sign = "above 0: higher is better" if direction == "higher" else "below 0: lower is better"
        yield Problem(place, key, f"{weight:g}", f"its weight must be {sign}")
