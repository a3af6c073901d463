"""Which command groups exist. Each module imports nothing heavy at its top."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add every group and top-level command to the root, in the order in which a user meets them."""
    from tftctl.cli import start, store

    app.command("init")(start.init)
    app.add_typer(store.app, name="store")
