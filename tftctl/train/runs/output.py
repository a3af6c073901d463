"""Where a picture of runs is written."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tftctl.core.errors import UsageError
from tftctl.core.workspace import Workspace


def picture_path(workspace: Workspace, output: Path | None, name: str) -> Path:
    """`output`, or `reports/runs/<name>.png`; absolute. Raises UsageError for an output that is no .png file."""
    path = output or workspace.reports / "runs" / f"{name}.png"
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"{path}: pictures are written as PNG files", "name it like curves.png")
    return path.absolute()


def stamped(name: str) -> str:
    """`<name>-YYYYMMDD_HHMMSS`, UTC."""
    return f"{name}-{dt.datetime.now(dt.UTC):%Y%m%d_%H%M%S}"
