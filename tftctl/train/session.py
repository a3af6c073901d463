"""One training from its undertaking to a run directory: devices, module, outputs, and what ends it."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric, seed_everything

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError, UsageError
from tftctl.core.progress import Say, unwatched
from tftctl.core.workspace import Workspace
from tftctl.store import Snapshot
from tftctl.train.checkpoint import CheckpointContent, Progress, network_shape
from tftctl.train.curves import best_row, read_rows
from tftctl.train.device import looking_batch
from tftctl.train.keeper import LAST, Keeper
from tftctl.train.loop import Interrupted, TrainingLoop
from tftctl.train.module import ForecastModule
from tftctl.train.parts import Ears, Outputs
from tftctl.train.quiet import quiet_lightning
from tftctl.train.record import Ancestry, record_run
from tftctl.train.recorder import Recorder, read_stage_log
from tftctl.train.rundir import Run, create_run
from tftctl.train.setup import check_frozen, launch, make_module, set_up
from tftctl.train.signals import Stopper, enough_memory
from tftctl.train.undertaking import Job, TrainResult, Undertaking, nobody


def carry_out(job: Job, undertaking: Undertaking, snapshot: Snapshot) -> TrainResult:
    """Train: make the run, and leave in it what is found."""
    if undertaking.asked.trial:
        with tempfile.TemporaryDirectory(prefix="tftctl-") as folder:
            result = _carry_out(job, undertaking, snapshot, Workspace(Path(folder)))
        return replace(result, run=None, best_checkpoint=None, last_checkpoint=None)
    return _carry_out(job, undertaking, snapshot, job.workspace)


def _carry_out(job: Job, undertaking: Undertaking, snapshot: Snapshot, home: Workspace) -> TrainResult:
    started = time.perf_counter()
    config, prepared = undertaking.asked.config, undertaking.prepared
    fabric = launch(config, undertaking.device, undertaking.course.stages)
    if fabric.broadcast(snapshot.number) != snapshot.number:
        raise DataError("the store has changed while the processes of the training began", "start it again")
    say = job.say if fabric.is_global_zero else nobody
    with reproducible(config.seed):
        module = make_module(config, prepared.spec, job.registry)
        check_frozen(module, config, undertaking.course.stages)
        read_stage_log(_stage_log(home, undertaking, ""))
        undertaking, facts = _begin_with(undertaking, module, say)
        run = _new_run(fabric, home, undertaking.command)
        content = _content(undertaking, run, snapshot)
        if fabric.is_global_zero:
            _record(job, undertaking, run, content, snapshot, facts)
            if not undertaking.asked.trial:
                say(f"run {run.root.relative_to(home.root)}")
        loop = _loop(job, home, undertaking, fabric, module, run, content, say)
        _run(loop, undertaking, run, say)
    if not fabric.is_global_zero:
        raise SystemExit(0)  # the first process has the result
    return result_of(home, run, config, time.perf_counter() - started)


def _new_run(fabric: Fabric, home: Workspace, command: str) -> Run:
    """The run that the first process has made, in all of them."""
    made = create_run(home, command) if fabric.is_global_zero else None
    return cast(Run, fabric.broadcast(made))


def _loop(
    job: Job,
    home: Workspace,
    undertaking: Undertaking,
    fabric: Fabric,
    module: ForecastModule,
    run: Run,
    content: CheckpointContent,
    say: Say,
) -> TrainingLoop:
    config, prepared, course = undertaking.asked.config, undertaking.prepared, undertaking.course
    shape = network_shape(config, prepared.spec)
    with quiet_lightning():
        parts = set_up(fabric, module, config, course)
    outputs = _outputs(home, undertaking, run, content) if fabric.is_global_zero else None
    watch = job.watch if fabric.is_global_zero else unwatched
    looking = looking_batch(shape, undertaking.device.accelerator == "cuda")
    loop = TrainingLoop(parts, prepared, content, undertaking.judge, outputs, Ears(say, watch, Stopper(say)), looking)
    if undertaking.command == "resume" and undertaking.loaded is not None:
        loop.enter(min(content.progress.epoch, course.epochs - 1))
        loop.load(undertaking.loaded)
    return loop


def _outputs(home: Workspace, undertaking: Undertaking, run: Run, content: CheckpointContent) -> Outputs:
    asked = undertaking.asked
    units = {target.name: target.unit for target in content.spec.targets}
    recorder = Recorder(run, content.course.stages, _stage_log(home, undertaking, run.name), units)
    keeper = Keeper(run.checkpoints, asked.config, content.progress.kept)
    if undertaking.command == "resume" and undertaking.parent is not None:
        rows = read_rows(undertaking.parent)
        recorder.inherit(row for row in rows if row["epoch"] < content.progress.epoch)
        keeper.inherit(undertaking.parent.checkpoints)
    recorder.write_stages(content.progress.stages)
    return Outputs(keeper, recorder)


def _stage_log(home: Workspace, undertaking: Undertaking, run: str) -> Path:
    """The file of its stages: the run's own where no name was given. Raises UsageError for a name that is a path."""
    name = undertaking.asked.log_name or run
    if name != Path(name).name:
        raise UsageError(f"--log-name {name}: it is a file in stage_logs/, without a folder", "leave the folder out")
    return home.root / "stage_logs" / f"{name}.yaml"


