"""How much is tried: the same for a test's planted leak and for a user's table.

A look-ahead is a formula's, not a group's: groups share the rows to try, so that many of them do not cost as many times
more. Every group takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

# windows around a cut, over all groups together, and of one group
CUTS, LEAST_CUTS, MOST_CUTS = 36, 2, 24
LABEL_CUTS, MOST_LABEL_CUTS = 18, 6
# groups, the largest ones, in which all bars before a cut are compared
WHOLE_GROUPS = 12
# rows per target whose past is changed
PIVOTS, MOST_PIVOTS = 36, 8
# single rows of a column before which nothing and after which one bar changes
POKED_ROWS = 2000
# values that the runs for one column may compute, over all groups, where the rows to try are many for the bars
MOST_VALUES = 6_000_000
# bars of a window after its cut, and before it beyond what columns remember
FUTURE_BARS, SPARE_BARS = 600, 400


@dataclass(frozen=True, slots=True)
class Effort:
    """`groups` and `bars` are those of the whole audit."""

    groups: int
    bars: int

    @property
    def cuts(self) -> int:
        """Windows per group."""
        return _shared(CUTS, self.groups, LEAST_CUTS, MOST_CUTS)

    @property
    def label_cuts(self) -> int:
        """Windows per group in which labels are tried."""
        return _shared(LABEL_CUTS, self.groups, 1, MOST_LABEL_CUTS)

    @property
    def pivots(self) -> int:
        """Rows per group and target whose past is changed."""
        return _shared(PIVOTS, self.groups, 1, MOST_PIVOTS)

    def runs(self, spacing: int) -> float:
        """Runs over all bars, each with one bar in `spacing` changed; `spacing` of them try every row.

        Below 1 it is the share of the bars that one run needs to see.
        """
        wanted = POKED_ROWS * spacing / max(self.bars, 1)
        affordable = MOST_VALUES / max(self.bars, 1)
        return min(wanted, max(affordable, 1.0), float(spacing))


def _shared(total: int, groups: int, least: int, most: int) -> int:
    return min(max(ceil(total / max(groups, 1)), least), most)
