"""What one group's recomputation shows, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

MOST_ROWS = 16
UNSTEADY = "two identical runs give different values"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A column whose values at some rows are others when what they may not know is.

    `rows`: open times (int64 ms) of rows that were seen to differ, the first and the last; `how`: what was done;
    `kind`: the class of the leak where the check itself says it, else it is asked of the formula.
    """

    column: str
    symbol: str
    period: str
    rows: tuple[int, ...]
    how: str
    check: str = "features"
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Unproven:
    """A column of which nothing can be said, and why."""

    column: str
    symbol: str
    period: str
    why: str


@dataclass(frozen=True, slots=True)
class Stale:
    """A stored column that a fresh computation from the same bars does not give: `count` rows, from `row` on."""

    table: str
    column: str
    symbol: str
    period: str
    count: int
    row: int


@dataclass(slots=True)
class Evidence:
    """All of one group.

    `cuts` are instants (ms), `poked` how many single rows were tried, `valued` the columns that have any value,
    `valid` those that had one in a comparison, `tried` the targets of whose labels some was asked for its horizon,
    `reacting` those where a bar of it changed one.
    """

    suspicions: list[Suspicion] = field(default_factory=list)
    unproven: list[Unproven] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    poked: int = 0
    valued: set[str] = field(default_factory=set)
    valid: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    reacting: set[str] = field(default_factory=set)

    def outdated(self, table: str, column: str, group: tuple[str, str], rows: npt.ArrayLike) -> None:
        """Note a stored column of (symbol, period) that is not what it should be at these open times, ascending."""
        stamps = np.asarray(rows, dtype=np.int64)
        if stamps.size:
            self.stale.append(Stale(table, column, *group, stamps.size, int(stamps[0])))

    def suspect(
        self,
        column: str,
        group: tuple[str, str],
        rows: npt.ArrayLike,
        how: str,
        check: str = "features",
        kind: str | None = None,
    ) -> None:
        """Note rows of (symbol, period) at which a column differs."""
        found = np.unique(np.asarray(rows, dtype=np.int64)).tolist()
        if len(found) > MOST_ROWS:
            found = found[: MOST_ROWS // 2] + found[-MOST_ROWS // 2 :]
        self.suspicions.append(Suspicion(column, *group, tuple(found), how, check, kind))
