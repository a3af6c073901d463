"""The audits with the workspace's store and reports."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.errors import DataError, StoreError, TftctlError, TftctlWarning
from tftctl.core.progress import Report, silent
from tftctl.core.times import now_ms
from tftctl.core.verdicts import Verdict, worst
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry

if TYPE_CHECKING:
    from tftctl.audit.findings import Audit, Case
    from tftctl.audit.time.audit import TimeAudit, TimeOptions
    from tftctl.audit.time.plan import Plan
    from tftctl.audit.time.repair import Repaired
    from tftctl.store import Snapshot, Store


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit, its cases for JUnit, where its report is, and which snapshot keeps its verdict, or why none does."""

    audit: Audit
    cases: tuple[Case, ...]
    report: Path
    recorded: int | None
    not_recorded: str | None = None


def time_job(
    workspace: Workspace,
    names: Sequence[str],
    options: TimeOptions,
    report: Report = silent,
    *,
    everything: bool = False,
    fix: bool = False,
) -> tuple[TimeAudit, Plan | None]:
    """`tftctl audit time`: bars without names, all tables that are there with `everything`; a plan with `fix`.

    Features and labels that are audited together keep the verdict; warns where the store cannot.
    """
    from tftctl.audit.time.audit import audit_time
    from tftctl.audit.time.plan import propose
    from tftctl.audit.time.tables import TABLES
    from tftctl.store import Store

    now, store = now_ms(), Store(workspace.store)
    with store.read() as snapshot:
        there = [table for table in TABLES if snapshot.has(table)]
        if everything and not there:
            raise DataError("the store has no tables yet", "import bars: tftctl data import FILES")
        asked = [*(there if everything else []), *names] or ["bars"]
        found = audit_time(snapshot, list(dict.fromkeys(asked)), workspace.reports, now, options, report)
        if {"fused", "targets"} <= set(asked) & set(there):
            groups = [judged for judged in found.groups if judged.group.series.table]
            verdict = worst(finding.verdict for judged in groups for finding in judged.findings)
            _, why = _keep(store, snapshot, "time", verdict)
            if why is not None:
                warnings.warn(f"the verdict is kept nowhere: {why}", TftctlWarning, stacklevel=2)
    return found, propose(found, options.file, now) if fix else None


def apply_job(plan: Path) -> list[Repaired]:
    """`tftctl audit time --apply PLAN`."""
    from tftctl.audit.time.plan import read_plan
    from tftctl.audit.time.repair import apply_plan

    return apply_plan(read_plan(plan))


def leakage_job(workspace: Workspace, run: str | None, jobs: int | None, report: Report = silent) -> Audited:
    """`tftctl audit leakage`: of the current snapshot; with `run` also of that run's forecasts (A3)."""
    from tftctl.audit.findings import joined

    _require_run(workspace, run)
    leakage = _leakage(workspace, "leakage", jobs, report)
    if run is None:
        return leakage
    forecasts = _forecasts(workspace, run, report)
    audit = joined("leakage and forecasts", [leakage.audit, forecasts])
    return _completed(leakage, audit, (*leakage.cases, *forecasts.cases()))


def all_job(workspace: Workspace, run: str | None, jobs: int | None, report: Report = silent) -> Audited:
    """`tftctl audit all`: time of every table, leakage, splits (of the run, or of what would be trained)."""
    from tftctl.audit.findings import joined
    from tftctl.audit.time.audit import TimeOptions

    _require_run(workspace, run)
    time, _ = time_job(workspace, [], TimeOptions(), report, everything=True)
    leakage = _leakage(workspace, "all", jobs, report)
    more = [_splits(workspace, run), *([_forecasts(workspace, run, report)] if run else [])]
    audit = joined("all", [time.audit, leakage.audit, *more])
    return _completed(leakage, audit, (*time.cases(), *leakage.cases, *(case for one in more for case in one.cases())))


def _leakage(workspace: Workspace, folder: str, jobs: int | None, report: Report) -> Audited:
    """Its report is there before the store is asked to keep the verdict, and before any other audit begins."""
    from tftctl.audit.leakage.audit import Spread, audit_leakage
    from tftctl.audit.time.evidence import new_folder, write_json
    from tftctl.store import Store

    store = Store(workspace.store)
    with store.read() as snapshot:
        spread = Spread(jobs, partial(load_registry, workspace))
        audit = audit_leakage(store, snapshot, load_registry(workspace), report, spread)
        path = write_json(new_folder(workspace.reports, folder, now_ms()) / "report.json", audit.document())
        number, why = _keep(store, snapshot, "leakage", audit.verdict)
    return Audited(audit, tuple(audit.cases()), path, number, why)


def _completed(leakage: Audited, audit: Audit, cases: tuple[Case, ...]) -> Audited:
    """More than leakage, in the report of the leakage."""
    from tftctl.audit.time.evidence import write_json

    write_json(leakage.report, audit.document())
    return replace(leakage, audit=audit, cases=cases)


def _keep(store: Store, snapshot: Snapshot, audit: str, verdict: Verdict) -> tuple[int | None, str | None]:
    """The snapshot that keeps a verdict, or why none does: what was found is told even where it cannot be written."""
    from tftctl.features.verdict import record_audit

    try:
        number = record_audit(store, snapshot, audit, verdict)
    except StoreError as error:
        return None, error.message
    return number, "the tables have changed" if number is None else None


def _splits(workspace: Workspace, run: str | None) -> Audit:
    """Where nothing can be trained, nothing is shown either."""
    from tftctl.audit.findings import Audit, Finding
    from tftctl.start.split_jobs import audit_splits_job

    try:
        return audit_splits_job(workspace, run, [], _quiet)
    except TftctlError as error:
        found = Finding("splits", "not proven", f"there is nothing to train: {error.message}", verdict="NOT PROVEN")
        return Audit("splits", (found,))


def _require_run(workspace: Workspace, run: str | None) -> None:
    """Told before anything is computed. Raises UsageError for a run that is not there."""
    from tftctl.train.rundir import find_run

    if run is not None:
        find_run(workspace, run)


def _forecasts(workspace: Workspace, run: str, report: Report) -> Audit:
    """Where the run cannot be loaded, nothing is shown, and what the other audits found stays."""
    from tftctl.audit.findings import Audit, Finding
    from tftctl.audit.forecasts import CHECKED, NAME, audit_forecasts
    from tftctl.store import Store
    from tftctl.train.ancestor import load_ancestor

    try:
        loaded, _ = load_ancestor(workspace, run)
        return audit_forecasts(Store(workspace.store), loaded, load_registry(workspace), report)
    except TftctlError as error:
        found = Finding(NAME, "cannot be forecast", error.message, verdict="NOT PROVEN")
        return Audit(NAME, (found,), CHECKED)


def _quiet(line: str) -> None:
    """What a training would say of its windows is not what an audit is asked for."""
