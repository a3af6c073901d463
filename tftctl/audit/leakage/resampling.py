"""Bars of a slower period beside those of a faster one: whether they hold hours that came after their close (T1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.core.periods import DAY_MS, period_ms
from tftctl.features.layout import Layout
from tftctl.features.reading import by_symbol
from tftctl.store import Snapshot

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

LEAST_BARS, LEAST_SHARE = 20, 0.01
ONE_SHIFT = (
    0.5  # share of the bars that differ which one shift has to explain: prices of two feeds agree by chance, too
)
MOST = 0.5  # share of all bars from which on they are called late
CLOSE = 1e-6  # relative; feeds of one exchange round alike


@dataclass(frozen=True, slots=True)
class Displaced:
    """Slow bars with the open or close of fast ones `shift` fast bars later (negative: earlier) than their own.

    `price`: open or close; `share`: of the slow bars with fast ones inside; `row`: open time of the first of them.
    """

    symbol: str
    slow: str
    fast: str
    price: str
    shift: int
    share: float
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class _Beside:
    """A price of slow bars, that of fast ones, and where among these the slow bar's own stands; the bars' last one."""

    price: str
    slow: npt.NDArray[np.float64]
    fast: npt.NDArray[np.float64]
    own: Index
    last: Index


def displaced_bars(snapshot: Snapshot, layout: Layout) -> Iterator[Displaced]:
    """Symbols whose slow bars hold prices of other hours than theirs, by open and close of their first and last bar."""
    for fast, slow in ((p, q) for p in layout.periods for q in layout.periods if _divides(p, q)):
        for symbol in layout.symbols[slow]:
            if symbol in layout.symbols[fast]:
                prices = ["timestamp", "available_at", "open", "close"]
                few = by_symbol(snapshot, "bars", slow, [symbol], prices)[symbol]
                many = by_symbol(snapshot, "bars", fast, [symbol], prices)[symbol]
                # a clock may be wrong by hours, whatever the period
                farthest = max(period_ms(slow), DAY_MS) // period_ms(fast)
                found = displaced(few, many, farthest)
                if found is not None:
                    yield Displaced(symbol, slow, fast, *found)


def _divides(fast: str, slow: str) -> bool:
    return period_ms(fast) < period_ms(slow) and period_ms(slow) % period_ms(fast) == 0


def displaced(slow: pl.DataFrame, fast: pl.DataFrame, farthest: int) -> tuple[str, int, float, int] | None:
    """Price, shift in fast bars, share of the slow bars that have it, and the first of them; None where none has.

    A slow bar's own bars are those from its open on that are complete when it is: markets need not open when days do.
    """
    first = np.searchsorted(fast["timestamp"].to_numpy(), slow["timestamp"].to_numpy())
    last = np.searchsorted(fast["available_at"].to_numpy(), slow["available_at"].to_numpy(), side="right") - 1
    there = first <= last
    if there.sum() < LEAST_BARS:
        return None
    stamps, first, last = slow["timestamp"].to_numpy()[there], first[there], last[there]
    pairs = [
        _Beside(price, slow[price].to_numpy()[there], fast[price].to_numpy(), own, last)
        for price, own in (("close", last), ("open", first))
    ]
    for shifts, least in ((range(1, farthest + 1), LEAST_SHARE), (range(-farthest, 0), MOST)):
        for pair in pairs:
            if (found := _shifted(pair, shifts, least)) is not None:
                shift, same = found
                return pair.price, shift, float(same.mean()), int(stamps[same][0])
    return None


def _shifted(pair: _Beside, shifts: range, least: float) -> tuple[int, Mask] | None:
    """The shift that explains most of the bars that are unequal to their own, where that is enough of them."""
    unequal = np.flatnonzero(~_near(pair.slow, pair.fast[pair.own]))
    enough = max(LEAST_BARS, least * pair.slow.size, ONE_SHIFT * unequal.size)
    if unequal.size < enough:
        return None
    best = max(shifts, key=lambda shift: _matching(pair, unequal, shift).size)
    rows = _matching(pair, unequal, best)
    if rows.size < enough:
        return None
    same = np.zeros(pair.slow.size, bool)
    same[rows] = True
    return best, same


def _matching(pair: _Beside, rows: Index, shift: int) -> Index:
    """Of these slow bars those with the price of the fast bar so many later, which is not that of their own."""
    place = pair.own[rows] + shift
    # the opens of a bar's own later hours are not after it
    known = (place >= 0) & (place < pair.fast.size) & ((place > pair.last[rows]) | (shift < 0))
    rows, place = rows[known], place[known]
    there = pair.fast[place]
    return rows[_near(pair.slow[rows], there) & ~_near(there, pair.fast[pair.own[rows]])]


def _near(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Mask:
    return np.isclose(one, other, rtol=CLOSE, atol=0)
