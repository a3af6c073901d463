"""The main jobs with their configuration loaded: what commands and the quickstart call."""

from __future__ import annotations

from collections.abc import Sequence
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
from tftctl.core.progress import Report, Say, Watch, silent, unwatched
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry

if TYPE_CHECKING:
    from tftctl.data.splits import Split
    from tftctl.evaluate.evaluation import Evaluation
    from tftctl.features.actions import BuildPlan
    from tftctl.features.build import BuildResult
    from tftctl.features.describe import Definition
    from tftctl.features.health import Health
    from tftctl.features.warmup import Memory
    from tftctl.train.rate import RateTest
    from tftctl.train.undertaking import TrainResult


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
    model = load_model_config(workspace, config, overrides)
    weights, composite = load_weights_config(workspace, plan), load_composite_config(workspace)
    from tftctl.data.source import require_tables, snapshot_number
    from tftctl.store import Store

    store, registry = Store(workspace.store), load_registry(workspace)
    with store.read(snapshot_number(model)) as snapshot:
        require_tables(snapshot)  # said at once, not after the seconds that torch takes to load
    from tftctl.train.fit import train
    from tftctl.train.undertaking import Asked, Job

    asked = Asked(model, weights, composite, plan=plan is not None or bool(options.get("stage")), **options)
    return train(Job(workspace, store, registry, say, watch, accelerator), asked)


def find_rate_job(
    workspace: Workspace, config: Path | None, overrides: Sequence[str], accelerator: str, say: Say
) -> RateTest:
    """`tftctl train --lr-find`."""
    model = load_model_config(workspace, config, overrides)
    weights, composite = load_weights_config(workspace), load_composite_config(workspace)
    from tftctl.store import Store
    from tftctl.train.rate import find_rate
    from tftctl.train.undertaking import Asked, Job

    job = Job(workspace, Store(workspace.store), load_registry(workspace), say, accelerator=accelerator)
    return find_rate(job, Asked(model, weights, composite))


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
    from tftctl.store import Store
    from tftctl.train.ancestor import load_ancestor, required
    from tftctl.train.resume import resume
    from tftctl.train.undertaking import Job

    source = required(source or (named.resume_ckpt if named else None), "resume_ckpt", "resume")
    loaded, parent = load_ancestor(workspace, source)
    if named is None and overrides:
        named = overridden(loaded.content.config, overrides)
    job = Job(workspace, Store(workspace.store), load_registry(workspace), say, watch, accelerator)
    return resume(job, loaded, parent, named)


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
    model = load_model_config(workspace, config, overrides)
    weights, composite = load_weights_config(workspace, plan), load_composite_config(workspace)
    source = source or model.warm_start_ckpt
    from tftctl.store import Store
    from tftctl.train.ancestor import load_ancestor, required
    from tftctl.train.undertaking import Asked, Job
    from tftctl.train.warm import warm_start

    loaded, parent = load_ancestor(workspace, required(source, "warm_start_ckpt", "warm-start"), prefer="best")
    asked = Asked(model, weights, composite, plan=plan is not None or bool(options.get("stage")), **options)
    job = Job(workspace, Store(workspace.store), load_registry(workspace), say, watch, accelerator)
    return warm_start(job, asked, loaded, parent)


def eval_job(
    workspace: Workspace, run: str | None, split: Split, checkpoint: str, report: Report = silent
) -> Evaluation:
    """`tftctl eval`."""
    from tftctl.evaluate.evaluation import evaluate
    from tftctl.train.rundir import find_run

    return evaluate(workspace, find_run(workspace, run), split, checkpoint, load_registry(workspace), report)
