"""`tftctl eval`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tftctl.cli.output import JsonFlag, emit_json, print_table, say, workspace_of

if TYPE_CHECKING:
    from tftctl.evaluate.evaluation import Evaluation


def evaluate(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run's name or path; the newest without one.")] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Which part of time.")] = "val",
    checkpoint: Annotated[str, typer.Option(help="best, last, top-k or a path.")] = "best",
    as_json: JsonFlag = False,
) -> None:
    """Score a run beside the training mean and persistence; write forecasts as Parquet and CSV."""
    from dataclasses import asdict

    from tftctl.start.jobs import eval_job

    found = eval_job(workspace_of(ctx), run, split, checkpoint)
    if as_json:
        emit_json(asdict(found))
        return
    print_scores(found)


def print_scores(found: Evaluation) -> None:
    """One row per target, period and metric; the models side by side."""
    table: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for score in found.metrics:
        table[score.checkpoint, score.target, score.period, score.metric][score.model] = score.value
    several = len({key[0] for key in table}) > 1
    rows: list[list[Any]] = [
        [*(key if several else key[1:]), *(_number(values.get(model)) for model in ("tft", "mean", "persistence"))]
        for key, values in table.items()
    ]
    head = ["target", "period", "metric", "tft", "mean", "persistence"]
    print_table(["checkpoint", *head] if several else head, rows, f"{found.run} on {found.split}")
    say(f"{found.origins:,} origins; scored where a past label is known ({found.without_persistence} were not)")
    say(f"forecasts: {found.predictions} and .csv beside it")
    say(f"looks at the test part in this workspace: {found.test_evaluations}")


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value
