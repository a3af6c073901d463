"""The groups of a CSV or Parquet file, read in blocks: of ten gigabytes only the times stay in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.audit.time.grids import Grid, declared_grid, in_order, inferred_grid, usual_step
from tftctl.audit.time.series import Series, Writing
from tftctl.audit.time.writing import as_numbers, how_written
from tftctl.core.errors import DataError, TftctlError, UsageError
from tftctl.core.names import BAR_COLUMNS
from tftctl.core.periods import parse_period
from tftctl.ingest.bars import LEAN_TIMEZONE, span_text
from tftctl.ingest.blocks import BlockFile, open_blocks
from tftctl.ingest.clocks import Clock, read_times
from tftctl.ingest.columns import known_columns, plain_name
from tftctl.ingest.identity import normal_symbol, period_from_path, read_period, stem_of, symbol_from_name
from tftctl.ingest.market import OBSERVED, market_of
from tftctl.ingest.reading import PANDAS_INDEX

MS, TROUBLE = "__ms", "__trouble"
SYMBOL, PERIOD = "__symbol", "__period"
_TIMES = ("timestamp", "datetime")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """What the user declares of a file: a period, a calendar, and the zone of times without one."""

    period: str | None = None
    calendar: str | None = None
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class TimedFile:
    """A file whose time column is known. `found`: canonical name -> column."""

    file: BlockFile
    found: Mapping[str, str]
    options: FileOptions

    @property
    def times(self) -> list[str]:
        """The columns that say when, the one that is read first in front."""
        return [self.found[name] for name in _TIMES if name in self.found]

    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Rows with `__ms` (int64 ms UTC), `__trouble` (why there is none), `__symbol` and `__period`."""
        usual, period, clock = _named_symbol(self.file.path), self._period(), self._clock()
        keys = [self.found[name] for name in ("symbol", "period") if name in self.found]
        for rows in self.file.blocks(list(dict.fromkeys([*self.times, *keys, *columns]))):
            quick = rows.with_columns(as_numbers(rows[name]) for name in self.times)
            ms, trouble = read_times(quick, self.found, period or "1h", clock)
            yield rows.with_columns(
                ms.alias(MS), trouble.alias(TROUBLE),
                self._key("symbol", usual).alias(SYMBOL), self._key("period", period).alias(PERIOD),
            )  # fmt: skip

    def _clock(self) -> Clock:
        """As an import reads the file: dates of daily bars are sessions' where an exchange is named."""
        if self.file.layout is not None and self.file.layout.lean:
            return Clock(LEAN_TIMEZONE, LEAN_TIMEZONE)
        calendar = self.options.calendar
        return Clock(self.options.timezone, market_of(calendar, "raw", 0).timezone if calendar else None)

    def _key(self, name: str, fallback: str | None) -> pl.Expr:
        if name not in self.found or (name == "period" and self.options.period):
            return pl.lit(fallback, pl.String)
        text = pl.col(self.found[name]).cast(pl.String).str.strip_chars().str.strip_chars('"')
        return pl.when(text == "").then(None).otherwise(text).fill_null(pl.lit(fallback, pl.String))

    def _period(self) -> str | None:
        if self.options.period:
            return read_period(self.options.period)
        try:
            return period_from_path(self.file.path)
        except TftctlError:
            return None


@dataclass(slots=True)
class _Group:
    stamps: list[np.ndarray] = field(default_factory=list)
    flat: list[np.ndarray] = field(default_factory=list)
    units: Counter[str] = field(default_factory=Counter)
    offsets: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    first_unreadable: str | None = None


def open_timed(path: Path, options: FileOptions) -> TimedFile:
    """Raises DataError with one line for a file without a time column, UsageError for a calendar of no file."""
    if options.calendar == OBSERVED:
        raise UsageError("the observed calendar is that of a store's symbols together", "name another: --calendar 24x7")
    file = open_blocks(path)
    found = known_columns(file.columns)
    if not any(name in found for name in _TIMES) and PANDAS_INDEX in file.columns:
        found["datetime"] = PANDAS_INDEX
    if not any(name in found for name in _TIMES):
        raise DataError(f"{path} has no time column", f"its columns: {', '.join(file.columns)}")
    if plain_name(found.get("symbol", "")) == "name":
        del found["symbol"]
    return TimedFile(file, found, options)


def read_series(path: Path, options: FileOptions) -> list[Series]:
    """The groups of a file. Raises DataError with one line where it has no time at all."""
    timed = open_timed(path, options)
    groups = _gathered(timed)
    if not any(part.size for group in groups.values() for part in group.stamps):
        shown = next((group.first_unreadable for group in groups.values() if group.first_unreadable), "nothing")
        raise DataError(f"{path}: no row has a readable time in {', '.join(timed.times)}", f"the first: {shown}")
    made = {key: np.concatenate(group.stamps) for key, group in groups.items() if any(map(len, group.stamps))}
    contested = _contradictions(timed, {key: _repeated(stamps) for key, stamps in made.items()})
    return [
        _series(path, key, stamps, groups[key], _grid(stamps, key[1], options.calendar), contested.get(key))
        for key, stamps in made.items()
    ]


