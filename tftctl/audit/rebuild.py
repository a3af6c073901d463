"""What a snapshot knew at an instant, as a store of its own whose features are built anew (SEMANTICS A3, F8)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.periods import DAY_MS, period_ms
from tftctl.features.build import build
from tftctl.features.definitions import of_scope, resolve_indicators
from tftctl.plugins import Registry
from tftctl.store import Snapshot, Store

_OBSERVED = "observed"


def cannot_rebuild(snapshot: Snapshot) -> str | None:
    """Why the fused table cannot be made again from bars; None where it can."""
    meta = snapshot.meta("fused")
    origin = meta.get("origin")
    if origin != "built" or not meta.get("config"):
        return f"the fused table of snapshot {snapshot.number} is {origin or 'not built'}, no build from bars made it"
    return None if snapshot.has("bars") else f"snapshot {snapshot.number} has no bars"


def rebuild(
    snapshot: Snapshot, root: Path, groups: Collection[tuple[str, str]], until: int | None, registry: Registry
) -> Store:
    """A store in `root` with all that was available at `until` (None: everything), and features built from it.

    The configuration is that of the snapshot's own build; of the bars only those are there that rows of `groups`
    (symbol, period) see. Raises what `features.build.build` does.
    """
    config = FeaturesConfig.model_validate(snapshot.meta("fused")["config"])
    symbols, periods = _seen(snapshot, config, groups, registry)
    store = Store(root, unsafe_lock=True)  # nobody else knows the folder
    with store.write("rebuilt") as txn:
        for table, period, rows in _known_at(snapshot, symbols, periods, until):
            txn.replace(table, period, rows)
        for table in ("bars", "macro", "factors"):
            if snapshot.has(table):
                txn.set_meta(table, snapshot.meta(table))
        txn.commit()
    build(store, config.model_copy(update={"symbols": None}), registry)
    return store


def _seen(
    snapshot: Snapshot, config: FeaturesConfig, groups: Collection[tuple[str, str]], registry: Registry
) -> tuple[list[str], list[str]]:
    """Symbols and periods whose bars the rows of some groups are made from."""
    periods = {period for _, period in groups}
    periods |= {q for period in periods for q in config.context.get(period, [])}
    there = [period for period in snapshot.periods("bars") if period in periods and period in config.periods]
    everyone = {symbol for period in there for symbol in snapshot.symbols("bars", period)}
    wanted = everyone if config.symbols is None else everyone & set(config.symbols)
    markets = snapshot.meta("bars")["symbols"]
    symbols = {symbol for symbol, _ in groups}
    if any(markets[symbol]["calendar"] == _OBSERVED for symbol in symbols):
        symbols |= {symbol for symbol in everyone if markets[symbol]["calendar"] == _OBSERVED}
    if of_scope(resolve_indicators(config.indicators, registry), "cross_section"):
        symbols |= wanted
    return sorted(symbols), there


def _known_at(
    snapshot: Snapshot, symbols: list[str], periods: list[str], until: int | None
) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """(table, period, rows) of bars, macro series, factors and frozen slots as they were known at `until`."""
    available = pl.lit(True) if until is None else pl.col("available_at") <= until
    for period in periods:
        bars = snapshot.collect(snapshot.scan("bars", period, symbols=symbols).filter(available))
        if bars.height:
            yield "bars", period, bars
        if snapshot.has("calendar") and period in snapshot.periods("calendar"):
            slots = snapshot.collect(snapshot.scan("calendar", period))
            due = pl.col("timestamp") + period_ms(period)
            yield "calendar", period, slots if until is None else slots.filter(due <= until)
    for frequency in snapshot.periods("macro") if snapshot.has("macro") else []:
        yield "macro", frequency, snapshot.collect(snapshot.scan("macro", frequency).filter(available))
    for period in snapshot.periods("factors") if snapshot.has("factors") else []:
        factors = snapshot.collect(snapshot.scan("factors", period, symbols=symbols))
        known = factors if until is None else factors_at(factors, until)
        if known.height:
            yield "factors", period, known


def factors_at(factors: pl.DataFrame, until: int) -> pl.DataFrame:
    """Split and dividend factors as a file of that day gives them: relative to the price of the day.

    Each stored factor is the product of all events from its date on; those after `until` are divided out again.
    """
    today = until // DAY_MS * DAY_MS
    past = pl.col("timestamp") < today
    names: list[Any] = ["price_factor", "split_factor"]
    later = [pl.col(name).filter(~past).sort_by(pl.col("timestamp").filter(~past)).first() for name in names]
    relative = [(pl.col(name) / value.fill_null(1.0)).over("symbol") for name, value in zip(names, later, strict=True)]
    return factors.with_columns(relative).filter(past)
