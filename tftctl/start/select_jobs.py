"""Feature selection with the workspace's store, runs and reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.progress import Report, Say, silent
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry

if TYPE_CHECKING:
    from tftctl.select.tft_gating import Gating


def gating_job(workspace: Workspace, source: str, out: Path, say: Say, report: Report = silent) -> Gating:
    """`tftctl select tft-gating`."""
    from tftctl.select.tft_gating import gate_evidence

    return gate_evidence(workspace, source, out, load_registry(workspace), say, report)
