"""Forecast origins that an audit looks at: the last ones before some instants, by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tftctl.core.periods import DAY_MS, HOUR_MS, WEEK_MS, period_ms
from tftctl.data.assemble import Prepared
from tftctl.data.origins import find_origins

Rows = npt.NDArray[np.int64]
MOST_ORIGINS, MOST_PER_GROUP, FEWEST_PER_GROUP = 300, 32, 2
_FIRST_MONDAY_MS = 4 * DAY_MS  # 1970-01-05


class Key(NamedTuple):
    """An origin, wherever its row is."""

    symbol: str
    period: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Windows:
    """Prepared windows, and which rows have a whole one, labelled or not (N,). `groups` gives rows by group."""

    prepared: Prepared
    usable: npt.NDArray[np.bool_]
    groups: dict[tuple[str, str], range]

    def key(self, row: int) -> Key:
        """The key of a row."""
        panel = self.prepared.panel
        group = panel.groups[int(panel.group[row])]
        return Key(group.symbol, group.period, int(panel.timestamp[row]))

    def has(self, key: Key) -> bool:
        """Whether the row is there with a whole window."""
        rows, row = self._place(key)
        return row in rows and bool(self.usable[row]) and self.prepared.panel.timestamp[row] == key.timestamp

    def rows(self, keys: Sequence[Key]) -> Rows:
        """Row numbers of keys that are there."""
        return np.array([self._place(key)[1] for key in keys], np.int64)

    def inputs(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Inputs (B, E, F) of the windows of some rows, as stored."""
        steps = np.arange(1 - self.prepared.spec.encoder_length, 1)
        return np.asarray(self.prepared.panel.features[rows[:, None] + steps])

    def _place(self, key: Key) -> tuple[range, int]:
        rows = self.groups.get((key.symbol, key.period), range(0))
        stamps = self.prepared.panel.timestamp[rows.start : rows.stop]
        return rows, rows.start + int(np.searchsorted(stamps, key.timestamp))


def windows_of(prepared: Prepared) -> Windows:
    """The windows of a network, with labels or without."""
    panel, spec = prepared.panel, prepared.spec
    usable = find_origins(panel, spec.encoder_length, spec.required).usable
    return Windows(prepared, usable, {(g.symbol, g.period): range(g.start, g.stop) for g in panel.groups})


def sample(windows: Windows, cut: int) -> Rows:
    """The last origins of each group that are available at a cut, a few hundred in all."""
    available = windows.prepared.panel.available_at
    each = min(max(MOST_ORIGINS // max(len(windows.groups), 1), FEWEST_PER_GROUP), MOST_PER_GROUP)
    parts = []
    for rows in windows.groups.values():
        mine = slice(rows.start, rows.stop)
        parts.append(rows.start + np.flatnonzero(windows.usable[mine] & (available[mine] <= cut))[-each:])
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def choose_cuts(windows: Windows, begin: int) -> tuple[int, ...]:
    """Instants between `begin` and the last row: the end of a day, an hour after one, a millisecond before one.

    At the end of a day (of a week, where a period is longer than a day) bars of all periods are complete; an hour
    after it those of the longer ones have just begun. Every cut has origins before it and rows after it.
    """
    panel = windows.prepared.panel
    if not windows.usable.any():
        return ()
    last = int(panel.available_at.max())
    origins = panel.available_at[windows.usable]
    first = max(int(origins.min()), *_begins(windows).values())
    begin = max(begin, first) if last - begin >= 4 * DAY_MS else first
    long = max(period_ms(period) for period in windows.prepared.spec.periods) > DAY_MS
    step, anchor = (WEEK_MS, _FIRST_MONDAY_MS) if long else (DAY_MS, 0)
    places = [(begin + (last - begin) * part // 4 - anchor) // step * step + anchor for part in (1, 2, 3)]
    cuts = (places[0], places[1] + HOUR_MS, places[2] - 1)
    return tuple(sorted({cut for cut in cuts if first <= cut < last}))


def _begins(windows: Windows) -> dict[str, int]:
    """When the first row of each period is available."""
    found: dict[str, int] = {}
    for (_, period), rows in windows.groups.items():
        begin = int(windows.prepared.panel.available_at[rows.start])
        found[period] = min(begin, found.get(period, begin))
    return found
