"""What a command prints: the result on stdout (one JSON document, or a table), everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tftctl.cli.stdout import document_stream, give_stdout_back, keep_stdout
from tftctl.cli.table import print_table
from tftctl.core.workspace import Workspace, open_workspace

__all__ = ["JsonFlag", "Overrides", "counted", "emit_json", "print_table", "say", "workspace_of"]


def _one_document(ctx: typer.Context, asked: bool) -> bool:
    if asked:
        keep_stdout()
        ctx.call_on_close(give_stdout_back)
    return asked


JsonFlag = Annotated[bool, typer.Option("--json", callback=_one_document, help="Print one JSON document on stdout.")]


Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", "-o", metavar="KEY=VALUE", help="Override one configuration value; repeatable."),
]


def workspace_of(ctx: typer.Context) -> Workspace:
    """The workspace named with -w, or the nearest one upwards. Raises UsageError when there is none."""
    return open_workspace(ctx.obj)


def emit_json(document: Any) -> None:
    """Print one JSON document on stdout; NaN and infinity become null."""
    stream = document_stream()
    stream.write(json.dumps(_plain(document), indent=2, allow_nan=False, default=str) + "\n")
    stream.flush()


def say(text: str) -> None:
    """A line for the reader on stderr."""
    sys.stderr.write(text + "\n")


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
