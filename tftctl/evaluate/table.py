"""The table that `tftctl eval` prints: per target and period the network beside the baselines."""

from __future__ import annotations

from typing import Any

from tftctl.core.periods import period_ms
from tftctl.evaluate.comparison import MODELS
from tftctl.evaluate.evaluation import Evaluation

# the scores that a reader compares first; all others stand in the JSON document
HEADLINES = (
    "roc_auc", "ap", "brier", "accuracy", "f1", "rmse", "mae", "r2", "spearman", "rank_ic", "pinball", "coverage",
)  # fmt: skip


def model_table(evaluation: Evaluation) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: one row per target, period and metric, one column per model; None where undefined."""
    values = {(m["target"], m["period"], m["metric"], m["model"]): m["value"] for m in evaluation.metrics}
    origins = {(row["target"], row["period"]): row["origins"] for row in evaluation.origins}
    targets = list(dict.fromkeys(target for target, _ in origins))
    rows = [
        [target, period, origins[target, period], metric, *(_defined(values, place, model) for model in MODELS)]
        for target, period in sorted(origins, key=lambda place: (targets.index(place[0]), period_ms(place[1])))
        for metric in HEADLINES
        if (place := (target, period, metric)) and (*place, MODELS[0]) in values
    ]
    return ["target", "period", "origins", "metric", *MODELS], rows


def notes(evaluation: Evaluation) -> list[str]:
    """How the checkpoint was chosen, where the predictions are, which origins were left out, looks at the test part."""
    left_out = [
        f"{row['target']} {row['period']}: {row['left_out']:,} origins left out, where a baseline has no forecast"
        for row in evaluation.origins
        if row["left_out"]
    ]
    chosen = f"checkpoints were chosen on the validation labels that end by {evaluation.chosen_until}"
    looks = f"looks at the test part in this workspace: {evaluation.test_evaluations}"
    scores = [
        f"{target}: trained with pos_weight batch, so that its outputs are scores and no probabilities"
        for target in evaluation.uncalibrated
    ]
    return [
        *left_out,
        *scores,
        *([chosen] if evaluation.split == "val" else []),
        f"predictions: {evaluation.predictions}, and .csv beside it",
        looks,
    ]


def _defined(values: dict[tuple[Any, ...], float], place: tuple[str, str, str], model: str) -> float | None:
    value = values.get((*place, model))
    return value if value is not None and value == value else None
