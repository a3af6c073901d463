"""Which command groups there are. Each module of this package holds one group."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add every group and top-level command to the root, in the order in which a user meets them."""
    from tftctl.cli import config, data, evaluate, features, macro, plugins, start, store, train

    app.command("init")(start.init)
    app.command("quickstart")(start.quickstart)
    app.add_typer(config.app, name="config")
    app.add_typer(data.app, name="data")
    app.add_typer(macro.app, name="macro")
    app.add_typer(features.app, name="features")
    app.add_typer(store.app, name="store")
    app.command("train")(train.train)
    app.command("eval")(evaluate.evaluate)
    app.add_typer(plugins.app, name="plugins")
