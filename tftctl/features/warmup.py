"""How long indicators remember where their bars begin, measured on the user's own bars (SEMANTICS F3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import DataError, choices
from tftctl.core.progress import Report, silent
from tftctl.features.definitions import Feature, IndicatorInstance
from tftctl.features.engine import compute_features, segment_bounds
from tftctl.features.layout import Layout, lay_out
from tftctl.features.observed import expected_slots
from tftctl.features.reading import PreparedBars
from tftctl.plugins import Registry
from tftctl.store import Store

Array = np.ndarray
Verdict = Literal["too small", "too few bars", "never forgets", "holds"]

FORGOTTEN = 1e-9
HISTORIES = (50, 100, 200, 500, 1000, 2000)
MULTIPLES = {"1x settle": 1.0, "1.5x settle": 1.5, "2x settle": 2.0}
VERDICTS: tuple[Verdict, ...] = ("too small", "too few bars", "never forgets", "holds")
STARTS = 8
# bars after the longest history, so that what appears only now and then is seen
BEYOND = 300


@dataclass(frozen=True, slots=True)
class Memory:
    """What one column of an indicator remembers at one period, all symbols together.

    `first_value` is the first bar with a value, `first_valid` the declared one. `forgotten_after` is the number of
    bars of history from which on no value differed by more than 1e-9 from that of the full history, None where the
    last bars measured still did. `drift` gives by length of history the largest relative difference with that much
    history or more; None where no value is declared yet or too few bars are there, infinity where one of both
    histories has no value. `bars` is the longest history measured.
    """

    column: str
    indicator: str
    period: str
    bars: int
    first_valid: int
    first_value: int | None
    settle: int
    forgotten_after: int | None
    drift: dict[str, float | None]
    verdict: Verdict


@dataclass(slots=True)
class _Trace:
    """The largest difference so far by bars of history, and the earliest value."""

    worst: Array = field(default_factory=lambda: np.zeros(0))
    first_value: int | None = None

    def add(self, expected: Array, found: Array, usual: float) -> None:
        apart = relative_difference(expected, found, usual)
        longer, shorter = sorted((self.worst, apart), key=len, reverse=True)
        self.worst = longer.copy()
        self.worst[: shorter.size] = np.maximum(longer[: shorter.size], shorter)
        self.see(found)

    def see(self, values: Array) -> None:
        valid = np.flatnonzero(~np.isnan(values))
        if valid.size:
            self.first_value = int(min(valid[0], self.first_value if self.first_value is not None else valid[0]))


def measure_warmup(
    store: Store,
    config: FeaturesConfig,
    registry: Registry,
    symbols: Sequence[str] | None = None,
    period: str | None = None,
    report: Report = silent,
) -> list[Memory]:
    """Memory of every configured column of scope `group`, the worst first. Raises DataError for what has no bars."""
    with store.read() as snapshot:
        layout = lay_out(snapshot, config, registry, expected_slots(snapshot).calendar)
        groups = _wanted(layout, symbols, period)
        traces: dict[tuple[str, str], _Trace] = {}
        for done, (p, symbol) in enumerate(groups, 1):
            bars = longest_segment(PreparedBars(snapshot, layout).of(p, symbol))
            for instance in _indicators(layout, p):
                _trace(
                    bars, instance, {f.output: traces.setdefault((p, f.column), _Trace()) for f in instance.features}
                )
            report("warm-up", done, len(groups))
    found = [
        _memory(instance, feature, p, traces[p, feature.column])
        for p in dict.fromkeys(p for p, _ in groups)
        for instance in _indicators(layout, p)
        for feature in instance.features
    ]
    return sorted(found, key=_badness)


def relative_difference(expected: Array, found: Array, usual: float) -> Array:
    """|a - b| over the largest of |a|, |b| and the column's usual size; infinite where only one is NaN."""
    size = np.fmax(np.fmax(np.abs(expected), np.abs(found)), usual)
    with np.errstate(invalid="ignore"):
        apart = np.abs(expected - found) / size
    apart[(expected == found) | (np.isnan(expected) & np.isnan(found))] = 0.0
    return np.where(np.isnan(apart), np.inf, apart)


def longest_segment(bars: pl.DataFrame) -> pl.DataFrame:
    """The longest unbroken stretch of one group's prepared bars."""
    start, stop = max(segment_bounds(bars), key=lambda bounds: bounds[1] - bounds[0])
    return bars.slice(start, stop - start)


