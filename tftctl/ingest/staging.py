"""Bars on their way into the store: held against what is there, written once at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from tftctl.core.calendars import NO_BAR
from tftctl.core.errors import DataError
from tftctl.core.records import Scale
from tftctl.core.times import iso
from tftctl.ingest.bars import REASON
from tftctl.ingest.market import OBSERVED, Market, market_from
from tftctl.ingest.merge import Prefer, check_continues, merge_bars
from tftctl.ingest.report import FileReport
from tftctl.store import Transaction

Key = tuple[str, str]

_SHOWN = 5
_ANCHORS = {"hour": "full hour", "open": "session's open"}
# last bars of earlier imports that are remembered per group
_ENDS = 64


class Staging:
    """The bars table as an import leaves it. Nothing is written before `write`."""

    def __init__(self, txn: Transaction, prefer: Prefer | None) -> None:
        self._txn = txn
        self._prefer = prefer
        self._meta = txn.base.meta("bars")
        self._markets = {symbol: market_from(entry) for symbol, entry in self._meta.get("symbols", {}).items()}
        self._ends: dict[str, dict[str, list[int]]] = self._meta.get("import_ends", {})
        self._bars: dict[Key, pl.DataFrame | None] = {}
        self._changed: dict[Key, list[pl.DataFrame]] = {}
        self._dropped: dict[Key, list[pl.DataFrame]] = {}
        self._redeclared = False
        self._new_ends: set[tuple[str, str, int]] = set()

    def add(self, report: FileReport, market: Market, bars: pl.DataFrame, *, strict: bool) -> None:
        """Merge one file's bars of one group. Raises DataError when the file contradicts the store as a whole."""
        symbol, period = str(report.symbol), str(report.period)
        if bars.is_empty():
            return
        market = self._settle_market(symbol, period, market, bars)
        last = int(bars["timestamp"].max())  # type: ignore[arg-type]
        # of two files of one import that end together, none was fetched later
        ends = [end for end in self._ends.get(symbol, {}).get(period, []) if (symbol, period, end) not in self._new_ends
                or end != last]  # fmt: skip
        merged = merge_bars(self._stored(symbol, period), bars, ends, self._prefer)
        if strict and merged.refused.height:
            raise DataError(
                f"{merged.refused.height} bars differ from the stored ones, and --strict takes all or nothing",
                "resolve it: --prefer new, or --prefer old",
            )
        report.reject(merged.refused)
        if self._prefer is None:
            check_continues(
                merged,
                symbol,
                f"another market? --symbol {symbol}_2; adjusted anew? --prefer new; only its new bars? --prefer old",
            )
        report.duplicates += merged.unchanged
        report.rows_accepted = merged.changed.height
        report.corrections, report.replaced = len(merged.corrections), merged.replaced
        if merged.corrections:
            stamps = ", ".join(iso(stamp) for stamp in merged.corrections[:_SHOWN])
            report.warnings.append(f"the last bar of an earlier import was corrected: {stamps}")
        self._bars[symbol, period] = merged.bars
        if merged.changed.height:
            self._changed.setdefault((symbol, period), []).append(merged.changed)
            self._markets[symbol] = market
        self._note_end(symbol, period, last, merged.corrections)

    def write(self, scales: Mapping[str, Scale | None]) -> None:
        """Hand everything to the transaction."""
        for (_, period), frames in self._dropped.items():
            self._txn.delete("bars", period, pl.concat(frames))
        periods = sorted({period for _, period in self._changed})
        for period in periods:
            frames = [frame for key, parts in self._changed.items() if key[1] == period for frame in parts]
            rows = pl.concat(frames, how="diagonal").unique(["symbol", "timestamp"], keep="last", maintain_order=True)
            self._txn.upsert("bars", period, _ordered(rows))
        if self._changed or self._dropped or self._redeclared:
            self._txn.set_meta("bars", self._description(scales))

    def _settle_market(self, symbol: str, period: str, coming: Market, bars: pl.DataFrame) -> Market:
        """A symbol has one calendar, one basis, and one anchor per period; --prefer new changes the first two."""
        known = self._markets.get(symbol)
        if known is None:
            return coming
        if known.basis != coming.basis:
            self._check_rebase(symbol, period, known.basis, coming.basis, bars)
        market = Market(coming.name, coming.basis, coming.delay_ms, {**known.anchor, **coming.anchor})
        if (known.name, known.delay_ms) != (coming.name, coming.delay_ms):
            if self._prefer != "new":
                raise DataError(
                    f"{symbol} is stored on the calendar {known.words}, this import says {coming.words}",
                    "to move all of its bars to the new one: --prefer new",
                )
            market = self._move(symbol, market)
        elif known.anchor.get(period, coming.anchor.get(period)) != coming.anchor.get(period):
            old, new = known.anchor[period], coming.anchor[period]
            raise DataError(
                f"{symbol} {period} bars are stored as counted from the {_ANCHORS[old]}, these are from the "
                f"{_ANCHORS[new]}",
                f"store them apart: --symbol {symbol}_{new.upper()}",
            )
        if (known.name, known.delay_ms, known.basis) != (coming.name, coming.delay_ms, coming.basis):
            self._markets[symbol] = market
            self._redeclared = True
        return market

    def _check_rebase(self, symbol: str, period: str, known: str, coming: str, bars: pl.DataFrame) -> None:
        """Another basis is one for all bars of a symbol, so the file has to hold them all. Raises DataError."""
        apart = f"name them: --basis {known}, or store them apart: --symbol {symbol}_{coming.upper()}"
        said = f"{symbol} is stored with {known} prices, these are {coming}"
        if self._prefer != "new":
            raise DataError(said, f"{apart}; if all of them are {coming}: --prefer new")
        for other in self._txn.base.periods("bars") if self._txn.base.has("bars") else []:
            stored = self._stored(symbol, other)
            if stored is not None and (
                other != period or not stored["timestamp"].is_in(bars["timestamp"].implode()).all()
            ):
                raise DataError(f"{said}, and not all of its {other} bars are in this file", apart)

    def _move(self, symbol: str, market: Market) -> Market:
        """Give the stored bars of a symbol the new calendar's available_at; bars that it does not know go.

        Return the market with the anchors of all its periods.
        """
        for period in self._txn.base.periods("bars"):
            stored = self._stored(symbol, period)
            if stored is None:
                continue
            market = market.anchored(period, stored["timestamp"])
            due = market.calendar.available_at(period, stored["timestamp"].to_numpy())
            moved = stored.with_columns(available_at=pl.Series(due, dtype=pl.Int64))
            off = moved.filter(pl.col("available_at") == NO_BAR)
            if off.height:
                self._dropped.setdefault((symbol, period), []).append(off.select("symbol", "timestamp"))
            kept = moved.filter(pl.col("available_at") != NO_BAR)
            self._bars[symbol, period] = kept
            self._changed.setdefault((symbol, period), []).append(kept)
        return market

    def _stored(self, symbol: str, period: str) -> pl.DataFrame | None:
        key = (symbol, period)
        if key not in self._bars:
            base = self._txn.base
            there = base.has("bars") and period in base.periods("bars") and symbol in base.symbols("bars", period)
            self._bars[key] = base.collect(base.scan("bars", period, symbols=[symbol])) if there else None
        return self._bars[key]

    def _note_end(self, symbol: str, period: str, last: int, corrected: Collection[int]) -> None:
        """A corrected bar is settled: the file that was corrected may come again and must not win."""
        ends = self._ends.setdefault(symbol, {}).get(period, [])
        self._new_ends.add((symbol, period, last))
        self._ends[symbol][period] = sorted({*ends, last} - ({*corrected} - {last}))[-_ENDS:]

    def _description(self, scales: Mapping[str, Scale | None]) -> dict[str, Any]:
        names = {market.name for market in self._markets.values()} - {OBSERVED}
        versions = {market.name: market.calendar.version for market in self._markets.values() if market.name in names}
        known = self._meta.get("extras", {})
        extras = {**known, **{name: scale for name, scale in scales.items() if scale or name not in known}}
        return {
            "symbols": {symbol: market.document() for symbol, market in sorted(self._markets.items())},
            "calendar_versions": dict(sorted(versions.items())),
            "extras": dict(sorted(extras.items())),
            "import_ends": {symbol: dict(sorted(ends.items())) for symbol, ends in sorted(self._ends.items())},
        }


def _ordered(rows: pl.DataFrame) -> pl.DataFrame:
    first = ["symbol", "period", "timestamp", "available_at", "ingested_at", "open", "high", "low", "close", "volume"]
    return rows.select(*first, *(name for name in rows.columns if name not in (*first, REASON)))
