"""`tftctl eval`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tftctl.cli.output import JsonFlag, emit_json, print_table, say, workspace_of
from tftctl.cli.progress import progress_bar

if TYPE_CHECKING:
    from tftctl.evaluate.evaluation import Evaluation

AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-selection-overlap", help="Also a run whose inputs were selected on labels after its cut."),
]


def evaluate(
    ctx: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's name or folder; the newest without one.")
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Every look at test is counted.")] = "val",
    checkpoint: Annotated[
        str, typer.Option(metavar="best|last|top-k|PATH", help="top-k: the mean forecast of the kept ones.")
    ] = "best",
    allow_selection_overlap: AllowOverlap = False,
    as_json: JsonFlag = False,
) -> None:
    """Score a network beside the training mean and persistence; write its predictions."""
    from dataclasses import asdict

    from tftctl.start.jobs import eval_job

    with progress_bar() as report:
        overlap = allow_selection_overlap
        found = eval_job(workspace_of(ctx), run, split, checkpoint, report, allow_selection_overlap=overlap)
    if found.selection_overlap:
        say(f"{found.run}: its inputs were selected on labels after its training cut; these scores are not independent")
    if as_json:
        emit_json(asdict(found))
    else:
        print_scores(found)


def print_scores(found: Evaluation) -> None:
    """The models side by side, then what the reader has to know about the numbers."""
    from tftctl.evaluate.table import model_table, notes

    columns, rows = model_table(found)
    print_table(columns, rows, title=f"{found.run}, {found.split}, {found.checkpoint}")
    for note in notes(found):
        say(note)
