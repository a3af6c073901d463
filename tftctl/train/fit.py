"""`tftctl train`: one training, from the store to a run directory."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import Tensor

from tftctl.core.config.loading import dump_yaml
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.core.errors import ConfigError, DataError, choices
from tftctl.core.times import iso
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared, prepare_training
from tftctl.data.inputs import choose_inputs, read_allowlist
from tftctl.data.loaders import ordered_loader, train_loader
from tftctl.data.spec import TargetSpec
from tftctl.model.network import ForecastNetwork
from tftctl.plugins import Registry
from tftctl.store import Snapshot, Store
from tftctl.train.callbacks import EpochLog, checkpoints
from tftctl.train.checkpoint import CheckpointContent, network_shape
from tftctl.train.composite import CompositeScore
from tftctl.train.losses import HybridLoss, choose_targets
from tftctl.train.module import ForecastModule, Scorer
from tftctl.train.predict import forecasts_of
from tftctl.train.quiet import quiet_lightning
from tftctl.train.rundir import Run, create_run, write_manifest
from tftctl.train.scores import metric_key, score_all

Say = Callable[[str], None]


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
) -> TrainResult:
    """Train on the snapshot that the configuration names and write a new run directory.

    Raises DataError when the data cannot make windows, ConfigError for names that do not exist.
    """
    started = time.perf_counter()
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    with store.read(_snapshot_number(config)) as snapshot:
        prepared, allowlist = _prepare(workspace, snapshot, registry, config, weights)
        _tell(prepared, say)
        run = create_run(workspace, "train")
        content = CheckpointContent(config=config, spec=prepared.spec)
        _record(run, snapshot, registry, config, weights, composite, prepared, allowlist)
        say(f"run {run.root.relative_to(workspace.root)}")
        score = _scorer(prepared, CompositeScore(composite, _target_names(prepared), prepared.spec.periods, registry),
                        registry, say)  # fmt: skip
        trainer, module = _fit(run, config, prepared, content, score, registry, say, accelerator)
    return _result(workspace, run, trainer, module, time.perf_counter() - started)


def plan_steps(batches: int, config: ModelConfig) -> Plan:
    """Epochs and steps per epoch; `max_steps` bounds their product, in epochs of equal length."""
    if config.max_steps is None or config.max_steps >= batches * config.max_epochs:
        return Plan(config.max_epochs, batches)
    epochs = math.ceil(config.max_steps / batches)
    return Plan(epochs, config.max_steps // epochs)


def _snapshot_number(config: ModelConfig) -> int | None:
    if config.data_path is None or isinstance(config.data_path, int):
        return config.data_path
    raise ConfigError(
        f"data_path: {config.data_path!r} is not a snapshot number",
        "adopt a long table first (tftctl data import --as fused FILE), then leave data_path null",
    )


def _prepare(
    workspace: Workspace, snapshot: Snapshot, registry: Registry, config: ModelConfig, weights: WeightsConfig
) -> tuple[Prepared, list[str] | None]:
    if not (snapshot.has("fused") and snapshot.has("targets")):
        first = "tftctl features build" if snapshot.has("bars") else "tftctl data import FILES, then features build"
        raise DataError("there are no features and targets to train on", f"make them: {first}")
    described = snapshot.meta("targets").get("targets", {})
    targets = _weighted(choose_targets(config.targets, described, config, registry), weights, config)
    allowlist = read_allowlist(workspace.configs / "selected_features.txt")
    inputs = choose_inputs(snapshot.meta("fused").get("columns", {}), config.inputs, allowlist)
    return prepare_training(workspace.store, snapshot, config, inputs, targets, registry), allowlist


def _weighted(targets: list[TargetSpec], weights: WeightsConfig, config: ModelConfig) -> list[TargetSpec]:
    """Targets with the weights of the first stage; a target that it does not name weighs 1."""
    stage = weights.first_stage
    if config.output_size is not None and config.output_size != [target.outputs for target in targets]:
        raise ConfigError(
            f"output_size: {config.output_size}", f"these losses need {[target.outputs for target in targets]}"
        )
    weighted = [target.model_copy(update={"weight": stage.get(target.name, 1.0)}) for target in targets]
    if not any(target.weight for target in weighted):
        raise ConfigError("weights_config.yaml gives every enabled target the weight 0", choices("", stage, "targets"))
    return weighted


def _target_names(prepared: Prepared) -> list[str]:
    return [target.name for target in prepared.spec.targets]


def _tell(prepared: Prepared, say: Say) -> None:
    spec = prepared.spec
    sizes = ", ".join(f"{rows.size:,} {name}" for name, rows in prepared.splits.items())
    say(f"{len(spec.inputs)} inputs, {len(spec.targets)} targets, {len(spec.groups)} groups; origins: {sizes}")
    say(f"training ends {iso(spec.train_end)}, validation {iso(spec.val_end)}")
    train_rows = prepared.splits["train"]
    period = np.array([prepared.panel.groups[g].period for g in prepared.panel.group[train_rows]])
    say("training origins per period: " + ", ".join(f"{p} {int((period == p).sum()):,}" for p in spec.periods))
    reasons: dict[str, dict[tuple[str, int], list[str]]] = {}
    for reason, symbol, name, rows in prepared.left_out:
        reasons.setdefault(reason, {}).setdefault((name, rows), []).append(symbol)
    for reason, groups in reasons.items():
        say(f"left out ({reason}): " + "; ".join(_counted(*key, symbols) for key, symbols in groups.items()))


def _counted(period: str, rows: int, symbols: list[str]) -> str:
    """`1h 23 (BTCUSDT)`, `1h 23 each (BTCUSDT, ETHUSDT)`."""
    return f"{period} {rows:,}{' each' if len(symbols) > 1 else ''} ({', '.join(symbols)})"


def _record(
    run: Run,
    snapshot: Snapshot,
    registry: Registry,
    config: ModelConfig,
    weights: WeightsConfig,
    composite: CompositeConfig,
    prepared: Prepared,
    allowlist: list[str] | None,
) -> None:
    for name, model in (("model_config", config), ("weights_config", weights), ("composite_score", composite)):
        (run.root / "configs" / f"{name}.yaml").write_text(dump_yaml(model), encoding="utf-8")
    (run.root / "configs" / "features.yaml").write_text(dump_yaml(snapshot.meta("fused").get("config", {})))
    plugins = {info.name: f"{info.distribution} {info.version}" for info in registry.plugins if info.status == "ok"}
    write_manifest(
        run,
        "train",
        {
            "snapshot": snapshot.number,
            "data_versions": {name: snapshot.data_version(name) for name in ("fused", "targets")},
            "audit": snapshot.meta("fused").get("audit"),
            "origin": snapshot.meta("fused").get("origin"),
            "selection": allowlist,
            "seed": config.seed,
            "plugins": plugins,
            "parent": None,
            "inputs": [item.name for item in prepared.spec.inputs],
            "targets": _target_names(prepared),
            "origins": {name: int(rows.size) for name, rows in prepared.splits.items()},
            "left_out": [list(entry) for entry in prepared.left_out],
        },
    )


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


def _fit(
    run: Run,
    config: ModelConfig,
    prepared: Prepared,
    content: CheckpointContent,
    score: Scorer,
    registry: Registry,
    say: Say,
    accelerator: str,
) -> tuple[lightning.Trainer, ForecastModule]:
    workers = 0 if config.num_workers == "auto" else config.num_workers
    batches = train_loader(
        prepared.source, torch.from_numpy(prepared.splits["train"]), config.batch_size, config.seed, workers
    )
    plan = plan_steps(len(batches), config)
    spec = prepared.spec
    loss = HybridLoss(spec.targets, spec.periods, config.uncertainty == "learned", registry)
    with quiet_lightning():
        network = ForecastNetwork(network_shape(config, spec))
        module = ForecastModule(network, loss, config, plan.epochs * plan.steps, score)
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            precision=_precision(config, accelerator),  # type: ignore[arg-type]
            max_epochs=plan.epochs,
            limit_train_batches=plan.steps,
            gradient_clip_val=config.gradient_clip_val or None,
            callbacks=[*checkpoints(run, config, content), EpochLog(run, say)],
            logger=_logger(run),
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic="warn",
        )
        validation = ordered_loader(prepared.source, torch.from_numpy(prepared.splits["val"]), 512)
        _run(trainer, module, batches, validation, run, say)
    return trainer, module


def _run(trainer: lightning.Trainer, module: ForecastModule, batches: Any, validation: Any, run: Run, say: Say) -> None:
    """Fit; Ctrl-C leaves the checkpoints of finished epochs and ends the command as interrupted."""
    try:
        trainer.fit(module, batches, validation)
    except SystemExit:
        if not trainer.interrupted:
            raise
        say(f"stopped; what finished epochs left is in {run.root}")
        raise KeyboardInterrupt from None


def _precision(config: ModelConfig, accelerator: str) -> str:
    """`auto`: bf16 where a GPU computes in it, 32 bits otherwise."""
    if config.precision != "auto":
        return config.precision
    cuda = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if cuda and torch.cuda.is_bf16_supported() else "32-true"


def _logger(run: Run) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(run.root / "lightning_logs", name="", version="", default_hp_metric=False)


def _result(
    workspace: Workspace, run: Run, trainer: lightning.Trainer, module: ForecastModule, seconds: float
) -> TrainResult:
    keeper = trainer.checkpoint_callback
    best = Path(keeper.best_model_path) if keeper is not None and keeper.best_model_path else None  # type: ignore[attr-defined]
    last = run.checkpoints / "last.ckpt"
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()] if run.metrics.exists() else []
    scores = [row for row in rows if row.get("val_composite_score") is not None]
    top: dict[str, Any] = max(scores, key=lambda row: row["val_composite_score"], default={})
    return TrainResult(
        run=run.name,
        best_checkpoint=str(best.relative_to(workspace.root)) if best else None,
        last_checkpoint=str(last.relative_to(workspace.root)) if last.is_file() else None,
        epochs=len(rows),
        val_composite_score=top.get("val_composite_score"),
        val_loss=top.get("val_loss"),
        seconds=round(seconds, 3),
    )
