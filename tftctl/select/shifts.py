"""Rows that stand in for others: circular shifts in time, and permutations of blocks of time (SEMANTICS A5).

Both move all symbols together: a row takes the value that its own symbol has at another instant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.data.splits import Instants

Rows = npt.NDArray[np.int64]
# label spans by which a shift has to be longer (A5)
SPANS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Rows by instant and symbol: `table` (instants, symbols) has row numbers, -1 where a symbol has none.

    `place` and `symbol` (rows,) say where each row stands.
    """

    instants: Instants
    table: Rows
    place: Rows
    symbol: Rows

    def moved(self, order: Rows) -> Rows:
        """For each row the one of its symbol at `order[place]`, -1 where that symbol has none there."""
        return self.table[order[self.place], self.symbol]

    def of(self, symbol: int) -> Rows:
        """Rows of a symbol in order of time."""
        found = self.table[:, symbol]
        return found[found >= 0]

    @property
    def symbols(self) -> int:
        """Number of columns of the table."""
        return self.table.shape[1]


def make_grid(available_at: Instants, symbol: Rows) -> Grid:
    """The grid of rows that are available at these instants; every symbol has at most one at an instant."""
    instants, place = np.unique(available_at, return_inverse=True)
    table = np.full((instants.size, int(symbol.max(initial=0)) + 1), -1, np.int64)
    table[place, symbol] = np.arange(available_at.size)
    return Grid(instants, table, place, symbol)


def shift_limits(instants: Instants, span_ms: int) -> tuple[int, int]:
    """The shortest and longest circular shift, in instants, that moves every row by more than ten label spans.

    The first is larger than the second where there is none.
    """
    size, beyond = instants.size, SPANS * span_ms
    low, high = 1, size
    while low < high:  # the nearest two instants that are `by` apart only come to lie farther apart as it grows
        by = (low + high) // 2
        if (instants[by:] - instants[:-by]).min() > beyond:
            high = by
        else:
            low = by + 1
    return low, size - low


def shifted(grid: Grid, by: int, least: int) -> Rows:
    """The row that each takes its values from when time is turned by so many instants; -1 for none.

    A symbol that was not listed at that instant turns its own history instead, by as large a part of it and by no less
    than `least` rows; one that has too few of them has no values.
    """
    size = grid.instants.size
    found = grid.moved((np.arange(size) - by) % size)
    for symbol in range(grid.symbols):
        mine = grid.of(symbol)
        lost = np.flatnonzero(found[mine] < 0)
        if lost.size and mine.size > 2 * least:
            own = min(max(round(by * mine.size / size), least), mine.size - least)
            found[mine[lost]] = mine[(lost - own) % mine.size]
    return found


def permuted_blocks(grid: Grid, block_ms: int, rng: np.random.Generator) -> Rows:
    """The same with blocks of time in another order; the first block begins anywhere.

    Where a symbol has no row at that instant, a row takes the values of any other of its symbol.
    """
    found = grid.moved(block_order(grid.instants, block_ms, rng))
    for symbol in range(grid.symbols):
        mine = grid.of(symbol)
        lost = mine[found[mine] < 0]
        if lost.size:
            found[lost] = rng.choice(mine, lost.size)
    return found


def block_order(instants: Instants, block_ms: int, rng: np.random.Generator) -> Rows:
    """A permutation of instants that keeps blocks of `block_ms` together."""
    offset = int(rng.integers(max(block_ms, 1)))
    number = (instants - instants[0] + offset) // max(block_ms, 1)
    blocks = np.split(np.arange(instants.size), np.flatnonzero(np.diff(number)) + 1)
    return np.concatenate([blocks[place] for place in rng.permutation(len(blocks))])
