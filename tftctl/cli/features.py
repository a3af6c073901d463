"""`tftctl features`: plan, build, list, describe, health."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from tftctl.cli.output import JsonFlag, Overrides, emit_json, print_table, say, workspace_of
from tftctl.cli.progress import progress_bar


class Engine(StrEnum):
    """Where the processes of a build run."""

    processes = "processes"
    ray = "ray"


Recalendar = Annotated[
    bool, typer.Option("--recalendar", help="Renew the slots of the observed calendar that earlier builds froze.")
]

app = typer.Typer(help="Indicators, targets and the fused table.", no_args_is_help=True)


@app.command("build")
def build(
    ctx: typer.Context,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; by default as many as pay.", metavar="N")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="Where processes run: here, or on a Ray cluster.")] = Engine.processes,
    recalendar: Recalendar = False,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Make features, targets and the fused table from the bars; what is up to date is left alone."""
    from tftctl.start.jobs import build_job

    with progress_bar() as report:
        result = build_job(workspace_of(ctx), overrides, report, jobs, engine.value, recalendar=recalendar)
    for note in result.notes:
        say(note)
    if as_json:
        emit_json(asdict(result))
        return
    rows = {key: value for key, value in asdict(result).items() if key not in ("columns", "notes")}
    if not recalendar:
        del rows["slots_changed"]
    rows |= {f"columns: {role}": count for role, count in result.columns.items()}
    print_table(("what", "value"), list(rows.items()))
    say("next: tftctl train" if result.rows_computed else "nothing had changed; next: tftctl train")


@app.command("plan")
def plan(
    ctx: typer.Context, recalendar: Recalendar = False, overrides: Overrides = None, as_json: JsonFlag = False
) -> None:
    """Show what a build would make now, of how many rows, and why; writes nothing."""
    from tftctl.start.jobs import plan_job

    found = plan_job(workspace_of(ctx), overrides, recalendar=recalendar)
    for note in found.notes:
        say(note)
    if as_json:
        emit_json(asdict(found))
        return
    columns = ("table", "period", "groups", "rows", "why", "columns")
    rows = [[asdict(action)[name] for name in columns[:-1]] + [_few(action.columns)] for action in found.actions]
    if rows:
        print_table(columns, rows)
    say("next: tftctl features build" if rows else "everything is up to date; next: tftctl train")


@app.command("list")
def list_all(ctx: typer.Context, overrides: Overrides = None, as_json: JsonFlag = False) -> None:
    """List indicators and targets, those of configs/features.yaml first."""
    from tftctl.start.jobs import definitions_job

    found = [asdict(entry) for entry in definitions_job(workspace_of(ctx), overrides)]
    if as_json:
        emit_json(found)
        return
    columns = ("name", "kind", "inputs", "outputs", "first_valid", "settle", "configured")
    print_table(columns, [[entry[name] for name in columns] for entry in found])


@app.command("describe")
def describe(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An indicator, a target, or a column of the table.")],
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what an indicator, target or column is: formula, parameters, inputs, first value, scale."""
    from tftctl.start.jobs import describe_job

    found = describe_job(workspace_of(ctx), name, overrides)
    if as_json:
        emit_json(found)
        return
    for entry in found["definitions"]:
        print_table(("definition", entry["name"]), list(entry.items()))
    for column in found["columns"]:
        print_table(("column", column["name"]), [(key, value) for key, value in column.items() if key != "name"])


@app.command("health")
def health(
    ctx: typer.Context,
    period: Annotated[str | None, typer.Option("--period", metavar="P", help="Only this period.")] = None,
    symbols: Annotated[
        str | None, typer.Option("--symbols", metavar="A,B", help="Only these, separated by commas.")
    ] = None,
    warmup: Annotated[
        bool, typer.Option("--warmup", help="Measure instead how many bars each indicator needs to settle.")
    ] = False,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what is empty, constant, full of holes, drifting or redundant in the fused table, the worst first."""
    from tftctl.cli.health import show_health, show_warmup
    from tftctl.start.jobs import health_job, warmup_job

    names = [name.strip() for name in symbols.split(",") if name.strip()] if symbols else None
    if warmup:
        with progress_bar() as report:
            memories = warmup_job(workspace_of(ctx), period, names, overrides, report)
        show_warmup(memories, as_json)
        return
    with progress_bar() as report:
        found = health_job(workspace_of(ctx), period, names, report)
    show_health(found, as_json)


def _few(names: list[str]) -> str:
    """The first names, and how many more."""
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
