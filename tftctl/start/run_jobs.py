"""Jobs on run directories that need more than the directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry

if TYPE_CHECKING:
    from tftctl.train.runs.compare import CurveComparison


def compare_job(
    workspace: Workspace, runs: Sequence[str], keys: str | None = None, output: Path | None = None
) -> CurveComparison:
    """`tftctl runs compare`: metrics say which end of theirs is better."""
    from tftctl.train.runs.compare import compare_runs

    registry = load_registry(workspace)
    metrics = [registry.metric(name) for name in registry.names("metric")]
    directions = {metric.name: metric.direction for metric in metrics if metric.direction != "nominal"}
    return compare_runs(workspace, runs, directions, keys, output)
