"""The audits with the workspace's store and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.errors import ConfigError, DataError
from tftctl.core.progress import Report, silent
from tftctl.core.times import now_ms
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry

if TYPE_CHECKING:
    from tftctl.audit.findings import Audit, Case
    from tftctl.audit.time.audit import TimeAudit, TimeOptions
    from tftctl.audit.time.plan import Plan
    from tftctl.audit.time.repair import Repaired


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit, its cases for JUnit, where its report is, and the snapshot that keeps its verdict (None: none does)."""

    audit: Audit
    cases: tuple[Case, ...]
    report: Path
    recorded: int | None


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
    from tftctl.features.verdict import record_audit
    from tftctl.store import Store

    now, store = now_ms(), Store(workspace.store)
    with store.read() as snapshot:
        there = [table for table in TABLES if snapshot.has(table)]
        if everything and not there:
            raise DataError("the store has no tables yet", "import bars: tftctl data import FILES")
        asked = [*(there if everything else []), *names] or ["bars"]
        found = audit_time(snapshot, list(dict.fromkeys(asked)), workspace.reports, now, options, report)
        if {"fused", "targets"} <= set(asked) & set(there):
            record_audit(store, snapshot, "time", found.audit.verdict)
    return found, propose(found, options.file, now) if fix else None


def apply_job(plan: Path) -> list[Repaired]:
    """`tftctl audit time --apply PLAN`."""
    from tftctl.audit.time.plan import read_plan
    from tftctl.audit.time.repair import apply_plan

    return apply_plan(read_plan(plan))


def leakage_job(workspace: Workspace, run: str | None, jobs: int | None, report: Report = silent) -> Audited:
    """`tftctl audit leakage`: of the current snapshot; with `run` also of that run's forecasts (A3)."""
    from tftctl.audit.findings import joined
    from tftctl.audit.time.evidence import new_folder, write_json

    _require_run(workspace, run)
    leakage, recorded = _leakage(workspace, jobs, report)
    audits = [leakage, *([_forecasts(workspace, run, report)] if run else [])]
    audit = joined("leakage and forecasts", audits) if run else leakage
    path = write_json(new_folder(workspace.reports, "leakage", now_ms()) / "report.json", audit.document())
    return Audited(audit, tuple(case for one in audits for case in one.cases()), path, recorded)


def all_job(workspace: Workspace, run: str | None, jobs: int | None, report: Report = silent) -> Audited:
    """`tftctl audit all`: time of every table, leakage, splits (of the run, or of what would be trained)."""
    from tftctl.audit.findings import joined
    from tftctl.audit.time.audit import TimeOptions
    from tftctl.audit.time.evidence import new_folder, write_json

    _require_run(workspace, run)
    time, _ = time_job(workspace, [], TimeOptions(), report, everything=True)
    leakage, recorded = _leakage(workspace, jobs, report)
    audits = [leakage, _splits(workspace, run), *([_forecasts(workspace, run, report)] if run else [])]
    audit = joined("all", [time.audit, *audits])
    cases = (*time.cases(), *(case for one in audits for case in one.cases()))
    path = write_json(new_folder(workspace.reports, "all", now_ms()) / "report.json", audit.document())
    return Audited(audit, cases, path, recorded)


def _leakage(workspace: Workspace, jobs: int | None, report: Report) -> tuple[Audit, int | None]:
    from tftctl.audit.leakage.audit import Spread, audit_leakage
    from tftctl.features.verdict import record_audit
    from tftctl.store import Store

    store = Store(workspace.store)
    with store.read() as snapshot:
        spread = Spread(jobs, partial(load_registry, workspace))
        audit = audit_leakage(store, snapshot, load_registry(workspace), report, spread)
        return audit, record_audit(store, snapshot, "leakage", audit.verdict)


def _splits(workspace: Workspace, run: str | None) -> Audit:
    """Where nothing can be trained, nothing is shown either."""
    from tftctl.audit.findings import Audit, Finding
    from tftctl.start.split_jobs import audit_splits_job

    try:
        return audit_splits_job(workspace, run, [], _quiet)
    except (DataError, ConfigError) as error:
        found = Finding("splits", "not proven", f"there is nothing to train: {error.message}", verdict="NOT PROVEN")
        return Audit("splits", (found,))


def _require_run(workspace: Workspace, run: str | None) -> None:
    """Told before anything is computed. Raises UsageError for a run that is not there."""
    from tftctl.train.rundir import find_run

    if run is not None:
        find_run(workspace, run)


def _forecasts(workspace: Workspace, run: str, report: Report) -> Audit:
    from tftctl.audit.forecasts import audit_forecasts
    from tftctl.store import Store
    from tftctl.train.ancestor import load_ancestor

    loaded, _ = load_ancestor(workspace, run)
    return audit_forecasts(Store(workspace.store), loaded, load_registry(workspace), report)


def _quiet(line: str) -> None:
    """What a training would say of its windows is not what an audit is asked for."""
