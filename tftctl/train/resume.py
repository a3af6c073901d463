"""`tftctl resume`: a training goes on as if it had never stopped, in a run of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, DataError, UsageError
from tftctl.core.progress import Say
from tftctl.data.allowlist import PLACE, workspace_allowlist
from tftctl.data.assemble import Prepared, prepare_again
from tftctl.data.inputs import choose_inputs
from tftctl.store import Snapshot
from tftctl.train.audited import was_allowed
from tftctl.train.checkpoint import CheckpointContent, Course, LoadedCheckpoint, Progress
from tftctl.train.course import steps_of
from tftctl.train.device import Device, choose_device
from tftctl.train.fit import make_judge, narrowed
from tftctl.train.rundir import Run
from tftctl.train.session import carry_out, data_versions
from tftctl.train.undertaking import Asked, Job, TrainResult, Undertaking, first_process

# where these differ, the given value is used: they change no number of an epoch
FREE = (
    "max_epochs", "num_workers", "checkpoint_every_steps", "top_k", "save_last", "plot_every_n_epochs",
    "early_stopping", "strategy", "resume_ckpt", "warm_start_ckpt", "warm_start",
)  # fmt: skip
# where these differ, the checkpoint's value is used, with a warning
SCHEDULE = (
    "seed", "batch_size", "max_steps", "balance", "accumulate_grad_batches", "optimizer", "lr", "weight_decay",
    "gradient_clip_val", "schedule", "onecycle", "cosine", "ema_decay", "freeze", "unfreeze_at_epoch", "uncertainty",
    "pos_weight", "precision", "monitor", "monitor_mode", "devices", "num_nodes",
)  # fmt: skip


def resume(
    job: Job, loaded: LoadedCheckpoint, parent: Run | None, given: ModelConfig | None, *, whole: bool = True
) -> TrainResult:
    """Continue a training exactly: optimiser, schedule, stage, generators, order, best scores.

    `given` is a configuration that the user has named, None to take the checkpoint's; `whole`: a whole one, that is
    compared together with the workspace's allowlist, and not the checkpoint's with changes. Inputs, cut and so the
    selection are the parent's, whatever the allowlist says now. Raises ConfigError where data, features or the shape
    of the network differ from the checkpoint's, DataError where the store does, UsageError when there is nothing left
    to train.
    """
    content, say = loaded.content, first_process(job.say)
    config = content.config if given is None else merged(content, given, say)
    if parent is None:
        raise DataError(
            f"{loaded.path}: its run {content.run} is not in this workspace", "its curve is part of what goes on"
        )
    with job.store.read(content.spec.snapshot) as snapshot:
        _check_data(content, snapshot)
        if given is not None and whole:
            _check_inputs(job, content, config, snapshot)
        prepared = prepare_again(job.store.root, snapshot, content.spec, job.registry)
        device = choose_device(job.accelerator, config)
        _check_devices(content, device)
        asked = Asked(
            config, content.weights, content.composite, plan=len(content.course.stages) > 1,
            log_name=parent.manifest.get("log_name"), overfit_batches=parent.manifest.get("overfit_batches"),
            allow_unaudited=was_allowed(parent.manifest),
        )  # fmt: skip
        prepared = narrowed(prepared, asked, content.course.stages[0], device)
        course = extended(content, config, prepared, device, say)
        _check_what_is_left(content.progress, config, course, parent.name)
        loaded = _not_stopped(loaded)
        judge = make_judge(job, asked, prepared)
        judge.composite.remove(content.progress.removed)
        at = f"epoch {content.progress.epoch + 1} of {course.epochs}, step {content.progress.step}"
        say(f"resuming {parent.name} at {at}, on snapshot {content.spec.snapshot}")
        return carry_out(
            job,
            Undertaking(
                "resume", asked, prepared, course, device, judge, parent.manifest.get("selection"), loaded, parent
            ),
            snapshot,
        )


def merged(content: CheckpointContent, given: ModelConfig, say: Say) -> ModelConfig:
    """The configuration to go on with. Raises ConfigError with every difference in data, features or shape."""
    saved = content.config
    different = {
        name: (getattr(saved, name), getattr(given, name))
        for name in ModelConfig.model_fields
        if getattr(saved, name) != getattr(given, name)
    }
    if given.data_path == content.spec.snapshot:
        different.pop("data_path", None)
    refused = {name: values for name, values in different.items() if name not in (*FREE, *SCHEDULE)}
    if refused:
        raise ConfigError(
            f"the checkpoint of {content.run} was trained with another {_listed(refused)}",
            "resume with its own configuration (tftctl resume RUN), or begin a new training from its weights: "
            "tftctl warm-start",
        )
    ignored = {name: values for name, values in different.items() if name in SCHEDULE}
    if ignored:
        say(f"warning: resuming keeps the checkpoint's {_listed(ignored)}; its values win")
    return saved.model_copy(update={name: getattr(given, name) for name in FREE})


def extended(content: CheckpointContent, config: ModelConfig, prepared: Prepared, device: Device, say: Say) -> Course:
    """The course to the `max_epochs` of the configuration, where they are not the checkpoint's."""
    course = content.course
    if config.max_epochs == content.config.max_epochs:
        return course
    epochs = config.max_epochs
    stages = [
        stage.model_copy(update={"last": epochs if stage is course.stages[-1] else min(stage.last, epochs)})
        for stage in course.stages
        if stage.first < epochs
    ]
    steps = sum(
        stage.epochs * steps_of(prepared, config, stage.batch_size, course.steps_per_epoch, device) for stage in stages
    )
    if epochs > course.epochs:
        say(f"warning: max_epochs {epochs} wins over the checkpoint's {course.epochs}: the epochs beyond its schedule "
            "are trained at the rate where that ends")  # fmt: skip
    else:
        say(f"warning: max_epochs {epochs} wins over the checkpoint's {course.epochs}: the training ends before its "
            "schedule does")  # fmt: skip
    return course.model_copy(update={"stages": stages, "epochs": epochs, "steps": steps})


