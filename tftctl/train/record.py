"""What a run directory says of itself: resolved configuration and manifest (DESIGN §6)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from tftctl.core.config.loading import dump_yaml
from tftctl.data.assemble import Prepared
from tftctl.plugins import Registry
from tftctl.store import Snapshot
from tftctl.train.audited import audit_facts
from tftctl.train.checkpoint import CheckpointContent, LoadedCheckpoint
from tftctl.train.device import Device
from tftctl.train.rundir import Run, write_manifest


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The run that another begins with: its name, the checkpoint, and the ids of it and of those before it."""

    parent: str | None = None
    checkpoint: str | None = None
    lineage: tuple[str, ...] = ()

    @classmethod
    def of(cls, parent: Run | None, loaded: LoadedCheckpoint | None) -> Ancestry:
        """Of a run that is there, or of a checkpoint whose run is not."""
        if loaded is None:
            return cls()
        lineage = (loaded.content.run_id, *(parent.manifest.get("lineage", ()) if parent else ()))
        return cls(loaded.content.run, loaded.path.name, tuple(lineage))


def record_run(
    run: Run,
    command: str,
    content: CheckpointContent,
    snapshot: Snapshot,
    registry: Registry,
    prepared: Prepared,
    selection: Mapping[str, Any] | list[str] | None,
    device: Device,
    ancestry: Ancestry,
    options: Mapping[str, Any],
    *,
    allow_unaudited: bool,
) -> None:
    """Write configuration and manifest; where that fails, the new directory is removed again."""
    documents: dict[str, BaseModel | Mapping[str, Any]] = {
        "model_config.yaml": content.config,
        "weights_config.yaml": content.weights,
        "composite_score.yaml": content.composite,
        "features.yaml": snapshot.meta("fused").get("config", {}),
    }
    facts = _facts(content, snapshot, registry, prepared, selection, device, ancestry)
    facts["audit"] = audit_facts(snapshot, allow_unaudited=allow_unaudited)
    try:
        for name, document in documents.items():
            (run.root / "configs" / name).write_text(dump_yaml(document), encoding="utf-8")
        write_manifest(run, content.run_id, command, {**facts, **options})
    except OSError:
        shutil.rmtree(run.root, ignore_errors=True)
        raise


def _facts(
    content: CheckpointContent,
    snapshot: Snapshot,
    registry: Registry,
    prepared: Prepared,
    selection: Mapping[str, Any] | list[str] | None,
    device: Device,
    ancestry: Ancestry,
) -> dict[str, Any]:
    plugins = {info.name: f"{info.distribution} {info.version}" for info in registry.plugins if info.status == "ok"}
    origins = {name: int(rows.size) for name, rows in prepared.splits.items()}
    return {
        "snapshot": snapshot.number,
        "data_versions": content.data_versions,
        "origin": snapshot.meta("fused").get("origin"),
        "selection": selection,
        "seed": content.config.seed,
        "device": asdict(device),
        "plugins": plugins,
        **asdict(ancestry),
        "inputs": [item.name for item in prepared.spec.inputs],
        "targets": [target.name for target in prepared.spec.targets],
        "origins": {**origins, "checkpoint_choosing": int(prepared.choosing.size)},
        "left_out": [list(entry) for entry in prepared.left_out],
        "epochs": content.course.epochs,
        "steps": content.course.steps,
    }
