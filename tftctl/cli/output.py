"""What a command prints: the result on stdout (a table, or one JSON document), everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from tftctl.core.workspace import Workspace, open_workspace

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", "-o", metavar="KEY=VALUE", help="Override one configuration value; repeatable."),
]


def workspace_of(ctx: typer.Context) -> Workspace:
    """The workspace named with -w, or the nearest one upwards. Raises UsageError when there is none."""
    return open_workspace(ctx.obj)


def emit_json(document: Any) -> None:
    """Print one JSON document on stdout; NaN and infinity become null."""
    sys.stdout.write(json.dumps(_plain(document), indent=2, allow_nan=False, default=str) + "\n")


def say(text: str) -> None:
    """A line for the reader on stderr."""
    sys.stderr.write(text + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """A table on stdout; plain tab-separated text when stdout is not a terminal."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            sys.stdout.write("\t".join(cell(value) for value in row) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    Console().print(table)


def cell(value: Any) -> str:
    """One table cell: numbers short, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
