"""Which command groups there are. Each module of this package holds one group."""

from __future__ import annotations

from typing import Any

import typer


def register(app: typer.Typer) -> list[str]:
    """Add every group and top-level command to the root; their names, in the order in which a user meets them."""
    from tftctl.cli import (
        audit,
        config,
        data,
        evaluate,
        features,
        macro,
        plugins,
        prune,
        runs,
        select,
        start,
        store,
        train,
    )

    entries: dict[str, Any] = {
        "init": start.init,
        "quickstart": start.quickstart,
        "config": config.app,
        "data": data.app,
        "macro": macro.app,
        "features": features.app,
        "store": store.app,
        "train": train.train,
        "resume": train.resume,
        "warm-start": train.warm_start,
        "eval": evaluate.evaluate,
        "select": select.app,
        "audit": audit.app,
        "prune": prune.prune,
        "runs": runs.app,
        "plugins": plugins.app,
    }
    for name, entry in entries.items():
        if isinstance(entry, typer.Typer):
            app.add_typer(entry, name=name)
        else:
            app.command(name)(entry)
    return list(entries)
