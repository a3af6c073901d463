"""`tftctl runs show`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftctl.core.errors import ConfigError, DataError, TftctlWarning
from tftctl.core.workspace import Workspace
from tftctl.train.curves import best_row, best_value, read_rows
from tftctl.train.rundir import Run
from tftctl.train.runs.checkpoints import SavedCheckpoint, saved_checkpoints
from tftctl.train.runs.summary import COMPOSITE, LOSS, RunSummary, parent_of, read_manifest, summarise

_MAIN = ("epoch", "step", "stage", COMPOSITE, LOSS, "train_loss", "lr")
_ESSENTIALS = ("seed", "device", "origins", "audit", "selection", "plugins", "versions", "machine", "arguments")


@dataclass(frozen=True, slots=True)
class Change:
    """A value of the run's `configs/model_config.yaml` that is not the default; None for a key without one."""

    key: str
    value: Any
    default: Any


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage: what stages.yaml plans of it, and what its finished epochs reached."""

    stage: str
    plan: dict[str, Any]
    epochs: int
    val_composite_score: float | None
    val_loss: float | None


@dataclass(frozen=True, slots=True)
class Parent:
    """A run that another one came from; `there` is False when it was removed since."""

    run: str
    there: bool


@dataclass(frozen=True, slots=True)
class RunDetail:
    """Everything about one run. `parents` is the chain of runs that it came from, the nearest first.

    `best` is the row of the epoch that the run's own `monitor` calls best, `last` that of its last epoch.
    """

    summary: RunSummary
    path: Path
    facts: dict[str, Any]
    inputs: int
    monitor: str
    changes: list[Change]
    stages: list[StageRow]
    best: dict[str, Any]
    last: dict[str, Any]
    checkpoints: list[SavedCheckpoint]
    parents: list[Parent]

    def values(self) -> list[tuple[str, Any, Any]]:
        """(key, value at the best epoch, value at the last epoch) of all that is logged, the main ones first."""
        logged = dict.fromkeys([*self.best, *self.last])
        keys = dict.fromkeys([*(key for key in _MAIN if key in logged), *logged])
        return [(key, self.best.get(key), self.last.get(key)) for key in keys]


def describe_run(workspace: Workspace, run: Run) -> RunDetail:
    """Read one run directory. Raises DataError when its manifest cannot be read; other damage is a warning."""
    manifest, rows = read_manifest(run), read_rows(run)
    config = _yaml(run.root / "configs" / "model_config.yaml")
    monitor, mode = str(config.get("monitor", COMPOSITE)), str(config.get("monitor_mode", "max"))
    inputs = manifest.get("inputs")
    return RunDetail(
        summary=summarise(run),
        path=run.root,
        facts={key: manifest[key] for key in _ESSENTIALS if key in manifest},
        inputs=len(inputs) if isinstance(inputs, list) else 0,
        monitor=monitor,
        changes=_changes(config),
        stages=_stages(_yaml(run.root / "stages.yaml"), rows),
        best=best_row(rows, monitor, mode) or best_row(rows, LOSS, "min"),
        last=rows[-1] if rows else {},
        checkpoints=saved_checkpoints(run),
        parents=parents_of(workspace, manifest),
    )


def parents_of(workspace: Workspace, manifest: Mapping[str, Any]) -> list[Parent]:
    """The chain of parents, the nearest first, as far as their manifests can be read."""
    chain: list[Parent] = []
    name = parent_of(manifest)
    while name is not None and name not in [parent.run for parent in chain]:
        try:
            above = read_manifest(Run(workspace.runs / name))
        except DataError:
            return [*chain, Parent(name, there=False)]
        chain.append(Parent(name, there=True))
        name = parent_of(above)
    return chain


def _yaml(path: Path) -> dict[str, Any]:
    """A map from a run's file; an empty one, with a warning, where it cannot be read."""
    from tftctl.core.config.yaml import read_yaml

    try:
        found = read_yaml(path)
    except ConfigError as error:
        warnings.warn(error.message, TftctlWarning, stacklevel=3)
        return {}
    return found if isinstance(found, dict) else {}


def _changes(config: Mapping[str, Any]) -> list[Change]:
    from tftctl.core.config.model import ModelConfig

    defaults = dict(_flat(ModelConfig().model_dump(mode="json")))
    given = _flat(config)
    return [Change(key, value, defaults.get(key)) for key, value in given if value != defaults.get(key)]


def _flat(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys; an empty map is a value."""
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _stages(plan: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[StageRow]:
    """Planned stages, and those that rows name beside them. Rows that name none belong to the only stage."""
    only = next(iter(plan)) if len(plan) == 1 else ""
    of = [str(row.get("stage") or only) for row in rows]
    names = dict.fromkeys([*map(str, plan), *(name for name in of if name)])
    return [_stage(name, plan.get(name), [row for row, mine in zip(rows, of, strict=True) if mine == name])
            for name in names]  # fmt: skip


def _stage(name: str, planned: Any, rows: list[dict[str, Any]]) -> StageRow:
    plan = dict(planned) if isinstance(planned, Mapping) else {}
    return StageRow(name, plan, len(rows), best_value(rows, COMPOSITE, "max"), best_value(rows, LOSS, "min"))
