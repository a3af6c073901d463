"""`tftctl macro`: import, list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tftctl.cli.data import TrustPickle, show_import
from tftctl.cli.output import JsonFlag, emit_json, print_table, say, workspace_of

app = typer.Typer(help="Series that are not bars: rates, money, flows, sentiment.", no_args_is_help=True)


@app.command("import")
def import_series(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file with a time column and values.")],
    name: Annotated[str | None, typer.Option(help="Name of the series; default: the file's.")] = None,
    like: Annotated[
        str | None, typer.Option(help="A ready-made declaration, such as M2SL; see macro list --known.", metavar="ID")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Which column holds the value, where there are several.")] = None,
    frequency: Annotated[
        str | None, typer.Option(help="Length of the reference period: 1d, 1bd (business days), 1w, 1mo.")
    ] = None,
    stamp: Annotated[
        Literal["start", "end"] | None, typer.Option(help="Whether times are the start or the last day of the period.")
    ] = None,
    lag: Annotated[
        str | None, typer.Option(help="From the end of the reference period to the publication: 28d, 16h.")
    ] = None,
    revised: Annotated[
        bool | None, typer.Option("--revised/--not-revised", help="Whether the publisher changes old values later.")
    ] = None,
    prefer: Annotated[
        Literal["new", "old"] | None, typer.Option(help="Which value holds where the file and the store differ.")
    ] = None,
    trust_pickle: TrustPickle = False,
    as_json: JsonFlag = False,
) -> None:
    """Import one series with its release lag; the declaration may stand in configs/features.yaml, too."""
    from tftctl.start.data_jobs import macro_job

    given: dict[str, Any] = {"frequency": frequency, "stamp": stamp, "release_lag": lag, "revised": revised}
    given = {key: value for key, value in given.items() if value is not None}
    found = macro_job(
        workspace_of(ctx), path, name, given, like=like, column=column, prefer=prefer, trust_pickle=trust_pickle
    )
    show_import(found, as_json)


@app.command("list")
def list_all(
    ctx: typer.Context,
    known: Annotated[bool, typer.Option("--known", help="List the ready-made declarations instead.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the series with their declarations and last values."""
    if known:
        _list_known(as_json)
        return
    from tftctl.ingest.macro import list_macro
    from tftctl.store import Store

    with Store(workspace_of(ctx).store).read() as snapshot:
        rows = list_macro(snapshot)
    if as_json:
        emit_json(rows)
        return
    columns = (
        "series",
        "frequency",
        "stamp",
        "release_lag",
        "revised",
        "rows",
        "first",
        "last",
        "available_at",
        "value",
    )
    print_table(columns, [[row[name] for name in columns] for row in rows])
    if not rows:
        say("no series yet: tftctl macro import FILE --frequency 1mo --stamp start --lag 28d")


def _list_known(as_json: bool) -> None:
    from tftctl.ingest.known_series import KNOWN

    rows = [
        {"id": entry.identifier, "series": entry.name, **entry.series.model_dump(mode="json"), "about": entry.about}
        for entry in KNOWN.values()
    ]
    if as_json:
        emit_json(rows)
        return
    print_table(tuple(rows[0]), [list(row.values()) for row in rows])
    say("take one: tftctl macro import FILE --like ID")
