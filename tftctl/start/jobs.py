"""The main jobs with their configuration loaded: what commands and the quickstart call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tftctl.core.config.loading import (
    load_composite_config,
    load_features_config,
    load_model_config,
    load_weights_config,
    overridden,
)
from tftctl.core.errors import UsageError
from tftctl.core.progress import Report, Say, Watch, silent, unwatched
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry

if TYPE_CHECKING:
    from tftctl.core.config.model import ModelConfig
    from tftctl.core.config.training import CompositeConfig, WeightsConfig
    from tftctl.data.splits import Split
    from tftctl.evaluate.evaluation import Evaluation
    from tftctl.features.actions import BuildPlan
    from tftctl.features.build import BuildResult
    from tftctl.features.describe import Definition
    from tftctl.features.health import Health
    from tftctl.features.warmup import Memory
    from tftctl.train.rate import RateTest
    from tftctl.train.undertaking import Asked, Job, TrainResult

    Configurations = tuple[ModelConfig, WeightsConfig, CompositeConfig]

# of a search that keeps nothing and scores nothing
_TRIES = {"allow_unaudited": True, "allow_selection_overlap": True}


def build_job(
    workspace: Workspace,
    overrides: Sequence[str] | None = None,
    report: Report = silent,
    jobs: int | None = None,
    engine: Literal["processes", "ray"] = "processes",
    *,
    recalendar: bool = False,
) -> BuildResult:
    """`tftctl features build`."""
    from tftctl.features.build import Spread, build
    from tftctl.store import Store

    config = load_features_config(workspace, overrides)
    spread = Spread(jobs, engine, partial(load_registry, workspace))
    registry = load_registry(workspace)
    return build(Store(workspace.store), config, registry, report, spread, recalendar=recalendar)


def plan_job(workspace: Workspace, overrides: Sequence[str] | None = None, *, recalendar: bool = False) -> BuildPlan:
    """`tftctl features plan`."""
    from tftctl.features.build import plan_features
    from tftctl.store import Store

    config, registry = load_features_config(workspace, overrides), load_registry(workspace)
    return plan_features(Store(workspace.store), config, registry, recalendar=recalendar)


def definitions_job(workspace: Workspace, overrides: Sequence[str] | None = None) -> list[Definition]:
    """`tftctl features list`."""
    from tftctl.features.describe import list_definitions

    return list_definitions(load_features_config(workspace, overrides), load_registry(workspace))


def describe_job(workspace: Workspace, name: str, overrides: Sequence[str] | None = None) -> dict[str, Any]:
    """`tftctl features describe`."""
    from tftctl.features.describe import describe_name
    from tftctl.store import Store

    config = load_features_config(workspace, overrides)
    with Store(workspace.store).read() as snapshot:
        macro = list(snapshot.meta("macro").get("series", {}))
    return describe_name(name, config, load_registry(workspace), macro)


def health_job(
    workspace: Workspace, period: str | None = None, symbols: Sequence[str] | None = None, report: Report = silent
) -> Health:
    """`tftctl features health`."""
    from tftctl.features.health import measure_health
    from tftctl.store import Store

    return measure_health(Store(workspace.store), load_registry(workspace), period, symbols, report)


def warmup_job(
    workspace: Workspace,
    period: str | None = None,
    symbols: Sequence[str] | None = None,
    overrides: Sequence[str] | None = None,
    report: Report = silent,
) -> list[Memory]:
    """`tftctl features health --warmup`."""
    from tftctl.features.warmup import measure_warmup
    from tftctl.store import Store

    config = load_features_config(workspace, overrides)
    return measure_warmup(Store(workspace.store), config, load_registry(workspace), symbols, period, report)


def train_job(
    workspace: Workspace,
    config: Path | None,
    overrides: Sequence[str],
    accelerator: str,
    say: Say,
    watch: Watch = unwatched,
    *,
    plan: Path | None = None,
    **options: Any,
) -> TrainResult:
    """`tftctl train`; `plan` is a file of stages, `options` are those of `tftctl.train.undertaking.Asked`."""
    made = configurations(workspace, config, overrides, plan)
    _require_tables(workspace, made[0], options)
    from tftctl.train.fit import train

    return train(job_of(workspace, accelerator, say, watch), asked_of(made, plan, options))


def find_rate_job(
    workspace: Workspace, config: Path | None, overrides: Sequence[str], accelerator: str, say: Say
) -> RateTest:
    """`tftctl train --lr-find`."""
    made = configurations(workspace, config, overrides, None)
    _require_tables(workspace, made[0], _TRIES)
    from tftctl.train.rate import find_rate

    return find_rate(job_of(workspace, accelerator, say, unwatched), asked_of(made, None, _TRIES))


def resume_job(
    workspace: Workspace,
    source: str | None,
    config: Path | None,
    overrides: Sequence[str],
    accelerator: str,
    say: Say,
    watch: Watch = unwatched,
) -> TrainResult:
    """`tftctl resume`: a named run goes on with its own configuration, changed by `config` or `overrides` alone.

    Without a name it is `resume_ckpt` of the workspace's configuration, which is then compared with the run's.
    """
    named = load_model_config(workspace, config, overrides) if source is None or config else None
    source = _named(source or (named.resume_ckpt if named else None), "resume_ckpt", "resume")
    from tftctl.train.ancestor import load_ancestor
    from tftctl.train.resume import resume

    loaded, parent = load_ancestor(workspace, source)
    whole = named is not None
    if named is None and overrides:
        named = overridden(loaded.content.config, overrides)
    return resume(job_of(workspace, accelerator, say, watch), loaded, parent, named, whole=whole)


def warm_start_job(
    workspace: Workspace,
    source: str | None,
    config: Path | None,
    overrides: Sequence[str],
    accelerator: str,
    say: Say,
    watch: Watch = unwatched,
    *,
    plan: Path | None = None,
    **options: Any,
) -> TrainResult:
    """`tftctl warm-start`; without a name from `warm_start_ckpt`."""
    made = configurations(workspace, config, overrides, plan)
    source = _named(source or made[0].warm_start_ckpt, "warm_start_ckpt", "warm-start")
    _require_tables(workspace, made[0], options)
    from tftctl.train.ancestor import load_ancestor
    from tftctl.train.warm import warm_start

    loaded, parent = load_ancestor(workspace, source, prefer="best")
    return warm_start(job_of(workspace, accelerator, say, watch), asked_of(made, plan, options), loaded, parent)


def configurations(
    workspace: Workspace, config: Path | None, overrides: Sequence[str], plan: Path | None
) -> Configurations:
    """What a training is configured by: model, stages, composite score."""
    model = load_model_config(workspace, config, overrides)
    return model, load_weights_config(workspace, plan), load_composite_config(workspace)


def _require_tables(workspace: Workspace, model: ModelConfig, options: Mapping[str, Any]) -> None:
    """Said at once, not after the seconds that torch takes to load."""
    from tftctl.data.allowlist import workspace_allowlist
    from tftctl.data.source import require_tables, snapshot_number
    from tftctl.store import Store
    from tftctl.train.audited import require_audited
    from tftctl.train.selected import require_selected

    allowlist = workspace_allowlist(workspace)
    with Store(workspace.store).read(snapshot_number(model)) as snapshot:
        require_tables(snapshot)
        require_audited(snapshot, allow_unaudited=bool(options.get("allow_unaudited")), say=_said_later)
        overlap = bool(options.get("allow_selection_overlap"))
        require_selected(allowlist, snapshot, model, allow_overlap=overlap)


def _said_later(line: str) -> None:
    """The training itself says it, in its first process."""


def _named(source: str | None, key: str, command: str) -> str:
    """The run or checkpoint to begin with. Raises UsageError where neither command nor configuration has one."""
    if source is None:
        raise UsageError(
            f"{command}: which run? None is named, and {key} in the model configuration is null",
            f"tftctl {command} RUN; runs: tftctl runs list",
        )
    return source


def asked_of(made: Configurations, plan: Path | None, options: Mapping[str, Any]) -> Asked:
    """What a training is asked to do; a stage to begin at asks for the plan."""
    from tftctl.train.undertaking import Asked

    model, weights, composite = made
    return Asked(model, weights, composite, plan=plan is not None or bool(options.get("stage")), **options)


def job_of(workspace: Workspace, accelerator: str, say: Say, watch: Watch) -> Job:
    """The workspace's store and plugins, and who is told."""
    from tftctl.store import Store
    from tftctl.train.undertaking import Job

    return Job(workspace, Store(workspace.store), load_registry(workspace), say, watch, accelerator)


def eval_job(
    workspace: Workspace,
    run: str | None,
    split: Split,
    checkpoint: str,
    report: Report = silent,
    *,
    allow_selection_overlap: bool = False,
) -> Evaluation:
    """`tftctl eval`."""
    from tftctl.evaluate.evaluation import evaluate
    from tftctl.train.rundir import find_run

    found, registry = find_run(workspace, run), load_registry(workspace)
    overlap = allow_selection_overlap
    return evaluate(workspace, found, split, checkpoint, registry, report, allow_selection_overlap=overlap)
