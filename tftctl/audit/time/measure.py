"""Facts of one group of times, before any judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tftctl.audit.time.clocks import ClockChange, clock_changes
from tftctl.audit.time.grids import usual_step
from tftctl.audit.time.series import Series
from tftctl.core.errors import UsageError
from tftctl.core.periods import period_ms
from tftctl.core.times import iso
from tftctl.ingest.bars import span_text
from tftctl.ingest.listing import Hole

Instants = npt.NDArray[np.int64]
Order = Literal["ascending", "descending", "mixed"]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was counted. `step_ms`: the commonest difference, `step_share` how many of all differences it is.

    `repeated`: times that come more than once, `equal` rows too many that say the same, `contradicting` times of which
    rows differ; `stale_tail`: flat bars at the end.
    """

    series: Series
    unique: Instants
    order: Order
    out_of_order: int | None
    step_ms: int | None
    step_share: float
    expected: int | None
    holes: tuple[Hole, ...]
    off_grid: Instants
    repeated: Instants
    equal: int
    flat: int | None
    stale_tail: int | None
    clock: ClockChange | None

    @property
    def missing(self) -> int:
        """Expected points without a row."""
        return sum(hole.missing for hole in self.holes)

    @property
    def declared_ms(self) -> int | None:
        """Length of the declared period; None where there is none, or it is a macro frequency such as `1mo`."""
        try:
            return period_ms(self.series.period) if self.series.period else None
        except UsageError:
            return None

    def document(self) -> dict[str, Any]:
        """A row of `groups`."""
        series, grid = self.series, self.series.grid
        return {
            "source": series.place,
            "symbol": series.symbol,
            "period": series.period,
            "rows": int(series.stamps.size),
            "unique": int(self.unique.size),
            "first": iso(self.unique[0]),
            "last": iso(self.unique[-1]),
            "step_declared": series.period,
            "step_inferred": span_text(self.step_ms) if self.step_ms else None,
            "step_share": round(self.step_share, 6),
            "grid": grid.name if grid else None,
            "grid_declared": bool(grid and grid.declared),
            "expected": self.expected,
            "missing": self.missing,
            "gaps": len(self.holes),
            "longest_gap": max((hole.missing for hole in self.holes), default=0),
            "duplicates_equal": self.equal,
            "duplicates_contradicting": int(series.contradicting.size),
            "order": self.order,
            "off_grid": int(self.off_grid.size),
            "units": dict(series.writing.units),
            "offsets": dict(series.writing.offsets),
            "unreadable": series.writing.unreadable,
            "flat": self.flat,
            "stale_tail": self.stale_tail,
        }


def measure(series: Series) -> Measured:
    """Count everything that one group shows by itself; `series` has at least one time."""
    stamps, grid = series.stamps, series.grid
    order, broken = _order(stamps)
    ordered = stamps if order == "ascending" else stamps[::-1] if order == "descending" else np.sort(stamps)
    again = np.flatnonzero(np.diff(ordered) == 0)
    unique = np.delete(ordered, again) if again.size else ordered
    repeated = np.unique(ordered[again])
    step, share = usual_step(unique)
    holes = grid.holes(unique) if grid and unique.size > 1 else []
    holes.sort(key=lambda hole: (-hole.missing, hole.first))
    contested = int(np.isin(ordered[again], series.contradicting).sum())
    return Measured(
        series=series,
        unique=unique,
        order=order,
        out_of_order=broken,
        step_ms=step,
        step_share=share,
        expected=grid.expected(int(unique[0]), int(unique[-1])) if grid else None,
        holes=tuple(holes),
        off_grid=unique[grid.off(unique)] if grid else unique[:0],
        repeated=repeated,
        equal=int(again.size) - contested,
        flat=None if series.flat is None else int(series.flat.sum()),
        stale_tail=None if series.flat is None else _stale_tail(series.flat[np.argsort(stamps, kind="stable")]),
        clock=clock_changes(unique, repeated, holes, step) if step else None,
    )


def _order(stamps: Instants) -> tuple[Order, int | None]:
    """And the row (from 1) at which a mixed order turns first."""
    steps = np.diff(stamps)
    if (steps >= 0).all():
        return "ascending", None
    if (steps <= 0).all():
        return "descending", None
    ascending = stamps[-1] >= stamps[0]
    return "mixed", int(np.flatnonzero(steps < 0 if ascending else steps > 0)[0]) + 2


def _stale_tail(flat: npt.NDArray[np.bool_]) -> int:
    moving = np.flatnonzero(~flat)
    return int(flat.size - moving[-1] - 1) if moving.size else int(flat.size)
