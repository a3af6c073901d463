"""Which kind of look-ahead a formula has: asked of the formula, row by row (SEMANTICS A1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.leakage.compare import differing
from tftctl.audit.leakage.pokes import changed_at

Array = npt.NDArray[np.float64]

OPEN_TIME = "open-time merge"
SHIFT = "negative shift"
CENTRED = "centred window"
BACKWARD = "backward fill"
ALL_DATA = "statistics over all data"
LABEL = "label among the features"
LATE = "late correction"
LABEL_SIDE = "resampling on the label's side"
OTHER_SYMBOLS = "cross-symbol future mean"
LOOK_AHEAD = "look-ahead"  # proven, of no kind that has a name

FARTHEST = 512  # bars ahead; what reaches farther reaches everywhere
LEAST_ROOM = 64  # bars after a row, to tell far from near among them
STRETCH, REGULAR = 40, 0.9
ASKED_ROWS = 8
SAME_SIZE = 20.0  # what a bar behind and one ahead do to a centred window, within this factor


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A column's formula over an unbroken stretch of bars: `run(bars)` gives its values, `rows` were seen to leak."""

    bars: pl.DataFrame
    run: Callable[[pl.DataFrame], Array]
    rows: Sequence[int]
    tolerance: float = 0.0

    def ending(self, row: int, ahead: int) -> float:
        """The value of a row when the bars end `ahead` bars after it."""
        return float(self.run(self.bars.head(row + ahead + 1))[row])

    def differs(self, one: float, other: float) -> bool:
        """Not equal, as the audit compares."""
        return bool(differing(np.array([one]), np.array([other]), self.tolerance)[0])


@dataclass(frozen=True, slots=True)
class Reach:
    """How far ahead one row looks: `bars`, None for everywhere; its value when the bars end with it, and in the end."""

    row: int
    bars: int | None
    ended: float
    value: float


def classify(question: Question, labels: Mapping[str, Array]) -> tuple[str, str]:
    """The class of a leak and what shows it. `labels`: targets of the same rows, (rows,) each."""
    values = question.run(question.bars)
    twin = label_twin(values, labels)
    if twin is not None:
        return LABEL, f"it is {twin}"
    rows = [row for row in question.rows if 0 <= row < values.size - 1]
    reaches = [found for row in _asked(rows, values.size) if (found := reach_of(question, values, row)) is not None]
    if not reaches:
        return LOOK_AHEAD, "its rows change with later bars"
    if sum(found.bars is None for found in reaches) * 2 >= len(reaches):
        return ALL_DATA, "bars far after a row change it"
    near = [found for found in reaches if found.bars is not None]
    if all(np.isnan(f.ended) and not question.differs(f.value, float(values[f.row + (f.bars or 0)])) for f in near):
        return BACKWARD, f"a row without a value has that of {_bars(near[0])} later"
    return _by_course(question, values, near)


def _by_course(question: Question, values: Array, reaches: Sequence[Reach]) -> tuple[str, str]:
    farthest = max(found.bars or 0 for found in reaches)
    saw = _stretch(question, values, reaches[0].row)
    block = _block(saw)
    if block is not None:
        if min(saw) == 0:
            return OPEN_TIME, f"rows see the end of the {block} bars in which they lie"
        return LABEL_SIDE, f"rows see blocks of {block} bars that end up to {max(saw)} bars later"
    if len({found.bars for found in reaches} | {bars for bars in saw if bars}) == 1:
        return _constant(question, values, reaches[0])
    if all(not np.isnan(found.ended) for found in reaches):
        return LATE, f"a value is written anew up to {farthest} bars later"
    return LOOK_AHEAD, f"rows see up to {farthest} bars ahead"


def _constant(question: Question, values: Array, found: Reach) -> tuple[str, str]:
    ahead = found.bars or 0
    forward = _response(question, values, found.row, ahead)
    # a rolling sum keeps a trace of rounding of what has left it
    least = 1e-6 * forward
    moving = [back for back in range(1, 3 * ahead + 8) if _response(question, values, found.row, -back) > least]
    behind = max(moving, default=0)
    if behind and abs(behind - ahead) <= 1:
        backward = _response(question, values, found.row, -behind)
        if backward / SAME_SIZE <= forward <= backward * SAME_SIZE:
            return CENTRED, f"a window from {behind} bars before to {ahead} bars after the row"
    return SHIFT, f"a row sees {_bars(found)} ahead"


