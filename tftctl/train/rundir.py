"""Run directories: everything needed to get the same numbers again (DESIGN §6)."""

from __future__ import annotations

import datetime as dt
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tftctl import __version__
from tftctl.core.errors import DataError, UsageError, choices
from tftctl.core.files import replace_text
from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace

_LIBRARIES = ("torch", "lightning", "pytorch-forecasting", "polars", "duckdb", "numpy", "scikit-learn", "TA-Lib")


@dataclass(frozen=True, slots=True)
class Run:
    """One run directory."""

    root: Path

    @property
    def name(self) -> str:
        """Its name under runs/."""
        return self.root.name

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.root / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch."""
        return self.root / "metrics.jsonl"

    @property
    def manifest(self) -> dict[str, Any]:
        """The run's manifest. Raises DataError when it is missing or damaged."""
        try:
            return json.loads((self.root / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.root} has no readable manifest.json: {error}", "it is no run of tftctl") from None


def create_run(workspace: Workspace, command: str) -> Run:
    """Make `runs/<command>-YYYYMMDD_HHMM[-n]`; an existing run is never touched."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%d_%H%M")
    workspace.runs.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 1000):
        root = workspace.runs / (f"{command}-{stamp}" + (f"-{attempt}" if attempt > 1 else ""))
        try:
            root.mkdir()
        except FileExistsError:
            continue
        for name in ("checkpoints", "lightning_logs", "configs"):
            (root / name).mkdir()
        return Run(root)
    raise DataError(f"{workspace.runs} is full of runs of this minute", "wait a minute")


def write_manifest(run: Run, run_id: str, command: str, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json`: identity, versions, machine, command line, and the given facts."""
    document = {
        "run": run.name,
        "id": run_id,
        "command": command,
        "arguments": sys.argv[1:],
        "started": iso(now_ms()),
        "versions": {"tftctl": __version__, "python": platform.python_version(), **_versions()},
        "machine": platform.platform(),
        **facts,
    }
    replace_text(run.root / "manifest.json", json.dumps(document, indent=2) + "\n")


def all_runs(workspace: Workspace) -> list[Run]:
    """Every run that has a manifest, by name."""
    return [Run(root) for root in sorted(path.parent for path in workspace.runs.glob("*/manifest.json"))]


def find_run(workspace: Workspace, name: str | None) -> Run:
    """A run by name or path, the newest without one. Raises UsageError with the nearest match."""
    there = [run.root for run in all_runs(workspace)]
    if name is None:
        if not there:
            raise UsageError("there are no runs yet", "train one: tftctl train")
        return Run(max(there, key=lambda root: (root / "manifest.json").stat().st_mtime))
    for candidate in (workspace.runs / name, Path(name)):
        if (candidate / "manifest.json").is_file():
            return Run(candidate.resolve())
    raise UsageError(f"there is no run {name!r}", choices(name, [root.name for root in there], "runs"))


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
