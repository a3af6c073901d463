"""`parity`: how far each column is from TA-Lib's, on real hourly bars."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from markets import PRICES, read_bars
from measure import one_thread_each, table
from talib_columns import REFERENCES

if TYPE_CHECKING:
    import polars as pl

LIMIT = 1e-9


def parity(file: Path, last: int | None) -> str:
    """Default parameters, segment by segment; the markdown report."""
    one_thread_each()
    from builds import catalogue

    bars = _bars(file, last)
    parts = bars.partition_by("segment", maintain_order=True)
    rows: list[list[Any]] = []
    without: list[str] = []
    for instance in _instances(catalogue()):
        name = instance.record.name
        if name in REFERENCES:
            rows += _rows(name, _engine(bars, instance), [_talib(part, instance) for part in parts])
            missing = {feature.output for feature in instance.features} - {row[1] for row in rows if row[0] == name}
            without += sorted(missing)
        else:
            without.append(name)
    worst = max(float(row[3]) for row in rows)
    header = ["indicator", "column", "TA-Lib", "scaled", "plain", "first valid bar", "other nulls", "bars compared"]
    return (
        f"{file.name}: {bars.height:,} prepared bars in {len(parts)} segments; TA-Lib is called on each segment, with "
        "every parameter.\n`scaled`: |a - b| / max(|b|, median |b|); `plain`: |a - b| / |b|, also where b passes 0.\n\n"
        f"{table(header, rows)}\n\n"
        f"Largest scaled difference: {worst:.1e}, {'within' if worst <= LIMIT else 'BEYOND'} {LIMIT:.0e}. "
        f"Without a counterpart in TA-Lib: {', '.join(without)}."
    )


def _bars(file: Path, last: int | None) -> pl.DataFrame:
    from tftctl.core.calendars import open_calendar
    from tftctl.features.bars import prepare_bars

    raw = read_bars(file, "1h")
    return prepare_bars(raw if last is None else raw.tail(last), open_calendar("24x7"), max_fill_bars=3)


def _instances(names: list[str]) -> list[Any]:
    from tftctl.core.config.features import IndicatorEntry
    from tftctl.features.definitions import resolve_indicators
    from tftctl.plugins import load_registry

    return resolve_indicators([IndicatorEntry(name=name) for name in names], load_registry())


def _engine(bars: pl.DataFrame, instance: Any) -> dict[str, list[np.ndarray]]:
    """By output, an array per segment."""
    from tftctl.features.engine import compute_features, segment_bounds

    made = compute_features(bars, [instance])
    ends = [stop for _, stop in segment_bounds(bars)][:-1]
    values = {f.output: made[f.column].fill_null(float("nan")).to_numpy() for f in instance.features}
    return {name: np.split(line, ends) for name, line in values.items()}


def _talib(part: pl.DataFrame, instance: Any) -> dict[str, np.ndarray]:
    bars = SimpleNamespace(**{name: part[name].to_numpy().copy() for name in (*PRICES, "volume", "timestamp")})
    with np.errstate(all="ignore"):
        made = REFERENCES[instance.record.name][1](bars, instance.params)
    return {name: np.where(np.isfinite(line), line, np.nan) for name, line in made.items()}


def _rows(name: str, found: dict[str, list[np.ndarray]], expected: list[dict[str, np.ndarray]]) -> list[list[Any]]:
    return [
        [name, column, REFERENCES[name][0], *_compare(lines, [part[column] for part in expected])]
        for column, lines in found.items()
        if column in expected[0]
    ]


def _compare(found: list[np.ndarray], expected: list[np.ndarray]) -> list[Any]:
    """scaled, plain, first valid bars, other nulls, bars compared."""
    firsts = sum(_first(mine) != _first(other) for mine, other in zip(found, expected, strict=True))
    mine, other = np.concatenate(found), np.concatenate(expected)
    both = ~np.isnan(mine) & ~np.isnan(other)
    nulls = int((np.isnan(mine) != np.isnan(other)).sum())
    a, b = mine[both], other[both]
    apart = np.abs(a - b)
    unequal = apart > 0
    scale = np.maximum(np.abs(b), np.median(np.abs(b)))
    scaled, plain = (
        float((apart[unequal] / size[unequal]).max()) if unequal.any() else 0.0 for size in (scale, np.abs(b))
    )
    where = "equal" if not firsts else f"differs in {firsts} segments"
    return [f"{scaled:.1e}", f"{plain:.1e}", where, "equal" if not nulls else f"{nulls} differ", int(both.sum())]


def _first(values: np.ndarray) -> int:
    there = np.flatnonzero(~np.isnan(values))
    return int(there[0]) if there.size else values.size
