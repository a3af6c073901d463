"""`tftctl train`: one training, from the store to a run directory."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.errors import ConfigError, DataError
from tftctl.core.progress import Report, Say, silent
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared, prepare_training
from tftctl.data.inputs import choose_inputs, read_allowlist
from tftctl.data.loaders import ordered_loader, train_loader
from tftctl.data.source import require_tables, snapshot_number
from tftctl.data.spec import TargetSpec
from tftctl.model.network import ForecastNetwork
from tftctl.plugins import Registry
from tftctl.store import Snapshot, Store
from tftctl.train.announce import announce
from tftctl.train.callbacks import EpochLog, StepProgress, checkpoints
from tftctl.train.checkpoint import CheckpointContent, network_shape
from tftctl.train.composite import CompositeScore
from tftctl.train.device import Device, choose_device, looking_batch
from tftctl.train.hybrid import HybridLoss
from tftctl.train.losses import choose_targets
from tftctl.train.module import ForecastModule, Scorer
from tftctl.train.monitor import check_monitor
from tftctl.train.predict import forecasts_of
from tftctl.train.quiet import quiet_lightning
from tftctl.train.record import record_run
from tftctl.train.rundir import Run, create_run
from tftctl.train.scores import metric_key, score_all
from tftctl.train.stages import weigh


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training leaves behind; paths are relative to the workspace."""

    run: str
    best_checkpoint: str | None
    last_checkpoint: str | None
    epochs: int
    val_composite_score: float | None
    val_loss: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How many steps a training takes: `epochs` of `steps` each."""

    epochs: int
    steps: int


def train(
    workspace: Workspace,
    store: Store,
    registry: Registry,
    config: ModelConfig,
    weights: WeightsConfig,
    composite: CompositeConfig,
    say: Say,
    accelerator: str = "auto",
    report: Report = silent,
) -> TrainResult:
    """Train on the snapshot that the configuration names and write a new run directory.

    Everything that can be wrong with the configuration is found before there is a run directory. Raises DataError
    when the data cannot make windows or the run cannot be written, ConfigError for names that do not exist.
    """
    started = time.perf_counter()
    device = choose_device(accelerator, config.precision)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    with store.read(snapshot_number(config)) as snapshot:
        prepared, allowlist = _prepare(workspace, snapshot, registry, config, weights, say)
        spec = prepared.spec
        kinds = {target.name: target.kind for target in spec.targets}
        levels = {target.name: target.levels for target in spec.targets}
        check_monitor(config, kinds, spec.periods, registry, levels)
        score = _scorer(prepared, CompositeScore(composite, kinds, spec.periods, registry, levels), registry, say)
        loss = HybridLoss(spec.targets, spec.periods, config.uncertainty == "learned", registry)
        batches = _batches(config, prepared)
        plan = plan_steps(len(batches), config)
        announce(prepared, say)
        run, run_id = create_run(workspace, "train"), uuid.uuid4().hex
        record_run(
            run, run_id, snapshot, registry, config, weights, composite, prepared, allowlist, device, plan.epochs
        )
        say(f"run {run.root.relative_to(workspace.root)}")
        content = CheckpointContent(run=run.name, run_id=run_id, config=config, spec=spec)
        _fit(run, config, prepared, content, loss, batches, plan, score, device, say, report)
    return _result(workspace, run, config, time.perf_counter() - started)


def plan_steps(batches: int, config: ModelConfig) -> Plan:
    """Epochs and steps per epoch; `max_steps` bounds their product, in epochs of equal length."""
    if config.max_steps is None or config.max_steps >= batches * config.max_epochs:
        return Plan(config.max_epochs, batches)
    epochs = math.ceil(config.max_steps / batches)
    return Plan(epochs, config.max_steps // epochs)


def _prepare(
    workspace: Workspace, snapshot: Snapshot, registry: Registry, config: ModelConfig, weights: WeightsConfig, say: Say
) -> tuple[Prepared, list[str] | None]:
    require_tables(snapshot)
    described = snapshot.meta("targets").get("targets", {})
    targets, idle = weigh(choose_targets(config.targets, described, config, registry), weights, described, registry)
    if idle:
        say(f"weights_config.yaml: not in this store, not used: {', '.join(idle)}")
    _check_outputs(config, targets)
    allowlist = read_allowlist(workspace.configs / "selected_features.txt")
    inputs = choose_inputs(snapshot.meta("fused").get("columns", {}), config.inputs, allowlist)
    return prepare_training(workspace.store, snapshot, config, inputs, targets, registry), allowlist


def _check_outputs(config: ModelConfig, targets: list[TargetSpec]) -> None:
    needed = [target.outputs for target in targets]
    if config.output_size is not None and config.output_size != needed:
        raise ConfigError(f"output_size: {config.output_size}", f"these losses need {needed}")


def _scorer(prepared: Prepared, composite: CompositeScore, registry: Registry, say: Say) -> Scorer:
    """Every metric and the composite score of one validation; entries that the data leave undefined go once."""
    if composite.removed:
        say(f"composite score: left out, not in these data: {', '.join(composite.removed)}")

    def score(origins: Tensor, forecasts: Tensor, values: Mapping[str, float]) -> dict[str, float]:
        found = forecasts_of(prepared, origins.numpy(), forecasts.numpy())
        scores = {metric_key(t, m, p): value for (t, p, m), value in score_all(found, registry).items()}
        undefined = composite.remove_undefined({**values, **scores})
        if undefined:
            say(f"composite score: left out, undefined in these data: {', '.join(undefined)}")
        return {**scores, "val_composite_score": composite.score({**values, **scores})}

    return score


def _batches(config: ModelConfig, prepared: Prepared) -> Any:
    workers = 0 if config.num_workers == "auto" else config.num_workers
    origins = torch.from_numpy(prepared.splits["train"])
    return train_loader(prepared.source, origins, config.batch_size, config.seed, workers)


def _fit(
    run: Run,
    config: ModelConfig,
    prepared: Prepared,
    content: CheckpointContent,
    loss: HybridLoss,
    batches: Any,
    plan: Plan,
    score: Scorer,
    device: Device,
    say: Say,
    report: Report,
) -> None:
    shape = network_shape(config, prepared.spec)
    with quiet_lightning():
        network = ForecastNetwork(shape)
        module = ForecastModule(network, loss, config, plan.epochs * plan.steps, score)
        trainer = lightning.Trainer(
            accelerator=device.accelerator,
            devices=1,
            precision=device.precision,  # type: ignore[arg-type]
            max_epochs=plan.epochs,
            limit_train_batches=plan.steps,
            gradient_clip_val=config.gradient_clip_val or None,
            callbacks=[*checkpoints(run, config, content), EpochLog(run, say), StepProgress(report, plan.steps)],
            logger=_logger(run),
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic="warn",
        )
        size = looking_batch(shape, device.accelerator == "cuda")
        validation = ordered_loader(prepared.source, torch.from_numpy(prepared.choosing), size)
        _run(trainer, module, batches, validation, run, say)


def _run(trainer: lightning.Trainer, module: ForecastModule, batches: Any, validation: Any, run: Run, say: Say) -> None:
    """Fit; Ctrl-C and a full disk leave the checkpoints of finished epochs."""
    try:
        trainer.fit(module, batches, validation)
    except SystemExit:
        if not trainer.interrupted:
            raise
        say(f"stopped; what finished epochs left is in {run.root}")
        raise KeyboardInterrupt from None
    except OSError as error:
        raise DataError(
            f"{error.filename or run.root}: {error.strerror or error}",
            f"what finished epochs left is in {run.root}; make room there, then train again",
        ) from error


def _logger(run: Run) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(run.root / "lightning_logs", name="", version="", default_hp_metric=False)


def _result(workspace: Workspace, run: Run, config: ModelConfig, seconds: float) -> TrainResult:
    rows = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    top = best_row(rows, config)
    best = next(run.checkpoints.glob(f"epoch={top['epoch']:03d}-*.ckpt"), None) if top else None
    last = run.checkpoints / "last.ckpt"
    return TrainResult(
        run=run.name,
        best_checkpoint=_within(workspace, best),
        last_checkpoint=_within(workspace, last if last.is_file() else None),
        epochs=len(rows),
        val_composite_score=top.get("val_composite_score"),
        val_loss=top.get("val_loss"),
        seconds=round(seconds, 3),
    )


def best_row(rows: list[dict[str, Any]], config: ModelConfig) -> dict[str, Any]:
    """The epoch that the monitored value calls best, the earlier of equal ones; empty where it is never defined."""
    sign = 1 if config.monitor_mode == "max" else -1
    defined = [row for row in rows if row.get(config.monitor) is not None]
    return max(defined, key=lambda row: sign * row[config.monitor], default={})


def _within(workspace: Workspace, path: Path | None) -> str | None:
    return str(path.relative_to(workspace.root)) if path else None
