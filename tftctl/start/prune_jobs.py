"""`tftctl prune` with the workspace's store, reports and training configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.config.loading import load_model_config
from tftctl.core.progress import Report, silent
from tftctl.core.times import now_ms
from tftctl.core.workspace import Workspace

if TYPE_CHECKING:
    from tftctl.audit.prune.prune import Pruned
    from tftctl.audit.prune.rules import Rules


def prune_job(
    workspace: Workspace,
    rules: Rules,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    report: Report = silent,
    *,
    dry_run: bool = False,
) -> Pruned:
    """Cut as a training with this model configuration would; `dry_run` writes nothing."""
    from tftctl.audit.prune.inputs import Inputs
    from tftctl.audit.prune.prune import prune, try_out
    from tftctl.data.allowlist import workspace_allowlist
    from tftctl.store import Store

    model = load_model_config(workspace, config, overrides)
    allowlist = workspace_allowlist(workspace)
    inputs = Inputs(model.inputs, allowlist.names if allowlist else None)
    store = Store(workspace.store)
    if dry_run:
        return try_out(store, rules, model, inputs, report)
    return prune(store, rules, model, inputs, workspace.reports, now_ms(), report)
