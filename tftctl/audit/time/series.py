"""The times of one symbol and period as a table or a file has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tftctl.audit.time.grids import Grid

Instants = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Writing:
    """How a file writes its times: rows by unit (`s`, `ms`, `us`, `ns`) and by offset, and rows that are no time."""

    units: Mapping[str, int] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0
    first_unreadable: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One group.

    `stamps` int64 ms UTC in the order of the source; `grid`: what is expected, None where nothing regular is there;
    `available`: when each row is complete, None where the source does not say; `flat`: open = high = low = close
    without volume, None where there are no prices; `contradicting`: times of which rows say different things.
    `period` is the declared one. A `table` is keyed: it holds every time once, in order.
    """

    place: str
    symbol: str
    period: str | None
    stamps: Instants
    grid: Grid | None
    available: Instants | None = None
    flat: npt.NDArray[np.bool_] | None = None
    contradicting: Instants = field(default_factory=lambda: np.empty(0, np.int64))
    writing: Writing = field(default_factory=Writing)
    table: bool = False
    revised: bool = False

    @property
    def label(self) -> str:
        """For messages: `bars BTCUSDT 1h`."""
        return " ".join(part for part in (self.place, self.symbol, self.period) if part)
