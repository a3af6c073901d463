"""`tftctl init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tftctl.cli.output import JsonFlag, emit_json, say


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made when it does not exist.")],
    as_json: JsonFlag = False,
) -> None:
    """Make a folder a workspace: configuration with comments, an empty store."""
    from tftctl.start.scaffold import create_workspace

    made = create_workspace(folder)
    if as_json:
        emit_json({"workspace": str(made.root), "created": made.created, "kept": made.kept})
        return
    for name in made.created:
        typer.echo(f"made {folder / name}")
    for name in made.kept:
        say(f"kept {folder / name} as it is")
    say(f"next: tftctl -w {folder} data import FILES, or tftctl -w {folder} data sample synthetic")
