"""Cross-sections of one period: all symbols with other futures together, and each with others' (SEMANTICS A1, F7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.leakage.classes import ALL_DATA, FARTHEST, OTHER_SYMBOLS, SHIFT
from tftctl.audit.leakage.compare import differing, not_as_stored
from tftctl.audit.leakage.effort import FUTURE_BARS, SPARE_BARS, Effort
from tftctl.audit.leakage.evidence import UNSTEADY, Evidence, Unproven
from tftctl.core.errors import PluginError
from tftctl.features.crosssection import cross_inputs, run_block, universe
from tftctl.features.definitions import IndicatorInstance
from tftctl.features.engine import numbers
from tftctl.features.reading import PreparedBars, by_symbol

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Panel = Mapping[str, Array]
FACTORS = (3.0, -2.0)
CUTS, CONFIRMED = 6, 4
SUSPECTS = 8
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class _Section:
    """One cross-section over the panel of its universe: inputs (instants, symbols), and when its bars open."""

    instance: IndicatorInstance
    period: str
    panel: Panel
    symbols: tuple[str, ...]
    opens: npt.NDArray[np.int64]  # (instants, symbols), -1 without a bar

    @property
    def memory(self) -> int:
        return self.instance.memory or 0

    @property
    def instants(self) -> int:
        return self.opens.shape[0]

    def run(self, panel: Panel) -> dict[str, Array]:
        """Its columns (instants, symbols); PluginError where it fails."""
        found = run_block(self.instance, panel, self.symbols)
        return {feature.column: found[feature.output] for feature in self.instance.features}


def audit_cross_sections(bars: PreparedBars, period: str, effort: Effort, evidence: Evidence) -> None:
    """Note cross-sections of a period that know later instants."""
    recipe, symbols = bars.layout.recipe, bars.layout.symbols[period]
    if not recipe.cross:
        return
    names = cross_inputs(recipe)
    opens, values = _gather(bars, period, names)
    stored = _stored(bars, period, [column for instance in recipe.cross for column in instance.columns])
    for instance in (instance.at(period) for instance in recipe.cross):
        places = [symbols.index(symbol) for symbol in universe(recipe, instance, symbols)]
        panel = {name: np.ascontiguousarray(values[name][:, places]) for name in instance.inputs}
        chosen = tuple(symbols[place] for place in places)
        if not chosen:
            continue
        section = _Section(instance, period, panel, chosen, opens[:, places])
        try:
            _audit(section, effort, evidence, {s: stored[s] for s in chosen if s in stored})
        except PluginError as error:
            for column in instance.columns:
                evidence.unproven.append(Unproven(column, chosen[0], period, f"fails on fewer bars: {error.message}"))


def _stored(bars: PreparedBars, period: str, names: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Stored cross-sections by symbol, those that are there."""
    snapshot = bars.snapshot
    if not snapshot.has("features") or period not in snapshot.periods("features"):
        return {}
    there = [name for name in names if name in snapshot.columns("features")]
    return by_symbol(snapshot, "features", period, snapshot.symbols("features", period), there)


def _gather(bars: PreparedBars, period: str, names: Sequence[str]) -> tuple[Index, dict[str, Array]]:
    """Open times and inputs by instant, (instants, symbols) each."""
    recipe, symbols = bars.layout.recipe, bars.layout.symbols[period]
    rows = {}
    for symbol in symbols:
        own = recipe.features(bars.of(period, symbol), columns=names).filter(~pl.col("is_filled"))
        rows[symbol] = own.select("timestamp", "available_at", *names)
    # instants at which any universe has a bar, as a build lays them out
    members = {symbol for instance in recipe.cross for symbol in universe(recipe, instance, symbols)}
    rows = {symbol: frame if symbol in members else frame.clear() for symbol, frame in rows.items()}
    axis = np.unique(np.concatenate([frame["available_at"].to_numpy() for frame in rows.values()]))
    values = {name: np.full((axis.size, len(symbols)), np.nan) for name in names}
    opens = np.full((axis.size, len(symbols)), -1, np.int64)
    for place, symbol in enumerate(symbols):
        where = np.searchsorted(axis, rows[symbol]["available_at"].to_numpy())
        opens[where, place] = rows[symbol]["timestamp"].to_numpy()
        for name in names:
            values[name][where, place] = numbers(rows[symbol][name])
    return opens, values


def _audit(section: _Section, effort: Effort, evidence: Evidence, stored: Mapping[str, pl.DataFrame]) -> None:
    base, again = section.run(section.panel), section.run(section.panel)
    stable = {}
    for column, values in base.items():
        if differing(values, again[column]).any():
            evidence.unproven.append(Unproven(column, section.symbols[0], section.period, UNSTEADY))
        else:
            stable[column] = values
            if np.isfinite(values).any():
                evidence.valid.add(column)
    _compare_stored(section, stable, stored, evidence)
    tolerance = section.instance.record.tolerance
    leaks: dict[str, list[tuple[int, int, str]]] = {}
    for cut, how, before, after in _futures(section):
        for column in stable:
            apart = np.argwhere(differing(before[column], after[column], tolerance))
            if apart.size:
                leaks.setdefault(column, []).extend((int(r) + cut, int(s), how) for r, s in apart[-CONFIRMED:])
    for row, symbol, column in _poked(section, stable, effort, evidence):
        leaks.setdefault(column, []).append((row, symbol, "a single instant after the row changed"))
    for column, found in leaks.items():
        _note(section, column, found, evidence)


