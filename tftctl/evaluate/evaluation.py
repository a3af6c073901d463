"""`tftctl eval`: a run's checkpoint on one split, beside the baselines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tftctl.core.errors import DataError, UsageError
from tftctl.core.progress import Report, silent
from tftctl.core.times import iso
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared
from tftctl.data.splits import Split
from tftctl.evaluate.choice import Choice, choose_checkpoints
from tftctl.evaluate.comparison import NETWORK, average, compare, count_origins, score_models
from tftctl.evaluate.counter import count_look, looks_at_test
from tftctl.evaluate.predictions import prediction_frame, write_predictions
from tftctl.plugins import Registry
from tftctl.store import Store
from tftctl.train.checkpoint import LoadedCheckpoint, load_checkpoint
from tftctl.train.predict import predict_split, prepare_split
from tftctl.train.rundir import Run
from tftctl.train.scores import Forecasts, score_all
from tftctl.train.selected import overlaps


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `tftctl eval` found; paths are relative to the workspace where they lie in it.

    `metrics`: rows of model, target, period, metric, value. `origins`: rows scored and left out. `chosen_until`:
    checkpoints were chosen on the validation labels that end by then. `checkpoints`: the network's scores of every
    single checkpoint, where several were averaged. `uncalibrated`: targets whose outputs are scores, no probabilities,
    because their positive weights changed with every batch (M2). `selection_overlap`: the run's inputs were selected on
    labels after its training cut (A4).
    """

    run: str
    checkpoint: str
    split: str
    predictions: str
    metrics: list[dict[str, Any]]
    origins: list[dict[str, Any]]
    snapshot: int
    chosen_until: str
    test_evaluations: int
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    uncalibrated: list[str] = field(default_factory=list)
    selection_overlap: bool = False


def evaluate(
    workspace: Workspace,
    run: Run,
    split: Split,
    checkpoint: str,
    registry: Registry,
    report: Report = silent,
    *,
    allow_selection_overlap: bool = False,
) -> Evaluation:
    """Forecast a split, write predictions beside truth into the run, and score the network and the baselines.

    Every model is scored at the same origins: those for which each has a forecast. With `top-k` the network's
    forecast is the mean of the kept checkpoints'. A look at the test part is counted before anything is scored.
    Raises UsageError for a checkpoint that is not there or another run's, DataError for a split without origins, and
    for a run whose inputs were selected on labels after its own cut, unless that is allowed (A4).
    """
    choice = choose_checkpoints(run, checkpoint)
    loaded = [_load(path, run) for path in choice.paths]
    overlap = overlaps(run, loaded[0].content.spec.train_end, allow_overlap=allow_selection_overlap)
    prepared = prepare_split(Store(workspace.store), loaded[0], registry)
    _require_origins(prepared, run, split)
    found = [predict_split(prepared, entry, split, registry, report) for entry in loaded]
    looks = count_look(workspace, run.name, choice.label) if split == "test" else looks_at_test(workspace)
    comparisons = compare(prepared, average(found))
    folder = run.root / "predictions" / f"{split}-{choice.label}"
    evaluation = Evaluation(
        run=run.name,
        checkpoint=workspace.shown(choice.paths[0]) if len(choice.paths) == 1 else choice.label,
        split=split,
        predictions=workspace.shown(folder / "predictions.parquet"),
        metrics=score_models(comparisons, registry),
        origins=count_origins(comparisons),
        snapshot=prepared.spec.snapshot,
        chosen_until=iso(prepared.spec.choice_end),
        test_evaluations=looks,
        checkpoints=_single_scores(choice, found, registry) if len(found) > 1 else [],
        uncalibrated=[target.name for target in prepared.spec.targets if target.scores],
        selection_overlap=overlap,
    )
    write_predictions(folder, prediction_frame(comparisons), asdict(evaluation))
    return evaluation


def _load(path: Path, run: Run) -> LoadedCheckpoint:
    """A checkpoint of this run, wherever it lies and however the run's folder is called now."""
    loaded = load_checkpoint(path)
    manifest = run.manifest
    # a run that was resumed has kept the best checkpoints of those before it
    before = manifest.get("lineage", []) if manifest.get("command") == "resume" else []
    if loaded.content.run_id not in (manifest.get("id"), *before):
        raise UsageError(
            f"{path} is a checkpoint of {loaded.content.run}, not of {run.name}",
            f"tftctl eval {loaded.content.run} --checkpoint {path}",
        )
    return loaded


def _require_origins(prepared: Prepared, run: Run, split: Split) -> None:
    if prepared.splits[split].size:
        return
    spec = prepared.spec
    raise DataError(
        f"{run.name} has no {split} origin: training ends {iso(spec.train_end)}, validation {iso(spec.val_end)}",
        "its windows or labels are longer than the split; train with a larger val_ratio or test_ratio",
    )


def _single_scores(choice: Choice, found: list[list[Forecasts]], registry: Registry) -> list[dict[str, Any]]:
    return [
        {
            "checkpoint": path.name,
            "model": NETWORK,
            "target": target,
            "period": period,
            "metric": metric,
            "value": value,
        }
        for path, entry in zip(choice.paths, found, strict=True)
        for (target, period, metric), value in score_all(entry, registry).items()
    ]