def _series(path: Path, key: tuple[str, str | None], stamps: np.ndarray, group: _Group, grid: Grid | None,
            contested: np.ndarray | None) -> Series:  # fmt: skip
    writing = Writing(dict(group.units), dict(group.offsets), group.unreadable, group.first_unreadable)
    return Series(
        place=str(path),
        symbol=key[0],
        period=key[1],
        stamps=stamps,
        grid=grid,
        flat=np.concatenate(group.flat) if group.flat else None,
        contradicting=np.empty(0, np.int64) if contested is None else contested,
        writing=writing,
    )


def _gathered(timed: TimedFile) -> dict[tuple[str, str | None], _Group]:
    prices = [timed.found[name] for name in BAR_COLUMNS if name in timed.found]
    prices = prices if len(prices) == len(BAR_COLUMNS) else []
    groups: dict[tuple[str, str | None], _Group] = {}
    for block in timed.blocks(prices):
        for (symbol, period), rows in block.group_by(SYMBOL, PERIOD, maintain_order=True):
            group = groups.setdefault((canonical_symbol(symbol), canonical_period(period)), _Group())
            _add(group, rows, timed.times[0], prices)
    return groups


def _add(group: _Group, rows: pl.DataFrame, when: str, prices: Sequence[str]) -> None:
    read = rows.filter(pl.col(TROUBLE).is_null() & pl.col(MS).is_not_null())
    group.stamps.append(read[MS].to_numpy())
    if prices:
        group.flat.append(_flat(read, prices))
    units, offsets = how_written(read[when])
    group.units.update(units)
    group.offsets.update(offsets)
    bad = rows.height - read.height
    if bad and group.first_unreadable is None:
        first = rows.filter(pl.col(TROUBLE).is_not_null() | pl.col(MS).is_null()).row(0, named=True)
        group.first_unreadable = f"{str(first[when])[:60]!r} ({first[TROUBLE] or 'blank'})"
    group.unreadable += bad


def _flat(rows: pl.DataFrame, prices: Sequence[str]) -> np.ndarray:
    high, low, volume = (pl.col(prices[place]).cast(pl.Float64, strict=False) for place in (1, 2, 4))
    return rows.select(((high == low) & (volume == 0)).fill_null(False)).to_series().to_numpy()


def _contradictions(timed: TimedFile, repeated: Mapping[Any, np.ndarray]) -> dict[Any, np.ndarray]:
    """Times of which rows differ in any other column: a second look at the file, at a digest of these rows."""
    if not any(times.size for times in repeated.values()):
        return {}
    others = [name for name in timed.file.columns if name not in timed.times]
    wanted = pl.Series(np.unique(np.concatenate(list(repeated.values()))))
    twins: dict[Any, list[pl.DataFrame]] = {}
    for block in timed.blocks(others):
        for (symbol, period), rows in block.filter(pl.col(MS).is_in(wanted.implode())).group_by(SYMBOL, PERIOD):
            twins.setdefault((canonical_symbol(symbol), canonical_period(period)), []).append(
                rows.select(MS, pl.struct(others).hash().alias("content") if others else pl.lit(0).alias("content"))
            )
    return {key: _differing(pl.concat(parts)) for key, parts in twins.items()}


def _differing(rows: pl.DataFrame) -> np.ndarray:
    counts = rows.group_by(MS).agg(pl.col("content").n_unique().alias("n"))
    return counts.filter(pl.col("n") > 1)[MS].sort().to_numpy()


def _repeated(stamps: np.ndarray) -> np.ndarray:
    """Times that come more than once."""
    steps = np.diff(stamps)
    if (steps > 0).all() or (steps < 0).all():
        return stamps[:0]
    ordered = np.sort(stamps)
    return in_order(ordered[1:][np.diff(ordered) == 0])


def _grid(stamps: np.ndarray, period: str | None, calendar: str | None) -> Grid | None:
    """On the calendar that is named, at the declared period or else the step that the times show."""
    unique = in_order(stamps)
    step, _ = usual_step(unique)
    shown = period or (_as_period(step) if step else None)
    if calendar is None or shown is None:
        return inferred_grid(unique, period)
    market = market_of(calendar, "raw", 0).anchored(shown, pl.Series(unique))
    return declared_grid(shown, market.calendar)


def _as_period(step: int) -> str | None:
    try:
        return parse_period(span_text(step))
    except TftctlError:
        return None


def _named_symbol(path: Path) -> str:
    try:
        return symbol_from_name(path)
    except TftctlError:
        return stem_of(path)


def canonical_symbol(value: object) -> str:
    """As the store would call it; the text itself where that is no symbol."""
    try:
        return normal_symbol(str(value))
    except TftctlError:
        return str(value)


def canonical_period(value: object) -> str | None:
    """As periods are written; None for what is none."""
    try:
        return None if value is None else read_period(str(value))
    except TftctlError:
        return None