def _check_data(content: CheckpointContent, snapshot: Snapshot) -> None:
    now = data_versions(snapshot)
    changed = [name for name, version in content.data_versions.items() if now.get(name) != version]
    if changed:
        raise DataError(
            f"snapshot {snapshot.number} has another {' and another '.join(changed)} table than {content.run} was "
            "trained on",
            "this is another store; a new training can begin from the weights: tftctl warm-start",
        )


def _check_inputs(job: Job, content: CheckpointContent, config: ModelConfig, snapshot: Snapshot) -> None:
    """The configuration that was named would choose the same inputs, the allowlist of the workspace included."""
    allowlist = workspace_allowlist(job.workspace)
    listed = allowlist.names if allowlist else None
    chosen = choose_inputs(snapshot.meta("fused").get("columns", {}), config.inputs, listed)
    now, before = [item.name for item in chosen], [item.name for item in content.spec.inputs]
    if now != before:
        more, fewer = [name for name in now if name not in before], [name for name in before if name not in now]
        raise ConfigError(
            f"the checkpoint of {content.run} has other inputs: {PLACE} and reals "
            f"add {_names(more)} and drop {_names(fewer)}",
            "resume with its own configuration (tftctl resume RUN), or: tftctl warm-start",
        )


def _check_devices(content: CheckpointContent, device: Device) -> None:
    if device.processes != content.devices:
        raise ConfigError(
            f"{content.run} was trained by {content.devices} processes, not by {device.processes}",
            "their number is part of a batch; resume with as many devices and num_nodes",
        )


def _check_what_is_left(progress: Progress, config: ModelConfig, course: Course, name: str) -> None:
    """Raise UsageError for a training that early stopping has ended, and still would, and for a finished one."""
    patience = config.early_stopping
    if progress.stopped and patience is not None and progress.waited >= patience.patience:
        raise UsageError(
            f"{name} stopped early at epoch {progress.epoch}",
            f"go on all the same: tftctl resume {name} -o early_stopping=null",
        )
    if progress.epoch >= course.epochs:
        raise UsageError(
            f"{name} has finished its {progress.epoch} epochs",
            f"train longer: tftctl resume {name} -o max_epochs={2 * progress.epoch}",
        )


def _not_stopped(loaded: LoadedCheckpoint) -> LoadedCheckpoint:
    """A training that goes on has not been ended by early stopping, whatever its checkpoint says."""
    progress = loaded.content.progress.model_copy(update={"stopped": False})
    return replace(loaded, content=loaded.content.model_copy(update={"progress": progress}))


def _listed(different: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name} ({_shown(saved)}, not {_shown(given)})" for name, (saved, given) in different.items())


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"
