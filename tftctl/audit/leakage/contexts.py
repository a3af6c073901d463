"""Context columns of a fused table that was made elsewhere, joined again from the table's own slower rows.

Nobody says how old a value may be, nor which slower rows were left out: later values are a leak, earlier ones are not,
and what no slower row of the table explains is NOT PROVEN.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.findings import Finding
from tftctl.audit.leakage.evidence import Evidence, Unproven
from tftctl.audit.leakage.joins import Join, Misjoined, misjoined, note_misjoined, slow_rows
from tftctl.audit.leakage.merges import apart32, wrong_ways
from tftctl.core.times import iso
from tftctl.features.engine import numbers
from tftctl.features.reading import by_symbol
from tftctl.store import Snapshot

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = Mapping[str, Array]

FARTHEST_LAG = 8  # slow bars
LEAST_SLOW = 20  # slow bars whose rows have to show a lag
SAME = 0.99
LATER = "later than it could be"
NO_ROW = "it has values where no {} row of the table was available: nothing to hold them against"
UNEXPLAINED = "some rows are not those of the last {} row that was available, and no wrong join explains them"


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """A context column: `stored`, the `values` of slow rows and which of them each row sees (-1 for none)."""

    stored: Array
    values: Array
    own: npt.NDArray[np.int64]

    def seen(self, lag: int = 0) -> Array:
        """What the rows should hold, or would hold with a lag of so many slow rows more (fewer: of later ones)."""
        place = self.own - lag
        known = (place >= 0) & (place < self.values.size)
        return np.where(known, self.values[np.where(known, place, 0)], np.nan)


def context_joins(
    snapshot: Snapshot, rows: pl.DataFrame, group: tuple[str, str], columns: Mapping[str, Mapping[str, object]]
) -> Iterator[tuple[str, Join]]:
    """Slow period, and what one group's fused rows show of it. `columns`: entries of the table by name."""
    for slow in snapshot.periods("fused"):
        names = _seen_from(columns, slow)
        if slow == group[1] or not names or group[0] not in snapshot.symbols("fused", slow):
            continue
        known = by_symbol(snapshot, "fused", slow, [group[0]], ["available_at", "is_filled", *names])
        yield (
            slow,
            Join(
                *group,
                fast=rows,
                slow=known[group[0]].filter(~pl.col("is_filled")).drop("symbol", "period", "is_filled"),
                columns={name: f"{name}__{slow}" for name in names},
                age=None,
                max_stale=None,
            ),
        )


def judge_join(slow: str, join: Join, labels: Labels, evidence: Evidence) -> Iterator[Finding]:
    """Note leaks and what nothing explains; findings that pass: columns with values of earlier slow rows."""
    for found in misjoined(join, lambda value, expected: wrong_ways(expected, labels)):
        value = next(value for value, column in join.columns.items() if column == found.column)
        column = _column(join, value)
        expected = column.seen()
        apart = apart32(column.stored, expected) & np.isfinite(column.stored)
        earlier = _earlier(column, apart)
        if earlier.any():
            yield _told(found, slow, join.fast["timestamp"].to_numpy()[earlier])
        rest = apart & ~earlier
        if not rest.any():
            continue
        # rows that nothing can be held against would blur what the others show
        leak = _among(join, value, np.isfinite(expected) & ~earlier, labels)
        if leak is None and found.kind is not None and not earlier.any():
            leak = found
        if leak is not None:
            note_misjoined(leak, evidence)
        else:
            why = UNEXPLAINED if np.isfinite(expected[rest]).any() else NO_ROW
            evidence.unproven.append(Unproven(found.column, found.symbol, found.period, why.format(slow)))


def first_of_each(told: Iterable[Finding]) -> Iterator[Finding]:
    """One finding per column: the first, with the number of other groups."""
    by_column: dict[str | None, list[Finding]] = {}
    for finding in told:
        by_column.setdefault(finding.column, []).append(finding)
    for some in by_column.values():
        more = f"; and in {len(some) - 1} groups more" if len(some) > 1 else ""
        yield replace(some[0], detail=some[0].detail + more)


def _seen_from(columns: Mapping[str, Mapping[str, object]], slow: str) -> list[str]:
    return [str(e["source"]) for e in columns.values() if e["context_period"] == slow and e["source"] in columns]


def _column(join: Join, value: str) -> _Column:
    rows = slow_rows(join)
    at = join.fast["available_at"].to_numpy()
    own = np.searchsorted(rows["available_at"].to_numpy(), at, side="right") - 1
    return _Column(numbers(join.fast[join.columns[value]]), numbers(rows[value]), own)


def _earlier(column: _Column, apart: Mask) -> Mask:
    """Of the rows `apart` those with the value of an earlier slow row, where that is one lag of nearly all of them.

    A delay that is no whole number of slow bars gives two lags, one after the other. Of values that come round, as the
    hour of a day, nobody can tell an earlier one from a later.
    """
    none = np.zeros(apart.size, bool)
    if any(_nearly_all(_equal(column, -lead), apart) for lead in range(1, FARTHEST_LAG + 1)):
        return none
    for lag, more in ((lag, more) for lag in range(1, FARTHEST_LAG + 1) for more in (0, 1)):
        rows = apart & (column.own >= lag + more)
        same = _equal(column, lag) | _equal(column, lag + more)
        if np.unique(column.own[rows]).size >= LEAST_SLOW and _nearly_all(same, rows):
            return apart & same
    return none


def _nearly_all(same: Mask, rows: Mask) -> bool:
    return bool((same & rows).sum() >= SAME * rows.sum())


def _equal(column: _Column, lag: int) -> Mask:
    return ~apart32(column.stored, column.seen(lag))


def _among(join: Join, value: str, rows: Mask, labels: Labels) -> Misjoined | None:
    """The leak that explains these rows without the others; None where none does."""
    if rows.all() or not rows.any():
        return None
    here = {name: label[rows] for name, label in labels.items()}
    part = replace(join, fast=join.fast.filter(pl.Series(rows)), columns={value: join.columns[value]})
    found = next(misjoined(part, lambda value, expected: wrong_ways(expected, here)), None)
    return found if found is not None and found.kind is not None else None


def _told(found: Misjoined, slow: str, rows: npt.NDArray[np.int64]) -> Finding:
    text = f"{rows.size:,} rows hold earlier {slow} rows than the last that was available, which is no leak"
    return Finding("fusion", LATER, text, found.column, found.symbol, found.period, iso(int(rows[0])), "PASS")
