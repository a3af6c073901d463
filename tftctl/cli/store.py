"""`tftctl store`: status, sql, export, verify, gc."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tftctl.cli.output import JsonFlag, emit_json, print_table, say, workspace_of

app = typer.Typer(help="Look into the store, check it, tidy it.", no_args_is_help=True)

FAILED_VERIFICATION = 3

_Names = list[str] | None


@app.command("status")
def show_status(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Show the current snapshot and its tables."""
    from tftctl.store import Store
    from tftctl.store.status import status

    found = status(Store(workspace_of(ctx).store))
    if as_json:
        emit_json(found)
        return
    say(f"snapshot {found['snapshot']}" + (f", {found['why']}, {found['created']}" if found["why"] else ": empty"))
    columns = ("name", "rows", "symbols", "columns", "first", "last", "files", "bytes", "data_version")
    print_table(columns, [[table[column] for column in columns] for table in found["tables"]])


@app.command("sql")
def sql(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT; the tables are views of their names.")],
    as_json: JsonFlag = False,
) -> None:
    """Ask the current snapshot with SQL (DuckDB). Times are UTC; `datetime` is `timestamp` as a time."""
    from tftctl.store import Store
    from tftctl.store.query import run_query

    with Store(workspace_of(ctx).store).read() as snapshot:
        answer = run_query(snapshot, query)
    if as_json:
        emit_json(answer.objects())
    else:
        print_table(answer.columns, answer.texts())


@app.command("export")
def export(
    ctx: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="bars, features, targets, fused, macro ...")],
    output: Annotated[Path, typer.Option("--output", help="FILE.parquet, FILE.csv or FILE.pkl.")],
    symbols: Annotated[_Names, typer.Option("--symbols", help="Only this symbol; repeatable, or with commas.")] = None,
    periods: Annotated[_Names, typer.Option("--periods", help="Only this period; repeatable, or with commas.")] = None,
    columns: Annotated[_Names, typer.Option("--columns", help="Only this column, beside the key.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file when it exists.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a table to a file of your own."""
    from tftctl.store import Store
    from tftctl.store.export import Selection, export_table

    selection = Selection(_listed(symbols), _listed(periods), _listed(columns))
    with Store(workspace_of(ctx).store).read() as snapshot:
        rows = export_table(snapshot, table, output, selection, force=force)
    if as_json:
        emit_json({"output": str(output), "rows": rows, "snapshot": snapshot.number})
    else:
        typer.echo(f"{output}: {rows:,} rows")


@app.command("verify")
def check(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Check manifests, files, checksums, keys, order and types; exit code 3 when something is wrong."""
    from tftctl.store import Store
    from tftctl.store.verify import verify

    found = verify(Store(workspace_of(ctx).store))
    if as_json:
        emit_json({"verdict": found.verdict, "problems": found.problems, "leftovers": found.leftovers})
    else:
        typer.echo(found.verdict)
        for problem in found.problems:
            say(problem)
        if found.leftovers:
            say(f"{len(found.leftovers)} files of an interrupted or a present writer: tftctl store gc removes them")
    if found.problems:
        raise typer.Exit(FAILED_VERIFICATION)


@app.command("gc")
def gc(
    ctx: typer.Context,
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many of the newest snapshots to keep.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    unsafe_lock: Annotated[bool, typer.Option("--unsafe-lock", help="Allow a network file system.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove snapshots and files that no run, no reader and not the newest snapshots need."""
    from tftctl.store import Store
    from tftctl.store.gc import collect_garbage

    workspace = workspace_of(ctx)
    gone = collect_garbage(Store(workspace.store, unsafe_lock=unsafe_lock), workspace.runs, keep, dry_run=dry_run)
    if as_json:
        emit_json(gone.document() | {"dry_run": dry_run})
        return
    verb = "would remove" if dry_run else "removed"
    typer.echo(f"{verb} {len(gone.snapshots)} snapshots and {len(gone.files)} files, {gone.bytes:,} bytes")
    for name in gone.files:
        say(name)


def _listed(names: list[str] | None) -> list[str] | None:
    """`--symbols A,B --symbols C` -> [A, B, C]."""
    return None if names is None else [name.strip() for text in names for name in text.split(",") if name.strip()]