def starts_of(size: int, longest: int) -> Iterator[tuple[int, int]]:
    """Where histories of a segment of `size` bars begin, and their length: half of the segment at most."""
    length = min(longest, size // 2)
    if length:
        for start in np.unique(np.linspace(1, size - length, STARTS).astype(int)).tolist():
            yield start, length


def _wanted(layout: Layout, symbols: Sequence[str] | None, period: str | None) -> list[tuple[str, str]]:
    if period is not None and period not in layout.periods:
        raise DataError(
            f"there are no bars at {period}", f"periods: {', '.join(layout.periods)}; see: tftctl data list"
        )
    everyone = {symbol for names in layout.symbols.values() for symbol in names}
    for symbol in symbols or ():
        if symbol not in everyone:
            raise DataError(f"there are no bars of {symbol}", choices(symbol, everyone, "symbols"))
    periods = layout.periods if period is None else [period]
    groups = [(p, s) for p in periods for s in layout.symbols[p] if symbols is None or s in symbols]
    if not groups:
        raise DataError(f"there are no bars of {', '.join(symbols or ())} at {period}", "see: tftctl data list")
    return groups


def _indicators(layout: Layout, period: str) -> list[IndicatorInstance]:
    return [instance.at(period) for instance in layout.recipe.indicators]


def _trace(bars: pl.DataFrame, instance: IndicatorInstance, traces: dict[str, _Trace]) -> None:
    """Compare the full history of a segment with histories that begin later in it; one indicator at a time."""
    # nothing is blanked: the first value is to be seen
    raw = [replace(instance, features=tuple(replace(feature, first_valid=0) for feature in instance.features))]
    whole = _arrays(compute_features(bars, raw))
    usual = {name: _usual_size(values) for name, values in whole.items()}
    for feature in instance.features:
        traces[feature.output].see(whole[feature.column])
    for start, length in starts_of(bars.height, _longest(instance)):
        later = _arrays(compute_features(bars.slice(start, length), raw))
        for feature in instance.features:
            name = feature.column
            traces[feature.output].add(whole[name][start : start + length], later[name], usual[name])


def _longest(instance: IndicatorInstance) -> int:
    settles = [max(feature.settle, feature.first_valid) for feature in instance.features]
    return max(2 * max(settles), HISTORIES[-1]) + BEYOND


def _arrays(columns: pl.DataFrame) -> dict[str, Array]:
    return {name: columns[name].fill_null(float("nan")).to_numpy() for name in columns.columns}


def _usual_size(values: Array) -> float:
    known = np.abs(values[~np.isnan(values)])
    return float(np.median(known)) if known.size else 0.0


def _memory(instance: IndicatorInstance, feature: Feature, period: str, trace: _Trace) -> Memory:
    # the largest difference with this much history or more
    beyond = np.maximum.accumulate(trace.worst[::-1])[::-1]
    remembered = np.flatnonzero(trace.worst > FORGOTTEN)
    last = int(remembered[-1]) if remembered.size else -1
    lengths = {str(bars): bars for bars in HISTORIES}
    if feature.settle >= 0:
        lengths |= {name: int(np.ceil(factor * _declared(feature))) for name, factor in MULTIPLES.items()}
    known = {name: feature.first_valid <= bars < beyond.size for name, bars in lengths.items()}
    return Memory(
        column=feature.column,
        indicator=instance.record.name,
        period=period,
        bars=max(beyond.size - 1, 0),
        first_valid=feature.first_valid,
        first_value=trace.first_value,
        settle=feature.settle,
        forgotten_after=None if last + 1 >= beyond.size else max(last + 1, feature.first_valid),
        drift={name: float(beyond[bars]) if known[name] else None for name, bars in lengths.items()},
        verdict=_verdict(feature, last, beyond.size),
    )


def _declared(feature: Feature) -> int:
    return max(feature.settle, feature.first_valid)


def _verdict(feature: Feature, last: int, measured: int) -> Verdict:
    if feature.settle < 0:
        return "never forgets"
    if last >= _declared(feature):
        return "too small"
    return "holds" if measured > _declared(feature) else "too few bars"


def _badness(memory: Memory) -> tuple[int, float]:
    """Unsettled columns first, those that are furthest off before the others."""
    return VERDICTS.index(memory.verdict), -(memory.drift.get("1x settle") or 0.0)
