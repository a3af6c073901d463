"""`tftctl train`: from a store and a configuration to what a training has to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError
from tftctl.core.progress import Say
from tftctl.data.allowlist import Allowlist, workspace_allowlist
from tftctl.data.assemble import Prepared, prepare_training
from tftctl.data.inputs import choose_inputs
from tftctl.data.source import require_tables, snapshot_number
from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry
from tftctl.store import Snapshot
from tftctl.train.announce import announce
from tftctl.train.audited import require_audited
from tftctl.train.composite import CompositeScore
from tftctl.train.course import make_course, steps_of, train_order
from tftctl.train.device import Device, choose_device
from tftctl.train.judge import Judge
from tftctl.train.losses import choose_targets
from tftctl.train.monitor import check_monitor
from tftctl.train.selected import require_before, selection_facts, tell_selection
from tftctl.train.session import carry_out
from tftctl.train.stages import Stage, enabled, idle_targets, planned, whole_training
from tftctl.train.undertaking import Asked, Job, TrainResult, Undertaking, first_process


def train(job: Job, asked: Asked) -> TrainResult:
    """Train on the snapshot that the configuration names and write a new run directory.

    Everything that can be wrong with the configuration is found before there is a run directory. Raises DataError
    when the data cannot make windows, an audit of them has failed, the selection of inputs has read past the cut, or
    the run cannot be written, ConfigError for names that do not exist.
    """
    with job.store.read(snapshot_number(asked.config)) as snapshot:
        require_audited(snapshot, allow_unaudited=asked.allow_unaudited, say=first_process(job.say))
        undertaking = prepare(job, asked, snapshot, "train")
        announce(undertaking.prepared, undertaking.asked.config, first_process(job.say))
        return carry_out(job, undertaking, snapshot)


def prepare(job: Job, asked: Asked, snapshot: Snapshot, command: Literal["train", "warm-start"]) -> Undertaking:
    """Windows, stages and steps of a training that begins at its first epoch."""
    config, is_warm = asked.config, command == "warm-start"
    peak = (config.warm_start.lr or config.lr / 10) if is_warm else config.lr
    device = choose_device(job.accelerator, config)
    say = first_process(job.say)
    require_tables(snapshot)
    described = snapshot.meta("targets").get("targets", {})
    targets = choose_targets(config.targets, described, config, job.registry)
    _check_outputs(config, targets)
    check_scores(asked, targets, config.periods or snapshot.periods("fused"), job.registry)
    allowlist = workspace_allowlist(job.workspace)
    listed = allowlist.names if allowlist else None
    inputs = choose_inputs(snapshot.meta("fused").get("columns", {}), config.inputs, listed)
    stages = _stages(asked, config.model_copy(update={"lr": peak}))
    idle = idle_targets(stages, config.targets, described, job.registry)
    if idle:
        say(f"weights_config.yaml: not in this store, not used: {', '.join(idle)}")
    stages = [enabled(stage, config.targets) for stage in stages]
    if asked.trial:
        stages = [stages[0].model_copy(update={"last": 1})]
    weighted = [target.model_copy(update={"weight": stages[0].weights[target.name]}) for target in targets]
    prepared = prepare_training(job.workspace.store, snapshot, config, inputs, weighted, job.registry)
    selection = _selected(allowlist, asked, prepared, snapshot, say)
    judge = make_judge(job, asked, prepared)
    prepared = narrowed(prepared, asked, stages[0], device)
    stages, steps = limit_steps(stages, prepared, asked, device)
    course = make_course(
        prepared, config, stages, steps, device, lr=peak, warmup=config.warm_start.warmup if is_warm else True
    )
    return Undertaking(command, asked, prepared, course, device, judge, selection)


def _selected(
    allowlist: Allowlist | None, asked: Asked, prepared: Prepared, snapshot: Snapshot, say: Say
) -> dict[str, Any] | None:
    """What the manifest says of the selection. Raises DataError for one that has read past the cut, unless allowed."""
    spec, allowed = prepared.spec, asked.allow_selection_overlap
    if not allowed:
        require_before(allowlist, spec.train_end)
    tell_selection(allowlist, snapshot, spec.train_end, [target.name for target in spec.targets], spec.periods, say)
    return selection_facts(allowlist, snapshot, allow_overlap=allowed)


def make_judge(job: Job, asked: Asked, prepared: Prepared) -> Judge:
    """The composite score of these data. Raises ConfigError for a monitor or an entry that cannot be."""
    composite = check_scores(asked, prepared.spec.targets, prepared.spec.periods, job.registry)
    judge = Judge(composite, job.registry, first_process(job.say))
    judge.announce()
    return judge


def check_scores(
    asked: Asked, targets: Sequence[TargetSpec], periods: Sequence[str], registry: Registry
) -> CompositeScore:
    """The composite score of targets and periods. Raises ConfigError for a monitor or an entry that cannot be."""
    kinds = {target.name: target.kind for target in targets}
    levels = {target.name: target.levels for target in targets}
    check_monitor(asked.config, kinds, periods, registry, levels)
    return CompositeScore(asked.composite, kinds, periods, registry, levels)


def _stages(asked: Asked, config: ModelConfig) -> list[Stage]:
    if not asked.plan:
        return whole_training(config, asked.weights, config.max_epochs)
    return planned(config, asked.weights, config.max_epochs, asked.stage)


def limit_steps(
    stages: list[Stage], prepared: Prepared, asked: Asked, device: Device
) -> tuple[list[Stage], int | None]:
    """Stages, and the most steps of an epoch, within `max_steps`: fewer epochs of equal length, but all of a plan.

    Raises ConfigError for a plan of more epochs than steps.
    """
    config, epochs = asked.config, stages[-1].last
    most = 1 if asked.trial else config.max_steps
    if most is None:
        return stages, None
    if len(stages) > 1:
        if most < epochs:
            raise ConfigError(
                f"max_steps: {most} are fewer than the plan's {epochs} epochs", "raise it, or leave it out"
            )
        return stages, most // epochs
    batches = steps_of(prepared, config, stages[0].batch_size, None, device)
    if most >= batches * epochs:
        return stages, None
    epochs = math.ceil(most / batches)
    return [stages[0].model_copy(update={"last": epochs})], most // epochs


def narrowed(prepared: Prepared, asked: Asked, stage: Stage, device: Device) -> Prepared:
    """A trial looks at few windows; overfitting sees a few batches, in training and in validation."""
    if asked.trial:
        return replace(prepared, choosing=prepared.choosing[: 2 * asked.config.batch_size])
    if asked.overfit_batches is None:
        return prepared
    order = train_order(prepared, asked.config, stage.batch_size, None, device.processes)
    few = order.order()[: asked.overfit_batches * stage.batch_size * order.shares.parts].unique().numpy()
    return replace(prepared, splits={**prepared.splits, "train": few}, choosing=few)


def _check_outputs(config: ModelConfig, targets: list[TargetSpec]) -> None:
    needed = [target.outputs for target in targets]
    if config.output_size is not None and config.output_size != needed:
        raise ConfigError(f"output_size: {config.output_size}", f"these losses need {needed}")
