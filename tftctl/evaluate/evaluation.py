"""`tftctl eval`: forecasts of a run against truth, beside baselines, on the same origins."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import polars as pl

from tftctl.core.errors import DataError, UsageError, choices
from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace
from tftctl.data.splits import Split
from tftctl.evaluate.baselines import persistence, training_mean
from tftctl.plugins import Registry
from tftctl.store import Store
from tftctl.train.checkpoint import load_checkpoint, scored_checkpoints
from tftctl.train.predict import predict_split
from tftctl.train.rundir import Run
from tftctl.train.scores import Forecasts, score_all

MODELS = ("tft", "mean", "persistence")


@dataclass(frozen=True, slots=True)
class Score:
    """One number of the table."""

    model: str
    target: str
    period: str
    metric: str
    value: float
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores, and where the forecasts were written. `test_evaluations` counts this workspace's looks at test data."""

    run: str
    checkpoint: str
    split: str
    predictions: str
    metrics: list[Score]
    origins: int
    without_persistence: int
    test_evaluations: int


def evaluate(workspace: Workspace, run: Run, split: Split, checkpoint: str, registry: Registry) -> Evaluation:
    """Score a run on `val` or `test` and write its forecasts as Parquet and CSV.

    `checkpoint`: `best`, `last`, `top-k` (every kept one, scored one by one; the forecasts of the best are written
    as such, the others beside them) or a path. Raises UsageError when there is none.
    """
    paths = choose_checkpoints(run, checkpoint)
    folder = run.root / "predictions"
    scores: list[Score] = []
    for path in reversed(paths):
        kept, dropped, written = _one(workspace, path, split, registry, folder / f"{split}-{path.stem}")
        scores = [*kept, *scores]
    seen = count_test_evaluation(workspace, run, paths[0]) if split == "test" else count_seen(workspace)
    return Evaluation(
        run=run.name,
        checkpoint=str(paths[0].relative_to(run.root)) if paths[0].is_relative_to(run.root) else str(paths[0]),
        split=split,
        predictions=str(written.relative_to(workspace.root)),
        metrics=scores,
        origins=pl.scan_parquet(written).select(pl.struct("symbol", "period", "timestamp").n_unique()).collect().item(),
        without_persistence=dropped,
        test_evaluations=seen,
    )


def choose_checkpoints(run: Run, wanted: str) -> list[Path]:
    """Paths of the checkpoints that a word or a path names, the best first."""
    scored = [path for path, _, _ in scored_checkpoints(run.checkpoints)]
    last = run.checkpoints / "last.ckpt"
    if wanted == "last" and last.is_file():
        return [last]
    if wanted in ("best", "top-k") and (scored or last.is_file()):
        return (scored or [last])[: 1 if wanted == "best" else None]
    for path in (Path(wanted), run.root / wanted, run.checkpoints / wanted):
        if path.is_file():
            return [path.resolve()]
    there = [path.name for path in sorted(run.checkpoints.glob("*.ckpt"))]
    raise UsageError(
        f"{run.name} has no checkpoint {wanted!r}", choices(wanted, ["best", "last", "top-k", *there], "checkpoints")
    )


def count_seen(workspace: Workspace) -> int:
    """How often the test part was evaluated in this workspace (S6)."""
    log = workspace.runs / "test_evaluations.jsonl"
    return len(log.read_text(encoding="utf-8").splitlines()) if log.is_file() else 0


def count_test_evaluation(workspace: Workspace, run: Run, checkpoint: Path) -> int:
    """Note one more look at the test part; returns how many there were."""
    entry = json.dumps({"time": iso(now_ms()), "run": run.name, "checkpoint": checkpoint.name}) + "\n"
    descriptor = os.open(workspace.runs / "test_evaluations.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, entry.encode())  # one short append is atomic
    finally:
        os.close(descriptor)
    return count_seen(workspace)


def _one(
    workspace: Workspace, path: Path, split: Split, registry: Registry, folder: Path
) -> tuple[list[Score], int, Path]:
    found = predict_split(Store(workspace.store), load_checkpoint(path), split, registry)
    if not found.prepared.splits[split].size:
        raise DataError(f"the {split} part has no origins", "it is shorter than one label span; import more bars")
    scores: list[Score] = []
    dropped = 0
    for place, network in enumerate(found.targets):
        known = persistence(network, found.prepared, place)
        there = np.isfinite(known.prediction)
        dropped = max(dropped, int((~there).sum()))
        entries = (network, training_mean(network, found.prepared, place), known)
        for model, entry in zip(MODELS, entries, strict=True):
            values = score_all([_rows(entry, there)], registry)
            scores += [Score(model, t, p, m, value, path.name) for (t, p, m), value in values.items()]
    return scores, dropped, _write(found.targets, folder)


def _rows(forecasts: Forecasts, rows: np.ndarray) -> Forecasts:
    arrays = {f.name: getattr(forecasts, f.name) for f in fields(forecasts)}
    return replace(forecasts, **{n: v[rows] for n, v in arrays.items() if isinstance(v, np.ndarray)})


def _write(targets: Sequence[Forecasts], folder: Path) -> Path:
    """Forecasts of all targets, one row per origin and target, as Parquet and CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pl.concat([_table(entry) for entry in targets])
    for name, write in (("predictions.parquet", table.write_parquet), ("predictions.csv", table.write_csv)):
        staged = folder / f"{name}.tmp"
        write(staged)
        os.replace(staged, folder / name)
    return folder / "predictions.parquet"


def _table(entry: Forecasts) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "symbol": entry.symbol,
            "period": entry.period,
            "timestamp": entry.timestamp,
            "target": [entry.target] * entry.timestamp.size,
            "prediction": entry.prediction_raw,
            "truth": entry.truth_raw,
            "available_at": entry.available_at,
            "label_end": entry.label_end,
        }
    ).with_columns(datetime=pl.from_epoch("timestamp", "ms"))