def _run(loop: TrainingLoop, undertaking: Undertaking, run: Run, say: Say) -> None:
    """Train; Ctrl-C, too little memory and a full disk leave the checkpoints that there are."""
    config = undertaking.asked.config
    kept = "what finished epochs left is in" if undertaking.asked.trial is False else "nothing is kept in"
    advice = f"lower batch_size (now {config.batch_size}), then hidden_size or max_encoder_length; {kept} {run.root}"
    try:
        with loop.ears.stopper.listening(), enough_memory(advice):
            loop.run()
    except Interrupted:
        at = f"epoch {loop.progress.epoch + 1}, step {loop.progress.step}"
        say(
            f"stopped at {at}; "
            + ("nothing is kept" if undertaking.asked.trial else f"go on with: tftctl resume {run.name}")
        )
        raise KeyboardInterrupt from None
    except OSError as error:
        raise DataError(
            f"{error.filename or run.root}: {error.strerror or error}",
            f"what finished epochs left is in {run.root}; make room there, then: tftctl resume {run.name}",
        ) from error
    finally:
        if loop.outputs is not None:
            loop.outputs.recorder.close()


def _begin_with(undertaking: Undertaking, module: ForecastModule, say: Say) -> tuple[Undertaking, dict[str, Any]]:
    """A warm start's weights, the rate of what is fresh, and facts for the manifest."""
    if undertaking.command != "warm-start" or undertaking.loaded is None:
        return undertaking, {}
    from tftctl.train.transplant import transplant

    report = transplant(undertaking.loaded, module, undertaking.prepared.spec)
    for line in report.lines():
        say(line)
    config, course = undertaking.asked.config, undertaking.course
    rates = {"fresh": report.untouched, "fresh_scale": (config.warm_start.fresh_lr or config.lr) / course.lr}
    return replace(undertaking, course=course.model_copy(update=rates)), {"warm_start": report.document()}


def _content(undertaking: Undertaking, run: Run, snapshot: Snapshot) -> CheckpointContent:
    asked, loaded = undertaking.asked, undertaking.loaded
    resumed = undertaking.command == "resume" and loaded is not None
    return CheckpointContent(
        run=run.name,
        run_id=uuid.uuid4().hex,
        config=asked.config,
        spec=undertaking.prepared.spec,
        weights=asked.weights,
        composite=asked.composite,
        course=undertaking.course,
        progress=loaded.content.progress if resumed and loaded else Progress(),
        data_versions=data_versions(snapshot),
        devices=undertaking.device.processes,
    )


def _record(
    job: Job,
    undertaking: Undertaking,
    run: Run,
    content: CheckpointContent,
    snapshot: Snapshot,
    facts: Mapping[str, Any],
) -> None:
    ancestry = Ancestry.of(undertaking.parent, undertaking.loaded)
    asked = undertaking.asked
    options = {"stage_plan": asked.plan, "overfit_batches": asked.overfit_batches, "log_name": asked.log_name}
    record_run(
        run, undertaking.command, content, snapshot, job.registry, undertaking.prepared, undertaking.selection,
        undertaking.device, ancestry, {**options, **facts}, allow_unaudited=asked.allow_unaudited,
    )  # fmt: skip


def data_versions(snapshot: Snapshot) -> dict[str, str]:
    """Digests of the tables that a training reads."""
    return {name: snapshot.data_version(name) for name in ("fused", "targets")}


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed every generator; operations without a deterministic form warn meanwhile."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    seed_everything(seed, workers=True, verbose=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def result_of(workspace: Workspace, run: Run, config: ModelConfig, seconds: float) -> TrainResult:
    """Best and last of a run's epochs."""
    rows = read_rows(run)
    top = best_row(rows, config.monitor, config.monitor_mode)
    best = next(run.checkpoints.glob(f"epoch={top['epoch']:03d}-*.ckpt"), None) if top else None
    last = run.checkpoints / LAST
    return TrainResult(
        run=run.name,
        best_checkpoint=_within(workspace, best),
        last_checkpoint=_within(workspace, last if last.is_file() else None),
        epochs=len(rows),
        val_composite_score=top.get("val_composite_score"),
        val_loss=top.get("val_loss"),
        seconds=round(seconds, 3),
    )


def _within(workspace: Workspace, path: Path | None) -> str | None:
    return str(path.relative_to(workspace.root)) if path else None
