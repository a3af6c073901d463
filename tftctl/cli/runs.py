"""`tftctl runs`: list, show, compare, plot-weights, clean."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tftctl.cli.output import JsonFlag, counted, emit_json, print_table, say, workspace_of
from tftctl.core.errors import UsageError

if TYPE_CHECKING:
    from tftctl.train.runs.clean import Cleaning

app = typer.Typer(help="Look at runs, compare them, tidy them away.", no_args_is_help=True)

FAILED = 1

_LISTED = ("run", "started", "epochs", "val_composite_score", "val_loss", "best_epoch", "snapshot")
Match = Annotated[str | None, typer.Option(metavar="GLOB", help="Only runs with such a name, like 'train-2026*'.")]
Picture = Annotated[
    Path | None, typer.Option("--output", metavar="FILE.png", help="Where the picture goes; by default reports/runs/.")
]


@app.command("list")
def list_all(
    ctx: typer.Context,
    sort: Annotated[str, typer.Option(metavar="KEY", help="By started, val_composite_score, bytes ...")] = "started",
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    command: Annotated[str | None, typer.Option(help="Only runs of train, resume or warm-start.")] = None,
    match: Match = None,
    as_json: JsonFlag = False,
) -> None:
    """List the runs with the best scores of their epochs; sorted by a score, the best comes first."""
    from tftctl.train.runs.listing import list_runs

    found = list_runs(workspace_of(ctx), sort, reverse=reverse, command=command, match=match)
    if as_json:
        emit_json([asdict(run) for run in found])
        return
    print_table(_LISTED, [_listed(asdict(run)) for run in found])
    if not found:
        say("no such run; a training makes one: tftctl train")


@app.command("show")
def show(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Name or folder; the newest without one.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a run was made of, its configuration beside the defaults, stages, scores and checkpoints."""
    from tftctl.cli.run_tables import print_run
    from tftctl.train.rundir import find_run
    from tftctl.train.runs.show import describe_run

    workspace = workspace_of(ctx)
    found = describe_run(workspace, find_run(workspace, run))
    if as_json:
        document = asdict(found)
        emit_json({**document.pop("summary"), **document})
        return
    print_run(found)


@app.command("compare")
def compare(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Runs, or folders with event files.")],
    keys: Annotated[str | None, typer.Option(metavar="GLOB", help="Which curves, like 'val_*_r2@*,lr'.")] = None,
    output: Picture = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw the curves of several runs side by side, and show their best and last values."""
    from tftctl.start.run_jobs import compare_job

    found = compare_job(workspace_of(ctx), runs, keys, output)
    if as_json:
        emit_json(asdict(found))
        return
    rows = [asdict(row) for row in found.values]
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    say(f"picture: {found.picture}")


@app.command("plot-weights")
def weights(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Name or folder; the newest without one.")] = None,
    output: Picture = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw what each target weighs in the loss over epochs: by the stage plan, and with what is learned."""
    from tftctl.train.rundir import find_run
    from tftctl.train.runs.weights import plot_weights

    workspace = workspace_of(ctx)
    found = plot_weights(workspace, find_run(workspace, run), output)
    if as_json:
        emit_json(asdict(found))
        return
    rows = [(line.target, line.manual[0], line.manual[-1], line.effective[0], line.effective[-1])
            for line in found.targets]  # fmt: skip
    print_table(("target", "first_weight", "last_weight", "first_effective", "last_effective"), rows)
    say(f"picture: {found.picture}")


@app.command("clean")
def clean(
    ctx: typer.Context,
    match: Match = None,
    before: Annotated[str | None, typer.Option(metavar="DATE", help="Runs that started before, UTC.")] = None,
    older_than: Annotated[str | None, typer.Option(metavar="30d", help="Runs older than this: m, h, d, w.")] = None,
    keep_best: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Keep the N best of those that would go.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also runs that may still be written to.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove runs that fit all that is given. What others came from, what is being written and links stay."""
    from tftctl.train.runs.clean import plan_cleaning, remove_runs
    from tftctl.train.runs.criteria import criteria

    workspace = workspace_of(ctx)
    wanted = criteria(match, before, older_than, keep_best)
    found = plan_cleaning(workspace, wanted, force=force)
    if not dry_run:
        _agree(found, yes=yes, as_json=as_json)
        found = remove_runs(workspace, found, wanted, force=force)
    if as_json:
        emit_json({**asdict(found), "bytes": found.bytes, "dry_run": dry_run})
        return
    print_table(("run", "bytes"), [(run.run, run.bytes) for run in found.removed])
    for stays in found.kept:
        say(f"kept {stays.run}: {stays.reason}")
    say(f"{'would remove' if dry_run else 'removed'} {_sum(found)}")


def _listed(run: dict[str, Any]) -> list[Any]:
    """The command is in the name, and minutes are enough."""
    started = re.sub(r"(T\d\d:\d\d)[\d:.]*Z", r"\1Z", run["started"])
    return [started if key == "started" else run[key] for key in _LISTED]


def _agree(found: Cleaning, *, yes: bool, as_json: bool) -> None:
    """Go on only when the user said so, now or with --yes."""
    if yes or not found.removed:
        return
    if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{_sum(found)} would go", "--dry-run lists them, --yes removes them without asking")
    for run in found.removed:
        say(f"{run.run}  {run.bytes:,} bytes")
    for stays in found.kept:
        say(f"kept {stays.run}: {stays.reason}")
    if not typer.confirm(f"Remove {_sum(found)}?", err=True):
        say("nothing was removed")
        raise typer.Exit(FAILED)


def _sum(found: Cleaning) -> str:
    return f"{counted(len(found.removed), 'run')}, {found.bytes:,} bytes"
