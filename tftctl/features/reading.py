"""Rows of groups, several symbols at a time: a query over a table takes longer than the few rows of an append."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from tftctl.core.periods import period_ms
from tftctl.features.changes import EVER
from tftctl.features.layout import Layout
from tftctl.store import Snapshot

# values that one query reads at most, unless one symbol has more
QUERY_VALUES = 4_000_000
# prepared bars that wait for their rows to be made
KEPT_ROWS = 1_000_000


@dataclass(slots=True)
class PreparedBars:
    """Prepared bars of the groups of a snapshot. Those that `keep` was told of are there once more without reading."""

    snapshot: Snapshot
    layout: Layout
    _kept: dict[tuple[str, str], pl.DataFrame] = field(default_factory=dict)

    def of(self, period: str, symbol: str) -> pl.DataFrame:
        """The bars of one group, adjusted and on their calendar."""
        kept = self._kept.pop((period, symbol), None)
        return dict(self.each(period, [symbol]))[symbol] if kept is None else kept

    def each(self, period: str, symbols: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Symbol and prepared bars of groups of one period, read in one query."""
        bars = by_symbol(self.snapshot, "bars", period, symbols)
        factors = by_symbol(self.snapshot, "factors", None, symbols) if self.snapshot.has("factors") else {}
        for symbol in symbols:
            yield symbol, self.layout.recipe.prepared(bars.pop(symbol), factors.get(symbol))

    def keep(self, period: str, symbol: str, prepared: pl.DataFrame) -> None:
        """Hold on to the bars of a group until `of` is asked for them, as long as they are not too many."""
        if prepared.height + sum(frame.height for frame in self._kept.values()) <= KEPT_ROWS:
            self._kept[period, symbol] = prepared


@dataclass(frozen=True, slots=True)
class _Ahead:
    since: int
    rows: Mapping[str, pl.DataFrame]


@dataclass(slots=True)
class StoredRows:
    """Stored rows of one symbol after the other, `coming` in this order: a query reads those that come next, too."""

    snapshot: Snapshot
    coming: Sequence[str]
    _ahead: dict[tuple[str, str, tuple[str, ...]], _Ahead] = field(default_factory=dict)

    def of(self, table: str, period: str, symbol: str, columns: Sequence[str], since: int = EVER) -> pl.DataFrame:
        """Rows of a symbol from `since` on, or from earlier on."""
        key = table, period, tuple(columns)
        ahead = self._ahead.get(key)
        if ahead is None or ahead.since > since or symbol not in ahead.rows:
            chosen = self._next(table, period, symbol, len(columns), since)
            rows = by_symbol(self.snapshot, table, period, chosen, columns, since)
            ahead = self._ahead[key] = _Ahead(since, rows)
        return ahead.rows[symbol]

    def _next(self, table: str, period: str, symbol: str, columns: int, since: int) -> list[str]:
        sizes = self.snapshot.groups(table, period)
        place = self.coming.index(symbol) + 1 if symbol in self.coming else len(self.coming)
        chosen = [symbol, *(name for name in self.coming[place:] if name in sizes)]
        most = (self.snapshot.newest(table, period) - since) // period_ms(period) + 1
        return next(_runs(chosen, {name: min(sizes.get(name, 0), most) for name in chosen}, columns))


def batches(snapshot: Snapshot, table: str, period: str, symbols: Sequence[str]) -> Iterator[list[str]]:
    """Runs of symbols whose rows one query may read."""
    return _runs(symbols, snapshot.groups(table, period), len(snapshot.columns(table)))


def _runs(symbols: Sequence[str], sizes: Mapping[str, int], columns: int) -> Iterator[list[str]]:
    run: list[str] = []
    rows = 0
    for symbol in symbols:
        if run and (rows + sizes[symbol]) * columns > QUERY_VALUES:
            yield run
            run, rows = [], 0
        run.append(symbol)
        rows += sizes[symbol]
    if run:
        yield run


def by_symbol(
    snapshot: Snapshot,
    table: str,
    period: str | None,
    symbols: Sequence[str],
    columns: Sequence[str] | None = None,
    since: int | None = None,
) -> dict[str, pl.DataFrame]:
    """Stored rows of some symbols from `since` on, by symbol."""
    rows = snapshot.collect(snapshot.scan(table, period, symbols=symbols, columns=columns, since=since))
    parts = rows.partition_by("symbol", as_dict=True, maintain_order=True)
    return {symbol: parts.get((symbol,), rows.clear()) for symbol in symbols}