def _compare_stored(section: _Section, base: Panel, stored: Mapping[str, pl.DataFrame], evidence: Evidence) -> None:
    for place, symbol in enumerate(section.symbols):
        there = section.opens[:, place] >= 0
        stamps = pl.DataFrame({"timestamp": section.opens[there, place]})
        for column, values in base.items():
            if symbol not in stored or column not in stored[symbol].columns:
                continue
            before = stamps.join(stored[symbol].select("timestamp", column), on="timestamp", how="left",
                                 maintain_order="left")[column]  # fmt: skip
            apart = not_as_stored(pl.Series(values[there, place], nan_to_null=True), before)
            evidence.outdated("features", column, (symbol, section.period), stamps["timestamp"].to_numpy()[apart])


def _futures(section: _Section) -> Iterator[tuple[int, str, Panel, Panel]]:
    """First row of the window, what was done, and the columns of the rows up to a cut before and after."""
    past = section.memory + SPARE_BARS
    for number, cut in enumerate((np.linspace(0.1, 0.97, CUTS) * (section.instants - 1)).astype(int).tolist()):
        low, high = max(0, cut - past), min(section.instants, cut + 1 + FUTURE_BARS)
        window = {name: values[low:high] for name, values in section.panel.items()}
        kept = cut + 1 - low
        before = {column: values[:kept] for column, values in section.run(window).items()}
        for how, panel in _other_panels(window, kept, number):
            yield low, how, before, {column: values[:kept] for column, values in section.run(panel).items()}


def _other_panels(window: Panel, kept: int, seed: int) -> Iterator[tuple[str, Panel]]:
    yield "cut off", {name: values[:kept] for name, values in window.items()}
    later = np.arange(next(iter(window.values())).shape[0]) >= kept
    order = np.arange(later.size)
    order[kept:] = kept + np.random.default_rng(seed).permutation(later.size - kept)
    for factor in FACTORS:
        yield f"scaled by {factor:g}", {name: np.where(later[:, None], factor * v, v) for name, v in window.items()}
    yield "shuffled", {name: values[order] for name, values in window.items()}
    yield "removed", {name: np.where(later[:, None], np.nan, values) for name, values in window.items()}


def _poked(section: _Section, base: Panel, effort: Effort, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Rows before single changed instants that notice: (row, symbol, column)."""
    ahead = 16
    spacing = section.memory + ahead + 8
    runs = max(round(effort.runs(spacing)), 1)
    for number in range(runs):
        places = np.arange(max(number * spacing // runs, ahead), section.instants, spacing)
        evidence.poked += places.size
        for factor in FACTORS:
            after = section.run(_changed(section.panel, places, factor))
            rows = (places[:, None] - np.arange(ahead, 0, -1)).ravel()
            for column, values in base.items():
                size = np.fmax(np.abs(values[rows]), np.nanmedian(np.abs(values)) if np.isfinite(values).any() else 0)
                with np.errstate(invalid="ignore"):
                    moved = np.abs(after[column][rows] - values[rows]) > ROUNDING * size
                moved |= np.isnan(after[column][rows]) != np.isnan(values[rows])
                for row, symbol in np.argwhere(moved)[:SUSPECTS].tolist():
                    if _proven(section, column, int(rows[row]), symbol, factor):
                        yield int(rows[row]), symbol, column


def _changed(panel: Panel, places: npt.ArrayLike, factor: float, symbols: Sequence[int] | None = None) -> Panel:
    """Inputs of some instants times a factor, moved a little where they are 0; of all symbols or of some."""
    made = {}
    for name, values in panel.items():
        usual = float(np.nanmedian(np.abs(values))) if np.isfinite(values).any() else 0.0
        made[name] = values.copy()
        where = np.ix_(np.asarray(places), np.arange(values.shape[1]) if symbols is None else np.asarray(symbols))
        made[name][where] = values[where] * factor + 0.1 * usual
    return made


def _window(section: _Section, row: int, ahead: int) -> tuple[Panel, int]:
    low = max(0, row - 2 * section.memory - 8)
    return {name: values[low : row + ahead + 1] for name, values in section.panel.items()}, row - low


def _proven(section: _Section, column: str, row: int, symbol: int, factor: float) -> bool:
    whole, at = _window(section, row, 64)
    ended = {name: values[: at + 1] for name, values in whole.items()}
    own = section.run(whole)[column][at : at + 1, symbol]
    later = np.arange(at + 1, next(iter(whole.values())).shape[0])
    others = (section.run(ended)[column], section.run(_changed(whole, later, factor))[column])
    return any(differing(own, other[at : at + 1, symbol], section.instance.record.tolerance)[0] for other in others)


def _note(section: _Section, column: str, found: Sequence[tuple[int, int, str]], evidence: Evidence) -> None:
    _, symbol, how = min(found)
    stamps = [int(section.opens[r, s]) for r, s, _ in found if s == symbol and section.opens[r, s] >= 0]
    kind = _kind(section, column, *found[-1][:2])
    name = section.symbols[symbol], section.period
    evidence.suspect(column, name, stamps or [int(section.opens[:, symbol].max())], how, "cross-section", kind)


def _kind(section: _Section, column: str, row: int, symbol: int) -> str:
    """Of one row: whether far instants change it, other symbols' near ones, or only its own."""
    whole, at = _window(section, row, 4 * FARTHEST)
    size = next(iter(whole.values())).shape[0]
    own = section.run(whole)[column][at : at + 1, symbol]
    others = [place for place in range(len(section.symbols)) if place != symbol]

    def changes(first: int, symbols: Sequence[int] | None) -> bool:
        if first >= size or symbols == []:
            return False
        moved = section.run(_changed(whole, np.arange(first, size), -2.0, symbols))[column][at : at + 1, symbol]
        return bool(differing(own, moved, section.instance.record.tolerance)[0])

    if changes(at + 1 + FARTHEST, None):
        return ALL_DATA
    return OTHER_SYMBOLS if changes(at + 1, others) else SHIFT
