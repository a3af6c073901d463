"""What calendars share: arrays of expected bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

Anchor = Literal["hour", "open"]
NO_BAR = -1


@dataclass(frozen=True, slots=True)
class Slots:
    """Expected bars in order: open times and scheduled completions, int64 ms UTC, equal lengths."""

    open_ms: Instants
    due_ms: Instants


def lookup(slots: Slots, timestamps: Instants) -> Instants:
    """due_ms of the slot that opens at each timestamp, NO_BAR where none does."""
    import numpy as np

    if slots.open_ms.size == 0:
        return np.full(timestamps.shape, NO_BAR, np.int64)
    place = np.minimum(np.searchsorted(slots.open_ms, timestamps), slots.open_ms.size - 1)
    return np.where(slots.open_ms[place] == timestamps, slots.due_ms[place], NO_BAR)