def reach_of(question: Question, values: Array, row: int) -> Reach | None:
    """How far ahead a row looks; None when it does not."""
    final, ended = float(values[row]), question.ending(row, 0)
    if not question.differs(final, ended):
        return None
    after = values.size - 1 - row
    farthest = min(FARTHEST, after if after < LEAST_ROOM else after // 2)
    if question.differs(final, question.ending(row, farthest)) or _sees_far(question, final, row, farthest):
        return Reach(row, None, ended, final)
    low, high = 0, 1  # it differs with `low` bars ahead
    while high < farthest and question.differs(final, question.ending(row, high)):
        low, high = high, 2 * high
    high = min(high, farthest)
    while high - low > 1:
        middle = (low + high) // 2
        if question.differs(final, question.ending(row, middle)):
            low = middle
        else:
            high = middle
    return Reach(row, high, ended, final)


def _sees_far(question: Question, final: float, row: int, farthest: int) -> bool:
    """Whether bars beyond the farthest change a row: those of an extreme may only where they are extreme themselves."""
    far = np.arange(row + farthest + 1, question.bars.height)
    if not far.size:
        return False
    return any(
        question.differs(final, float(question.run(changed_at(question.bars, far, factor))[row]))
        for factor in (10.0, 0.1)
    )


def _stretch(question: Question, values: Array, row: int) -> list[int]:
    """Reaches of consecutive rows; 0 where a row does not look ahead."""
    start = max(0, min(row, values.size - STRETCH - 1))
    found = [reach_of(question, values, place) for place in range(start, min(start + STRETCH, values.size - 1))]
    return [0 if reach is None or reach.bars is None else reach.bars for reach in found]


def _block(reaches: Sequence[int]) -> int | None:
    """The length of blocks that rows look to the end of: a saw whose teeth fall by one bar a row; None without one.

    A bar that moves nothing, as a filled one, makes a tooth blunt: a few may be.
    """
    steps = np.diff(reaches)
    jumps = np.flatnonzero(steps > 0)
    if jumps.size < 2 or (steps == -1).sum() + jumps.size < REGULAR * steps.size:
        return None
    lengths = np.diff(jumps)
    return int(lengths.max()) if lengths.max() >= 2 else None


def _response(question: Question, values: Array, row: int, step: int) -> float:
    """How much a change of one bar, `step` rows after this one, changes its value."""
    place = row + step
    if not 0 <= place < values.size:
        return 0.0
    found = [float(question.run(changed_at(question.bars, np.array([place]), factor))[row]) for factor in (1.7, 0.6)]
    return max(np.inf if np.isnan(other) != np.isnan(values[row]) else np.nan_to_num(abs(other - values[row]))
               for other in found)  # fmt: skip


def label_twin(values: Array, labels: Mapping[str, Array]) -> str | None:
    """The target that a column equals, or is a straight line of."""
    for name, label in labels.items():
        both = np.isfinite(values) & np.isfinite(label)
        if both.sum() < 30 or both.sum() < 0.5 * np.isfinite(label).sum():
            continue
        one, other = values[both] - values[both].mean(), label[both] - label[both].mean()
        size = float(np.sqrt((one @ one) * (other @ other)))
        if size > 0 and abs(one @ other) > (1 - 1e-6) * size:
            return name
    return None


def _asked(rows: Sequence[int], size: int) -> list[int]:
    """A few of the rows; first those with enough bars after them to tell near from far."""
    roomy = [row for row in rows if row + 2 * FARTHEST < size - 1] or [row for row in rows if row + LEAST_ROOM < size]
    chosen = roomy or list(rows)
    return (
        [chosen[place] for place in np.unique(np.linspace(0, len(chosen) - 1, ASKED_ROWS).astype(int))]
        if chosen
        else []
    )


def _bars(found: Reach) -> str:
    return "1 bar" if found.bars == 1 else f"{found.bars} bars"
