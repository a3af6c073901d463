"""Single rows, many of them: one bar in so many is changed, and the rows before it must not notice.

A cut shows what most rows do. A formula that looks ahead in one row of two hundred shows it where the bar after that
very row changes. A changed bar is forgotten again before the next one; what never forgets runs on at an even distance.
Rows that leave their course are suspects, and a suspect is proven or cleared by bars that end with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.leakage.compare import differing
from tftctl.audit.leakage.effort import Effort
from tftctl.audit.leakage.evidence import Evidence, Unproven
from tftctl.audit.leakage.formulas import Array, Formula, alike, values_of
from tftctl.audit.leakage.variants import moving_columns
from tftctl.audit.leakage.world import Group
from tftctl.features.engine import numbers, segment_bounds

Index = npt.NDArray[np.int64]
AHEAD = 32  # bars by which a look-ahead is tried
COURSE = 33  # rows before those, whose course they must keep
FACTORS = (1.7, 0.6)
ROUNDING = 1e-9  # of a value, or of the column's usual size
SUSPECTS, PROVEN = 24, 4  # of a column among the rows of a run; those that are enough
MOST_CLEARED = 32  # suspects without a leak, after which a column is believed
MOST_ROWS = 150_000  # of copies of a group's bars that run together


@dataclass(frozen=True, slots=True, eq=False)
class _Bars:
    """Bars of one group, or several copies of them one after the other as segments of their own.

    `begin`: the first bar of each one's segment; `base`: columns of the undisturbed bars.
    """

    frame: pl.DataFrame
    begin: Index
    base: Mapping[str, Array]

    def copies(self, count: int, columns: Sequence[str]) -> _Bars:
        """So many times the same, with some of the columns."""
        if count == 1:
            return self
        size, segments = self.frame.height, int(self.frame["segment"].to_numpy().max()) + 1
        copy = np.repeat(np.arange(count), size)
        frame = pl.concat([self.frame] * count)
        segment = frame["segment"].to_numpy().astype(np.int64) + segments * copy
        return _Bars(
            frame.with_columns(segment=pl.Series(segment, dtype=pl.Int32)),
            np.tile(self.begin, count) + size * copy,
            {name: np.tile(self.base[name], count) for name in columns},
        )


def poke(
    group: Group,
    formulas: Sequence[Formula],
    base: Mapping[str, Array],
    effort: Effort,
    evidence: Evidence,
    number: int,
) -> None:
    """Change single bars and note the columns whose earlier rows notice.

    `base`: columns of the undisturbed bars; `number` of the group, so that groups try different rows.
    """
    whole = _Bars(group.prepared, _segment_starts(group.prepared), base)
    for (memory, ahead), some in alike(formulas).items():
        spacing = memory + ahead + AHEAD + COURSE
        wanted = effort.runs(spacing)
        bars = whole
        if wanted < 1:
            bars = _part(group.prepared, max(int(wanted * group.prepared.height), 4 * spacing), number, some)
        runs = max(round(wanted), 1)
        offsets = [(run * spacing // runs + 7 * number) % spacing for run in range(runs)]
        trials = [(max(offset, 2), factor) for offset in offsets for factor in FACTORS]
        _try_all(bars, some, trials, spacing, evidence, group.name)


def _part(prepared: pl.DataFrame, size: int, number: int, formulas: Sequence[Formula]) -> _Bars:
    """So many consecutive bars of a group, elsewhere in every group."""
    start = int(number * 0.618 % 1 * max(prepared.height - size, 0))
    part = prepared.slice(start, size)
    return _Bars(part, _segment_starts(part), values_of(formulas, part))


def _try_all(
    bars: _Bars,
    formulas: Sequence[Formula],
    trials: Sequence[tuple[int, float]],
    spacing: int,
    evidence: Evidence,
    group: tuple[str, str],
) -> None:
    """Trials are (first changed bar, factor); many of few bars run as copies side by side."""
    size = bars.begin.size
    together = max(min(MOST_ROWS // max(size, 1), len(trials)), 1)
    cleared: dict[str, int] = {}
    for first in range(0, len(trials), together):
        some = trials[first : first + together]
        places = [np.arange(offset, size, spacing) + size * copy for copy, (offset, _) in enumerate(some)]
        factors = [np.full(found.size, factor) for found, (_, factor) in zip(places, some, strict=True)]
        evidence.poked += sum(found.size for found in places) // len(FACTORS)
        trial = bars.copies(len(some), [column for formula in formulas for column in formula.columns])
        _try(trial, formulas, np.concatenate(places), np.concatenate(factors), evidence, group, cleared)


def _try(
    bars: _Bars,
    formulas: Sequence[Formula],
    places: Index,
    factors: Array,
    evidence: Evidence,
    group: tuple[str, str],
    cleared: dict[str, int],
) -> None:
    after = values_of(formulas, changed_at(bars.frame, places, factors))
    for formula in formulas:
        for column in formula.columns:
            if cleared.get(column, 0) >= MOST_CLEARED:
                continue
            if column not in after:
                evidence.unproven.append(Unproven(column, *group, "fails on changed bars"))
                cleared[column] = MOST_CLEARED
                continue
            rows = []
            for row, number in _suspects(bars.base[column], after[column], places, bars.begin, formula.ahead):
                if _proven(bars, formula, column, row, int(places[number]), float(factors[number])):
                    rows.append(row)
                else:
                    cleared[column] = cleared.get(column, 0) + 1
                if len(rows) >= PROVEN or cleared.get(column, 0) >= MOST_CLEARED:
                    break
            if rows:
                evidence.suspect(column, group, bars.frame["timestamp"].to_numpy()[rows], "of which one was changed")
            elif cleared.get(column, 0) >= MOST_CLEARED:
                why = "too many rows leave their course for another reason than later bars"
                evidence.unproven.append(Unproven(column, *group, why))
            if rows or cleared.get(column, 0) >= MOST_CLEARED:
                cleared[column] = MOST_CLEARED  # enough is known


def changed_at(frame: pl.DataFrame, places: Index, factor: float | Array) -> pl.DataFrame:
    """The bars with prices, volumes and other numbers of some of them times a factor; what is 0 moves, too."""
    made = []
    for name in moving_columns(frame):
        values = numbers(frame[name]).copy()
        known = np.abs(values[np.isfinite(values)])
        values[places] = values[places] * factor + (0.01 * known.mean() if known.size else 0.0)
        made.append(pl.Series(name, values, nan_to_null=bool(known.size < values.size)))
    return frame.with_columns(made)


def _suspects(before: Array, after: Array, places: Index, begin: Index, ahead: int) -> Iterator[tuple[int, int]]:
    """Rows that leave their course before a changed bar, with that bar's number: the most striking first."""
    rows = places[:, None] - ahead - np.arange(AHEAD, 0, -1)
    course = places[:, None] - ahead - AHEAD - np.arange(COURSE, 0, -1)
    start = begin[places][:, None]
    known = np.abs(before[np.isfinite(before)])
    usual = float(np.median(known)) if known.size else 0.0
    moved = after - before
    lost = np.isnan(after) != np.isnan(before)
    old = np.where(course >= start, moved[np.maximum(course, 0)], 0.0)
    old_lost = ((course >= start) & lost[np.maximum(course, 0)]).any(axis=1, keepdims=True)
    old = np.nan_to_num(old, nan=0.0)
    spread = old.max(axis=1, keepdims=True) - old.min(axis=1, keepdims=True)
    now, there = np.maximum(rows, 0), rows >= start
    with np.errstate(invalid="ignore"):
        size = np.maximum(np.abs(before[now]), usual) + np.abs(old[:, -1:])
        allowed = 4 * spread + ROUNDING * size + np.finfo(float).tiny
        score = np.abs(moved[now] - old[:, -1:]) / allowed
    score = np.where(lost[now] & ~old_lost, np.inf, np.nan_to_num(score, nan=0.0, posinf=np.inf))
    score = np.where(there, score, 0.0)
    flat = np.argsort(-score, axis=None, kind="stable")[:SUSPECTS]
    for place in flat[score.ravel()[flat] > 1.0]:
        number, step = divmod(int(place), AHEAD)
        yield int(rows[number, step]), number


def _proven(bars: _Bars, formula: Formula, column: str, row: int, place: int, factor: float) -> bool:
    """Whether the value of a row is another when its segment ends with what it may read, or one later bar changes."""
    begin = int(bars.begin[row])
    whole = bars.frame.slice(begin, place + AHEAD - begin)
    at = row - begin
    changed = changed_at(whole, np.array([place - begin]), factor)
    found = [values_of([formula], frame) for frame in (whole, whole.head(at + formula.ahead + 1), changed)]
    if not all(column in one for one in found):
        return False
    value, ended, other = (one[column][at : at + 1] for one in found)
    return bool(differing(value, ended, formula.tolerance)[0] or differing(value, other, formula.tolerance)[0])


def _segment_starts(prepared: pl.DataFrame) -> Index:
    begin = np.zeros(prepared.height, np.int64)
    for start, stop in segment_bounds(prepared):
        begin[start:stop] = start
    return begin
