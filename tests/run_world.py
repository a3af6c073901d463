"""Run directories made by hand: manifest, metrics.jsonl, event file, checkpoints, configuration; no training."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace

TARGETS = ("target_logreturn", "target_binarytrend")
DAY_MS = 86_400_000
Row = dict[str, Any]


def rows_of(scores: Sequence[float | None], *, losses: Sequence[float] | None = None, stages: int = 1) -> list[Row]:
    """Rows of metrics.jsonl: one per score; epochs are divided evenly over stages, with falling weights."""
    made = []
    for epoch, score in enumerate(scores):
        stage = epoch * stages // len(scores)
        row: Row = {"epoch": epoch, "step": 10 * (epoch + 1), "stage": f"stage_{stage + 1}", "lr": 0.01 / (epoch + 1)}
        for place, name in enumerate(TARGETS):
            row[f"weight_{name}"] = 1.0 - 0.5 * place * stage
            row[f"log_var_{name}"] = 0.1 * epoch * (1 - 2 * place)
            row[f"train_{name}_loss"] = 1 / (epoch + 1)
        loss = losses[epoch] if losses else 1 / (epoch + 1)
        made.append(row | {"train_loss": 2 / (epoch + 1), "val_loss": loss, "val_composite_score": score})
    return made


def make_run(
    workspace: Workspace,
    name: str,
    rows: Sequence[Row] = (),
    *,
    age_days: float = 5.0,
    checkpoints: Mapping[str, int] | None = None,
    **manifest: Any,
) -> Path:
    """`runs/<name>` as a training leaves it, `age_days` ago; the manifest's keys can be overridden."""
    root = workspace.runs / name
    for folder in ("checkpoints", "lightning_logs", "configs"):
        (root / folder).mkdir(parents=True)
    facts = {
        "run": name, "id": name, "command": re.split(r"-\d", name)[0], "arguments": ["train"],
        "started": iso(now_ms() - round(age_days * DAY_MS)), "snapshot": 2, "parent": None, "targets": list(TARGETS),
        "seed": 2025, "inputs": ["rsi"], "device": {"accelerator": "cpu"}, "origins": {"train": 100, "val": 20},
    }  # fmt: skip
    (root / "manifest.json").write_text(json.dumps(facts | manifest))
    (root / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "configs" / "model_config.yaml").write_text("hidden_size: 32\nlr: 1.5e-3\nonecycle: {pct_start: 0.1}\n")
    (root / "stages.yaml").write_text(stages_text(rows))
    for file, size in (checkpoints or {"last.ckpt": 1000}).items():
        (root / "checkpoints" / file).write_bytes(b"\0" * size)
    write_events(root / "lightning_logs", rows)
    make_older(root, age_days)
    return root


def stages_text(rows: Sequence[Row]) -> str:
    """stages.yaml of these rows."""
    names = [row["stage"] for row in rows] or ["stage_1"]
    return "".join(f"{name}: {{epochs: {names.count(name)}, weights: {{target_logreturn: 1.0}}}}\n"
                   for name in dict.fromkeys(names))  # fmt: skip


def write_events(folder: Path, rows: Sequence[Row]) -> None:
    """A TensorBoard event file with the numbers of the rows, at their steps."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder.mkdir(parents=True, exist_ok=True)
    writer = EventFileWriter(str(folder))
    for row in rows:
        numbers = {
            key: math.nan if value is None else value for key, value in row.items() if not isinstance(value, str)
        }
        values = [Summary.Value(tag=key, simple_value=value) for key, value in numbers.items()]
        writer.add_event(Event(step=row["step"], wall_time=0.0, summary=Summary(value=values)))
    writer.close()


def make_older(root: Path, days: float) -> None:
    """Set the time of every file and folder of a run back."""
    then = time.time() - days * DAY_MS / 1000
    for path in (root, *root.rglob("*")):
        os.utime(path, (then, then), follow_symlinks=False)
