"""The time audit of tables and files: measure every group, judge it, keep the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tftctl.audit.findings import Audit, Case, Finding
from tftctl.audit.time.checks import CHECKS, judge, ragged_ends
from tftctl.audit.time.evidence import longest_gaps, new_folder, write_gaps, write_json
from tftctl.audit.time.files import FileOptions, read_series
from tftctl.audit.time.measure import Measured, measure
from tftctl.audit.time.series import Series
from tftctl.audit.time.tables import TABLES, table_series
from tftctl.core.errors import DataError, UsageError, choices
from tftctl.core.progress import Report, silent
from tftctl.core.verdicts import worst
from tftctl.store import Snapshot

LONGEST = 20
CHECKED = (
    "every time is readable, in one unit, in order, on the grid and there once",
    "no row is complete only after now, none before it opens",
    "no hour repeats or misses where clocks change",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOptions:
    """`max_missing`: share of the expected rows above which gaps are violations. `file`: what is declared of files."""

    max_missing: float | None = None
    file: FileOptions = field(default_factory=FileOptions)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A group and its findings."""

    group: Measured
    findings: tuple[Finding, ...]

    def document(self) -> dict[str, Any]:
        """A row of `groups`."""
        return self.group.document() | {"verdict": worst(finding.verdict for finding in self.findings)}


@dataclass(frozen=True, slots=True, eq=False)
class TimeAudit:
    """The audit, its groups, and where its evidence is."""

    audit: Audit
    groups: tuple[Judged, ...]
    folder: Path
    gaps_file: Path

    def cases(self) -> Iterator[Case]:
        """Group and check -> its findings; last the files that cannot be read."""
        for judged in self.groups:
            for check in CHECKS:
                yield (judged.group.series.label, check), [f for f in judged.findings if f.check == check]
        known = {id(finding) for judged in self.groups for finding in judged.findings}
        for finding in self.audit.findings:
            if id(finding) not in known:
                yield (finding.detail.split(": ")[0], finding.check), [finding]


def audit_time(
    snapshot: Snapshot | None, names: Sequence[str], reports: Path, now: int, options: TimeOptions,
    report: Report = silent,
) -> TimeAudit:  # fmt: skip
    """Audit tables of a snapshot and files. Raises DataError where one that is asked alone cannot be read."""
    series, broken = _collect(snapshot, names, options.file, report)
    measured = [measure(one) for one in series]
    ends = ragged_ends(measured)
    groups = tuple(
        Judged(group, (*judge(group, now, options.max_missing), *([end] if end else [])))
        for group, end in zip(measured, ends, strict=True)
    )
    folder = new_folder(reports, "time", now)
    gaps = write_gaps(folder, measured)
    facts = {
        "groups": [judged.document() for judged in groups],
        "longest_gaps": longest_gaps(measured, LONGEST),
        "gaps_file": str(gaps),
        "snapshot": snapshot.number if snapshot and any(one.table for one in series) else None,
    }
    findings = (*broken, *(finding for judged in groups for finding in judged.findings))
    audit = Audit("time", findings, CHECKED, facts)
    write_json(folder / "report.json", audit.document())
    return TimeAudit(audit, groups, folder, gaps)


def _collect(
    snapshot: Snapshot | None, names: Sequence[str], options: FileOptions, report: Report
) -> tuple[list[Series], list[Finding]]:
    """All groups; a file among several that cannot be read is a finding, one that is asked alone an error."""
    tables = [name for name in names if name in TABLES and snapshot is not None]
    for name in names:
        if name not in tables and not Path(name).exists():
            raise UsageError(f"{name} is neither a table nor a file", choices(name, TABLES, "tables"))
    series: list[Series] = []
    broken: list[Finding] = []
    for done, name in enumerate(names, 1):
        try:
            series += table_series(snapshot, name) if snapshot and name in tables else read_series(Path(name), options)
        except DataError as error:
            if len(names) == 1 or name in tables:
                raise
            broken.append(Finding("readable", "unreadable", f"{name}: {error.message}"))
        report("audit time", done, len(names))
    return series, broken
