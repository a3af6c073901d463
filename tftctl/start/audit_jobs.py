"""The audits with the workspace's store and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.errors import DataError
from tftctl.core.progress import Report, silent
from tftctl.core.times import now_ms
from tftctl.core.workspace import Workspace

if TYPE_CHECKING:
    from tftctl.audit.time.audit import TimeAudit, TimeOptions
    from tftctl.audit.time.plan import Plan
    from tftctl.audit.time.repair import Repaired


def time_job(
    workspace: Workspace,
    names: Sequence[str],
    options: TimeOptions,
    report: Report = silent,
    *,
    everything: bool = False,
    fix: bool = False,
) -> tuple[TimeAudit, Plan | None]:
    """`tftctl audit time`: bars without names, all tables that are there with `everything`; a plan with `fix`."""
    from tftctl.audit.time.audit import audit_time
    from tftctl.audit.time.plan import propose
    from tftctl.audit.time.tables import TABLES
    from tftctl.store import Store

    now = now_ms()
    with Store(workspace.store).read() as snapshot:
        there = [table for table in TABLES if snapshot.has(table)]
        if everything and not there:
            raise DataError("the store has no tables yet", "import bars: tftctl data import FILES")
        asked = [*(there if everything else []), *names] or ["bars"]
        found = audit_time(snapshot, list(dict.fromkeys(asked)), workspace.reports, now, options, report)
    return found, propose(found, options.file, now) if fix else None


def apply_job(plan: Path) -> list[Repaired]:
    """`tftctl audit time --apply PLAN`."""
    from tftctl.audit.time.plan import read_plan
    from tftctl.audit.time.repair import apply_plan

    return apply_plan(read_plan(plan))
