"""What the facts of a group mean: violations, things that nothing declares, things worth telling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tftctl.audit.findings import Finding
from tftctl.audit.time.measure import Measured
from tftctl.core.times import iso
from tftctl.ingest.bars import span_text

# so many flat bars at the end are a stopped feed rather than a quiet hour
STALE_BARS = 3
CHECKS = (
    "readable", "units", "order", "duplicates", "grid", "step", "gaps", "daylight saving", "future", "stale tail",
    "ragged end", "revisions",
)  # fmt: skip


def judge(found: Measured, now: int, max_missing: float | None) -> Iterator[Finding]:
    """The findings of one group by itself."""
    for check in (_readable, _units, _offsets, _order, _duplicates, _grid, _step, _clock, _stale, _revised):
        yield from check(found)
    yield from _gaps(found, max_missing)
    yield from _future(found, now)


def ragged_ends(groups: Sequence[Measured]) -> list[Finding | None]:
    """For each group, whether it ends more than one expected bar before the last of its source and period."""
    members: dict[Any, list[Measured]] = {}
    for group in groups:
        members.setdefault(_kind(group), []).append(group)
    return [_ragged_end(group, members[_kind(group)]) for group in groups]


def _kind(group: Measured) -> Any:
    """What has to end together: a period of a table, the files of one step. Macro series come when they come."""
    series = group.series
    if series.place == "macro":
        return series.symbol, series.period
    return (series.place, series.period) if series.table else group.step_ms


def _ragged_end(group: Measured, members: Sequence[Measured]) -> Finding | None:
    last = max(int(member.unique[-1]) for member in members)
    grid, end = group.series.grid, int(group.unique[-1])
    lacking = grid.expected(end + 1, last) if grid and end < last else 0
    if lacking <= 1:
        return None
    detail = f"ends {lacking:,} expected bars before the last of {len(members)}, which ends at {iso(last)}"
    return _finding(group, "ragged end", "ragged end", detail, end, "PASS")


def _readable(found: Measured) -> Iterator[Finding]:
    writing = found.series.writing
    if writing.unreadable:
        detail = f"{writing.unreadable:,} rows have no readable time, the first: {writing.first_unreadable}"
        yield _finding(found, "readable", "unreadable time", detail, writing.first_unreadable)


def _units(found: Measured) -> Iterator[Finding]:
    units = found.series.writing.units
    if len(units) > 1:
        parts = ", ".join(f"{count:,} in {unit}" for unit, count in sorted(units.items(), key=lambda item: -item[1]))
        yield _finding(found, "units", "mixed units", f"one time column in several units: {parts}")


def _offsets(found: Measured) -> Iterator[Finding]:
    offsets = found.series.writing.offsets
    if len(offsets) > 1:
        parts = ", ".join(f"{count:,} with {offset}" for offset, count in sorted(offsets.items()))
        detail = f"{parts}: read as they say, they are unambiguous; without their offset hours would repeat and miss"
        yield _finding(found, "daylight saving", "changing offsets", detail, verdict="PASS")


def _order(found: Measured) -> Iterator[Finding]:
    if found.order == "mixed":
        row = int(found.series.stamps[(found.out_of_order or 1) - 1])
        yield _finding(found, "order", "out of order", f"row {found.out_of_order:,} of the group steps back", row)
    elif found.order == "descending" and not found.series.table:
        yield _finding(found, "order", "descending", "the newest row comes first", verdict="PASS")
    elif found.order == "descending":
        yield _finding(found, "order", "out of order", "a table is sorted, the newest last", found.unique[-1])


def _duplicates(found: Measured) -> Iterator[Finding]:
    contested = found.series.contradicting
    if contested.size:
        detail = f"rows of one time say different things, at {contested.size:,} of the times"
        yield _finding(found, "duplicates", "contradicting duplicates", detail, contested.min())
    if found.equal and found.series.table:
        detail = f"{found.equal:,} rows share a key that a table holds once"
        yield _finding(found, "duplicates", "duplicate keys", detail, found.repeated[0])
    elif found.equal:
        agreed = found.repeated[~np.isin(found.repeated, contested)]
        detail = f"{found.equal:,} rows repeat another one exactly"
        yield _finding(
            found, "duplicates", "equal duplicates", detail, (agreed if agreed.size else contested)[0], "PASS"
        )


def _grid(found: Measured) -> Iterator[Finding]:
    grid = found.series.grid
    if grid is None or not found.off_grid.size:
        return
    detail = f"{found.off_grid.size:,} times at which no bar opens ({grid.name})"
    yield _finding(found, "grid", "off the grid", detail, found.off_grid[0])


def _step(found: Measured) -> Iterator[Finding]:
    """What nothing declares, and a declared period that the times contradict."""
    series, grid, step = found.series, found.series.grid, found.step_ms
    if step is None:
        yield _finding(found, "step", "one row", "one time: nothing shows a step or a gap", verdict="NOT PROVEN")
    elif found.declared_ms and step < found.declared_ms:
        detail = f"declared {series.period}, but {found.step_share:.0%} of the steps are {span_text(step)}"
        yield _finding(found, "step", "another step", detail, found.unique[0])
    elif grid is None:
        detail = f"no step is usual ({span_text(step)} is {found.step_share:.0%} of them): gaps and grid are unknown"
        yield _finding(found, "step", "irregular", detail, verdict="NOT PROVEN")
    elif not grid.declared:
        known = (
            f"the period {series.period} is declared, its calendar is not" if series.period else "nothing is declared"
        )
        detail = f"{known}: expected rows are those of {grid.name}, as the times show it"
        yield _finding(found, "step", "inferred", detail, verdict="NOT PROVEN")


def _gaps(found: Measured, max_missing: float | None) -> Iterator[Finding]:
    if not found.missing or not found.expected:
        return
    share, longest = found.missing / found.expected, found.holes[0]
    detail = f"{found.missing:,} of {found.expected:,} expected rows are missing in {len(found.holes):,} gaps, " \
             f"the longest {longest.missing:,} from {iso(longest.first)}"  # fmt: skip
    too_many = max_missing is not None and share > max_missing
    if too_many:
        detail += f"; {share:.2%} is above --max-missing {max_missing:g}"
    yield _finding(found, "gaps", "gap", detail, longest.first, "FAIL" if too_many else "PASS")


def _clock(found: Measured) -> Iterator[Finding]:
    if found.clock:
        yield _finding(found, "daylight saving", "daylight saving", found.clock.words, found.clock.first)


def _future(found: Measured, now: int) -> Iterator[Finding]:
    """Rows whose bar is not over yet (T1), and rows that were complete before they began."""
    series, length = found.series, found.declared_ms or found.step_ms or 0
    due = series.available if series.available is not None else series.stamps + length
    late = series.stamps[due > now]
    if late.size:
        detail = f"{late.size:,} rows are complete only after now ({iso(now)})"
        yield _finding(found, "future", "in the future", detail, late.min())
    early = series.stamps[due < series.stamps] if series.available is not None else late[:0]
    if early.size:
        detail = f"{early.size:,} rows are available before they open"
        yield _finding(found, "future", "available too early", detail, early.min())


def _stale(found: Measured) -> Iterator[Finding]:
    if found.stale_tail and found.stale_tail >= STALE_BARS:
        detail = f"the last {found.stale_tail:,} bars are flat and without volume"
        first = found.unique[-min(found.stale_tail, found.unique.size)]
        yield _finding(found, "stale tail", "stale tail", detail, first, "PASS")


def _revised(found: Measured) -> Iterator[Finding]:
    if found.series.revised:
        detail = "a revised series without vintages: what was known when is not in the data (T6)"
        yield _finding(found, "revisions", "revised", detail, verdict="NOT PROVEN")


def _finding(found: Measured, check: str, kind: str, detail: str, row: Any = None, verdict: Any = "FAIL") -> Finding:
    """A finding of this group; `row` a time (ms) or what the file says."""
    place = row if row is None or isinstance(row, str) else iso(int(row))
    series = found.series
    return Finding(check, kind, f"{series.place}: {detail}", None, series.symbol, series.period, place, verdict)
