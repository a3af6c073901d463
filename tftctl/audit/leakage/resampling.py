"""Bars of a slower period beside those of a faster one: whether they hold hours that came after their close (T1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from tftctl.core.periods import period_ms
from tftctl.features.layout import Layout
from tftctl.features.reading import by_symbol
from tftctl.store import Snapshot

LEAST_BARS = 20
MOST, FEW = 0.9, 0.5
CLOSE = 1e-6  # relative; feeds of one exchange round alike


@dataclass(frozen=True, slots=True)
class Displaced:
    """Slow bars that equal the fast ones `shift` fast bars later (negative: earlier) than their stamp says."""

    symbol: str
    slow: str
    fast: str
    shift: int
    share: float
    row: int


def displaced_bars(snapshot: Snapshot, layout: Layout) -> Iterator[Displaced]:
    """Symbols whose slow bars are those of other hours than theirs, by open and close of their first and last bar."""
    for fast, slow in ((p, q) for p in layout.periods for q in layout.periods if _divides(p, q)):
        for symbol in layout.symbols[slow]:
            if symbol in layout.symbols[fast]:
                prices = ["timestamp", "open", "close"]
                few = by_symbol(snapshot, "bars", slow, [symbol], prices)[symbol]
                many = by_symbol(snapshot, "bars", fast, [symbol], prices)[symbol]
                found = _displaced(few, many, period_ms(fast), period_ms(slow) // period_ms(fast))
                if found is not None:
                    yield Displaced(symbol, slow, fast, *found)


def _divides(fast: str, slow: str) -> bool:
    return period_ms(fast) < period_ms(slow) and period_ms(slow) % period_ms(fast) == 0


def _displaced(slow: pl.DataFrame, fast: pl.DataFrame, step_ms: int, count: int) -> tuple[int, float, int] | None:
    """Shift in fast bars, share of slow bars that have it, and the first of them; None where they stand right."""
    stamps, opens, closes = (fast[name].to_numpy() for name in ("timestamp", "open", "close"))
    opened = slow["timestamp"].to_numpy()

    def equal(shift: int) -> tuple[np.ndarray, np.ndarray]:
        first, last = opened + shift * step_ms, opened + (shift + count - 1) * step_ms
        i, j = (np.minimum(np.searchsorted(stamps, at), stamps.size - 1) for at in (first, last))
        there = (stamps[i] == first) & (stamps[j] == last)
        same = np.isclose(opens[i], slow["open"].to_numpy(), rtol=CLOSE)
        return there, there & same & np.isclose(closes[j], slow["close"].to_numpy(), rtol=CLOSE)

    there, right = equal(0)
    if there.sum() < LEAST_BARS or right.sum() >= FEW * there.sum():
        return None
    for shift in (shift for shift in range(-count, count + 1) if shift):
        there, same = equal(shift)
        if there.sum() >= LEAST_BARS and same.sum() >= MOST * there.sum():
            return shift, float(same.sum() / there.sum()), int(opened[same][0])
    return None
