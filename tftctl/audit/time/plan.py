"""What could be mended of what a time audit found: proposed, with reasons, and never done unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tftctl.audit.time.audit import Judged, TimeAudit
from tftctl.audit.time.evidence import write_json
from tftctl.audit.time.files import FileOptions
from tftctl.audit.time.measure import Measured
from tftctl.core.errors import DataError, UsageError
from tftctl.core.times import iso

Kind = Literal["sort", "drop", "reject", "rewrite", "leave"]
# a repaired copy is sorted in memory
LARGEST_BYTES = 2 << 30
_DERIVED = ("features", "targets", "fused")


@dataclass(frozen=True, slots=True)
class Action:
    """One proposal. `leave`: nothing is done, `why` says what a person can do. Everything else is done in a copy."""

    source: str
    symbol: str
    period: str | None
    action: Kind
    rows: int
    why: str


@dataclass(frozen=True, slots=True)
class Repair:
    """A file of which a repaired copy can be made; size and time of its last change tell whether it still is that one.

    Rows whose time lies after `until_ms` (by symbol and period) were not over when the audit looked at them.
    """

    path: str
    size: int
    modified_ns: int
    output: str
    rejects: str
    rewrite: bool
    options: FileOptions
    until_ms: dict[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it, and the file that holds it."""

    actions: tuple[Action, ...]
    repairs: tuple[Repair, ...]
    file: Path

    def document(self) -> dict[str, Any]:
        """As plan.json holds it."""
        return {"actions": [asdict(a) for a in self.actions], "repairs": [asdict(r) for r in self.repairs]}


def group_key(symbol: str | None, period: str | None) -> str:
    """One text for a group of a file."""
    return f"{symbol} {period or '-'}"


def propose(found: TimeAudit, options: FileOptions, now: int) -> Plan:
    """A plan for what was found, written beside the report."""
    actions: list[Action] = []
    repairs: list[Repair] = []
    for place in dict.fromkeys(judged.group.series.place for judged in found.groups):
        here = [judged for judged in found.groups if judged.group.series.place == place]
        groups = [judged.group for judged in here]
        if groups[0].series.table:
            actions += [action for judged in here for action in _of_table(judged)]
            continue
        proposed = [action for group in groups for action in _of_file(group, now)]
        repair = _repair(Path(place), groups, options, now) if any(a.action != "leave" for a in proposed) else None
        if repair is not None and repair.size > LARGEST_BYTES:
            actions += [Action(a.source, a.symbol, a.period, "leave", a.rows, f"too large to sort here: {a.why}")
                        for a in proposed]  # fmt: skip
            continue
        actions += proposed
        repairs += [repair] if repair else []
    plan = Plan(tuple(actions), tuple(repairs), found.folder / "plan.json")
    write_json(plan.file, plan.document())
    return plan


def read_plan(path: Path) -> Plan:
    """A plan that `propose` wrote. Raises UsageError for anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        actions = tuple(Action(**item) for item in document["actions"])
        repairs = tuple(Repair(**(item | {"options": FileOptions(**item["options"])})) for item in document["repairs"])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "make a plan: tftctl audit time --fix") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no plan: {error}", "make one: tftctl audit time --fix") from None
    return Plan(actions, repairs, path)


def _of_file(found: Measured, now: int) -> Iterator[Action]:
    series, writing = found.series, found.series.writing

    def act(kind: Kind, rows: int, why: str) -> Action:
        return Action(series.place, series.symbol, series.period, kind, rows, why)

    if writing.unreadable:
        yield act("reject", writing.unreadable, "no readable time")
    if series.contradicting.size:
        rows = int(np.isin(series.stamps, series.contradicting).sum())
        yield act("reject", rows, "rows of one time say different things, and nothing says which is right")
    if late := int((series.stamps > _until(found, now)).sum()):
        yield act("reject", late, "not over yet")
    if found.equal:
        yield act("drop", found.equal, "repeats another row exactly")
    if found.order != "ascending":
        yield act("sort", int(series.stamps.size), f"the order is {found.order}")
    if len(writing.units) > 1:
        yield act("rewrite", sum(writing.units.values()), "times in several units: all in milliseconds UTC")
    if found.clock:
        yield act("leave", int(found.repeated.size), "local times: import the file with --timezone ZONE")
    if found.off_grid.size:
        yield act("leave", int(found.off_grid.size), "times beside the grid: nothing says where they belong")
    if found.missing:
        yield act("leave", found.missing, "missing rows: only their source has them")


def _of_table(judged: Judged) -> Iterator[Action]:
    """A snapshot never changes, and what could not be a bar was refused when it was imported."""
    found, series = judged.group, judged.group.series

    def leave(rows: int, why: str) -> Action:
        return Action(series.place, series.symbol, series.period, "leave", rows, why)

    if found.missing and series.place == "bars":
        yield leave(found.missing, "missing bars: import a file that has them: tftctl data import FILES")
    elif found.missing and series.place == "macro":
        yield leave(found.missing, "missing values: import them: tftctl macro import FILE")
    for finding in judged.findings:
        if finding.verdict == "FAIL" and finding.check != "gaps":
            again = "make it again: tftctl features build" if series.place in _DERIVED else "see: tftctl store verify"
            yield leave(0, f"{finding.kind}: a snapshot never changes; {again}")


def _until(found: Measured, now: int) -> int:
    return now - (found.declared_ms or found.step_ms or 0)


def _repair(path: Path, groups: Sequence[Measured], options: FileOptions, now: int) -> Repair:
    facts = path.stat()
    stem = path.name.split(".")[0]
    suffix = ".parquet" if path.suffix.lower() == ".parquet" else ".csv"
    return Repair(
        path=str(path.resolve()),
        size=facts.st_size,
        modified_ns=facts.st_mtime_ns,
        output=str(path.resolve().with_name(f"{stem}.repaired{suffix}")),
        rejects=str(path.resolve().with_name(f"{stem}.rejects.csv")),
        rewrite=any(len(group.series.writing.units) > 1 for group in groups),
        options=options,
        until_ms={group_key(g.series.symbol, g.series.period): _until(g, now) for g in groups},
    )


def check_unchanged(repair: Repair) -> None:
    """Raises DataError when the file is not the one that was audited, or a file would be overwritten."""
    path = Path(repair.path)
    if not path.exists():
        raise DataError(f"{path} is not there any more", "audit it again where it is: tftctl audit time FILE --fix")
    facts = path.stat()
    if (facts.st_size, facts.st_mtime_ns) != (repair.size, repair.modified_ns):
        changed = iso(facts.st_mtime_ns // 1_000_000)
        raise DataError(f"{path} was changed at {changed}, after the audit", "audit it again: tftctl audit time --fix")
    for output in (repair.output, repair.rejects):
        if Path(output).exists():
            raise DataError(f"{output} is there already, and is not overwritten", "move it away")
