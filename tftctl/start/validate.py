"""`tftctl config validate`: the files themselves, and the names in them against what the plugins provide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from tftctl.core.config.explain import line_of
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.config.loading import CONFIGS, OPTIONAL, load
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.problems import ConfigProblems, Problem
from tftctl.core.config.yaml import KeyPath, key_lines, read_text, read_yaml
from tftctl.core.errors import TftctlError, UsageError, choices
from tftctl.core.records import Target
from tftctl.core.registry import Registry
from tftctl.core.workspace import Workspace
from tftctl.start.known_levels import level_problems
from tftctl.start.known_names import name_problems, readable_entries


@dataclass(frozen=True, slots=True)
class Validation:
    """Files read, files of `configs/` that are none of ours, and everything that is wrong."""

    files: tuple[str, ...]
    skipped: tuple[str, ...]
    problems: tuple[Problem, ...]


def validate_files(
    workspace: Workspace, registry: Registry, paths: Sequence[Path] = (), kind: str | None = None
) -> Validation:
    """Check the named files, or all of `configs/`.

    A file's name says which configuration it is, unless `kind` does (features, model, weights, composite, selection).
    Raises UsageError where neither does.
    """
    names, skipped = _files(workspace, paths, kind)
    problems: list[Problem] = []
    loaded: dict[Path, BaseModel] = {}
    for path, model in names.items():
        try:
            loaded[path] = load(path, model)
        except ConfigProblems as error:
            problems += error.problems
            if model is FeaturesConfig:
                problems += _with_lines(path, readable_entries(str(path), read_yaml(path), registry))
        except TftctlError as error:
            problems.append(Problem(error.message, "", "", error.hint))
    targets = _targets(workspace, registry)
    kinds = None if targets is None else {name: target.kind for name, target in targets.items()}
    given = (config for config in loaded.values() if isinstance(config, ModelConfig))
    training = next(given, None) or _model(workspace)
    for path, config in loaded.items():
        problems += _with_lines(path, name_problems(str(path), config, registry, kinds))
        if training is not None:
            problems += _with_lines(path, level_problems(str(path), config, registry, training, targets or {}))
    return Validation(tuple(map(str, names)), tuple(map(str, skipped)), tuple(problems))


def _with_lines(path: Path, problems: Iterable[Problem]) -> Iterator[Problem]:
    lines = key_lines(read_text(path))
    for problem in problems:
        yield replace(problem, line=line_of(_path(problem.key), lines))


def _path(key: str) -> KeyPath:
    return tuple(int(part) if part.isdecimal() else part for part in key.split("."))


def config_files() -> dict[str, type[BaseModel]]:
    """File name -> model."""
    return dict(CONFIGS.values())


def _files(
    workspace: Workspace, paths: Sequence[Path], kind: str | None
) -> tuple[dict[Path, type[BaseModel]], list[Path]]:
    known = config_files()
    if kind is not None:
        return dict.fromkeys(paths or [workspace.configs / CONFIGS[kind][0]], CONFIGS[kind][1]), []
    if not paths:
        present = sorted(workspace.configs.glob("*.y*ml"))
        asked = {
            name: model for name, model in known.items() if name not in OPTIONAL or workspace.configs / name in present
        }
        ours = {workspace.configs / name: model for name, model in asked.items()}
        return ours, [path for path in present if path.name not in known]
    for path in paths:
        if path.name not in known:
            raise UsageError(
                f"{path}: its name does not say what it configures",
                f"say it: --as {', '.join(CONFIGS)}; {choices(path.name, known, 'names')}",
            )
    return {path: known[path.name] for path in paths}, []


def _targets(workspace: Workspace, registry: Registry) -> dict[str, Target] | None:
    """Columns and records of the targets of `configs/features.yaml`; None when it is not in order itself."""
    from tftctl.features.definitions import resolve_targets

    try:
        config = load(workspace.configs / "features.yaml", FeaturesConfig)
        targets = resolve_targets(config.targets, config.periods, registry)
        return {target.column: target.record for target in targets}
    except TftctlError:
        return None


def _model(workspace: Workspace) -> ModelConfig | None:
    """`configs/model_config.yaml`; None when it is not in order itself."""
    try:
        return load(workspace.configs / "model_config.yaml", ModelConfig)
    except TftctlError:
        return None
