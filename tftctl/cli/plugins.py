"""`tftctl plugins`: list, show, check."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tftctl.cli.output import JsonFlag, counted, emit_json, print_table, say, workspace_of
from tftctl.core.errors import TftctlError
from tftctl.core.workspace import Workspace

app = typer.Typer(help="List plugins, look into one, check one.", no_args_is_help=True)

FAILED = 4


@app.command("list")
def show_list(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List every plugin, built-in ones too, with what it provides and what is wrong with it."""
    from tftctl.plugins import load_registry

    plugins = [asdict(info) for info in load_registry(_workspace(ctx)).plugins]
    if as_json:
        emit_json(plugins)
        return
    columns = ("name", "distribution", "version", "status", "provides", "error")
    print_table(columns, [[*list(row.values())[:4], _by_kind(row["provides"]), row["error"]] for row in plugins])


@app.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin, or anything that one provides.")],
    as_json: JsonFlag = False,
) -> None:
    """Show what a plugin provides, or one of its records with parameters and defaults."""
    from tftctl.core.registry import describe
    from tftctl.plugins import load_registry

    found = describe(load_registry(_workspace(ctx)), name)
    if as_json:
        emit_json(found)
        return
    if found["plugin"]:
        rows = {key: value for key, value in found["plugin"].items() if key != "error"}
        print_table(("key", "value"), list((rows | {"provides": _by_kind(rows["provides"])}).items()))
        typer.echo()
    for entry in found["records"]:
        print_table(("key", "value"), list(entry.items()))
        typer.echo()
    if found["error"]:
        say(f"error: {found['error']}")


@app.command("check")
def check(
    ctx: typer.Context,
    plugin: Annotated[
        str, typer.Argument(metavar="PATH|NAME", help="A Python file, or the name of a plugin or of what it provides.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Run the checks that the built-ins pass: causality, first values, nulls, units, label reach and more."""
    from tftctl.testing import check_named

    report = check_named(plugin, _workspace(ctx))
    verdict = "FAIL" if report.findings else "PASS"
    if as_json:
        emit_json({"verdict": verdict, "checked": report.checked, "findings": [asdict(f) for f in report.findings]})
    else:
        typer.echo(f"{verdict}: {plugin}, {counted(len(report.checked), 'record')}")
        for finding in report.findings:
            typer.echo(str(finding))
    if report.findings:
        raise typer.Exit(FAILED)


def _by_kind(provides: list[str]) -> str:
    """`indicator rsi`, `indicator kdj`, `target x` -> `indicator rsi, kdj; target x`."""
    kinds: dict[str, list[str]] = {}
    for text in provides:
        kind, _, name = text.partition(" ")
        kinds.setdefault(kind, []).append(name)
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items())


def _workspace(ctx: typer.Context) -> Workspace | None:
    """Plugins are there without a workspace, too; a wrong -w is an error all the same."""
    try:
        return workspace_of(ctx)
    except TftctlError:
        if ctx.obj is not None:
            raise
        return None
