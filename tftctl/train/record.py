"""What a run directory says of itself: resolved configuration, stages, manifest (DESIGN §6)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from tftctl.core.config.loading import dump_yaml
from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.data.assemble import Prepared
from tftctl.plugins import Registry
from tftctl.store import Snapshot
from tftctl.train.device import Device
from tftctl.train.rundir import Run, write_manifest


def record_run(
    run: Run,
    run_id: str,
    snapshot: Snapshot,
    registry: Registry,
    config: ModelConfig,
    weights: WeightsConfig,
    composite: CompositeConfig,
    prepared: Prepared,
    allowlist: list[str] | None,
    device: Device,
    epochs: int,
) -> None:
    """Write configuration, `stages.yaml` and manifest; where that fails, the new directory is removed again."""
    documents: dict[str, BaseModel | Mapping[str, Any]] = {
        "configs/model_config.yaml": config,
        "configs/weights_config.yaml": weights,
        "configs/composite_score.yaml": composite,
        "configs/features.yaml": snapshot.meta("fused").get("config", {}),
        "stages.yaml": _stages(weights, prepared, epochs),
    }
    try:
        for name, document in documents.items():
            (run.root / name).write_text(dump_yaml(document), encoding="utf-8")
        write_manifest(run, run_id, "train", _facts(snapshot, registry, config, prepared, allowlist, device))
    except OSError:
        shutil.rmtree(run.root, ignore_errors=True)
        raise


def _stages(weights: WeightsConfig, prepared: Prepared, epochs: int) -> dict[str, Any]:
    """A plain training has one stage: the first of the file, for all epochs."""
    name = next(iter(weights.root))
    return {name: {"weights": {target.name: target.weight for target in prepared.spec.targets}, "epochs": epochs}}


def _facts(
    snapshot: Snapshot,
    registry: Registry,
    config: ModelConfig,
    prepared: Prepared,
    allowlist: list[str] | None,
    device: Device,
) -> dict[str, Any]:
    plugins = {info.name: f"{info.distribution} {info.version}" for info in registry.plugins if info.status == "ok"}
    origins = {name: int(rows.size) for name, rows in prepared.splits.items()}
    return {
        "snapshot": snapshot.number,
        "data_versions": {name: snapshot.data_version(name) for name in ("fused", "targets")},
        "audit": snapshot.meta("fused").get("audit"),
        "origin": snapshot.meta("fused").get("origin"),
        "selection": allowlist,
        "seed": config.seed,
        "device": asdict(device),
        "plugins": plugins,
        "parent": None,
        "inputs": [item.name for item in prepared.spec.inputs],
        "targets": [target.name for target in prepared.spec.targets],
        "origins": {**origins, "checkpoint_choosing": int(prepared.choosing.size)},
        "left_out": [list(entry) for entry in prepared.left_out],
    }
