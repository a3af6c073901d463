"""`tftctl select`: evidence for features, and what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tftctl.cli.output import JsonFlag, counted, emit_json, print_table, say, workspace_of
from tftctl.cli.progress import progress_bar

if TYPE_CHECKING:
    from tftctl.select.tft_gating import Gating

app = typer.Typer(help="Evidence for features, one core set, and how far to trust it.", no_args_is_help=True)


@app.callback()
def select() -> None:
    """Evidence for features, one core set, and how far to trust it. Only what lies before the training cut is read."""


@app.command("tft-gating")
def tft_gating(
    ctx: typer.Context,
    ckpt: Annotated[
        str,
        typer.Option(
            "--ckpt",
            metavar="PATH|RUN",
            help="A checkpoint, or the last one of a run: its best was chosen on validation labels.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE.csv", help="In the workspace; two more files are written beside it.")
    ] = Path("reports/feature_evidence/tft_gating.csv"),
    as_json: JsonFlag = False,
) -> None:
    """Gate weights of a trained network's variable selection, averaged over its training origins, on the CPU.

    The weights of one origin sum to one; an encoder weight is the mean over the encoder's positions. Spread is the
    standard deviation over origins. FILE.csv has them per period and symbol (* for all), FILE_positions.csv per period
    and encoder position (0 is the origin's own row), FILE.json the run, its cut and the last label seen. A gate says
    how much of a variable the network lets through, not what it is worth: an input that is null throughout a period
    has a gate as well.
    """  # fmt: skip
    from tftctl.start.select_jobs import gating_job

    with progress_bar() as report:
        found = gating_job(workspace_of(ctx), ckpt, out, say, report)
    if as_json:
        emit_json(found.document())
    else:
        _show_gates(found)


def _show_gates(found: Gating) -> None:
    """Per period the encoder variables with the largest weights, side by side; where the rest is, on stderr."""
    rows: dict[str, list[list[Any]]] = {}
    for row in found.top().to_dicts():
        rows.setdefault(row["period"], []).append([row["feature"], row["weight"], row["spread"]])
    columns = [name for period in rows for name in (period, f"weight_{period}", f"spread_{period}")]
    ranks = enumerate(zip(*rows.values(), strict=True), 1)
    body = [[rank, *(cell for place in places for cell in place)] for rank, places in ranks]
    meta = found.meta
    print_table(["rank", *columns], body, f"{meta['checkpoint']}: encoder gates, mean and spread over training origins")
    say(f"{counted(meta['origins'], 'training origin')} until {meta['cut']}, the last label seen ends by "
        f"{meta['last_label_end']} ({meta['why']})")  # fmt: skip
    say(f"evidence: {found.evidence}; {found.positions_path.name} and {found.meta_path.name} beside it")
