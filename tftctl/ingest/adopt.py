"""`tftctl data import --as fused`: a long table made elsewhere becomes this workspace's fused table, unaudited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.calendars import NO_BAR, calendar_for
from tftctl.core.errors import DataError
from tftctl.core.names import BAR_COLUMNS, KEY_COLUMNS, ROW_COLUMNS, TARGET_PREFIX, label_end_column
from tftctl.core.records import Target
from tftctl.core.times import iso, now_ms
from tftctl.ingest.bars import misfit, span_text
from tftctl.ingest.long_table import read_long_table
from tftctl.ingest.market import Market, market_of
from tftctl.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptOptions:
    """`horizons`: bars ahead per target column; `*` any other. `targets`: known definitions, by name."""

    symbol: str | None = None
    period: str | None = None
    calendar: str | None = None
    timezone: str = "UTC"
    trust_pickle: bool = False
    horizons: Mapping[str, int] = field(default_factory=dict)
    calendars: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of the table. `renamed`: old name -> new; `dropped`: columns of texts, times, or the future."""

    path: str
    rows: int
    groups: int
    features: int
    targets: tuple[str, ...]
    horizons: dict[str, dict[str, int]]
    renamed: dict[str, str]
    dropped: tuple[str, ...]
    labels_removed: int
    snapshot: int
    audit: str = "unaudited"


def adopt_fused(store: Store, path: Path, options: AdoptOptions) -> Adopted:
    """Check keys, times, names and numbers, and store the table as `fused` and `targets`.

    The last h labels of every group are removed whatever they say: the bars that they read are not there (L1).
    Raises DataError, and stores nothing, for a key that is missing or comes twice, a time off the calendar, an
    infinite number, a name that cannot be a column, a target with an unknown horizon.
    """
    read = read_long_table(
        path,
        symbol=options.symbol,
        period=options.period,
        timezone=options.timezone,
        trust_pickle=options.trust_pickle,
    )
    table = read.rows
    names = [name for name in table.columns if name not in KEY_COLUMNS]
    labels = [name for name in names if name.startswith(TARGET_PREFIX)]
    features = [name for name in names if name not in labels and name not in ROW_COLUMNS]
    if not features:
        raise DataError(f"{path} has no feature columns", f"its columns: {', '.join(table.columns)}")
    periods = list(dict.fromkeys(table["period"]))
    horizons = {label: _horizon(label, periods, options) for label in labels}
    fused, targets, removed = [], [], 0
    markets: dict[str, Market] = {}
    for (symbol, period), rows in table.group_by("symbol", "period", maintain_order=True):
        name = options.calendar or calendar_for(str(symbol), options.calendars)
        market = markets.get(str(symbol)) or market_of(name, "raw", 0)
        market = markets[str(symbol)] = market.anchored(str(period), rows["timestamp"])
        placed = _placed(path, rows, market, str(period))
        made = _with_label_ends(placed, {label: horizons[label][str(period)] for label in labels})
        removed += sum(rows[label].count() - made[label].count() for label in labels)
        fused.append(made.select(*ROW_COLUMNS, *features))
        ends = [label_end_column(label) for label in labels]
        targets.append(made.select(*KEY_COLUMNS, *labels, *ends))
    with store.write("data import --as fused") as txn:
        for name, frames in (("fused", fused), ("targets", targets)):
            txn.drop(name)
            for period in periods:
                parts = [frame for frame in frames if frame["period"][0] == period]
                txn.replace(name, period, pl.concat(parts).sort("symbol", "timestamp"))
        txn.set_meta("fused", _fused_meta(path, table, features, markets))
        txn.set_meta("targets", {"targets": _target_meta(table, horizons, options), "fingerprints": {}})
        number = txn.commit()
    return Adopted(
        path=str(path),
        rows=table.height,
        groups=len(fused),
        features=len([name for name in features if name not in BAR_COLUMNS]),
        targets=tuple(labels),
        horizons=horizons,
        renamed=read.renamed,
        dropped=read.dropped,
        labels_removed=removed,
        snapshot=number,
    )


def _horizon(label: str, periods: Sequence[str], options: AdoptOptions) -> dict[str, int]:
    """Bars ahead per period: as named, else the known definition's default. Raises DataError when neither is there."""
    named = options.horizons.get(label, options.horizons.get("*"))
    known = options.targets.get(label)
    found: dict[str, int] = {}
    for period in periods:
        bars = named if named is not None else known.horizon_for(period) if known else None
        if bars is None:
            raise DataError(
                f"{label}: how many {period} bars ahead does it look?", f"name it: --horizon {label}=N, or --horizon N"
            )
        found[period] = bars
    return found


def _placed(path: Path, rows: pl.DataFrame, market: Market, period: str) -> pl.DataFrame:
    """Rows of one group with ROW_COLUMNS; every missing bar begins a segment, for nothing can fill its features."""
    stamps = rows["timestamp"].to_numpy()
    calendar = market.calendar
    due = calendar.available_at(period, stamps)
    off = np.flatnonzero(due == NO_BAR)
    if off.size:
        raise DataError(
            f"{path}: {rows['symbol'][0]} {period} has {off.size} rows at which no bar of {calendar.name} opens, the "
            f"first {iso(stamps[off[0]])}",
            "timestamps are open times in UTC; name the market: --calendar XNYS, or --timezone",
        )
    late = np.flatnonzero(due > now_ms())
    if late.size:
        first = f"{rows['symbol'][0]} {period} {iso(stamps[late[0]])}"
        raise DataError(
            f"{path}: {late.size} rows stand for bars that are not complete yet, the first {first}",
            "leave them out of the file",
        )
    if (found := misfit(rows["timestamp"], calendar, period)) is not None:
        raise DataError(f"{path}: {rows['symbol'][0]} has rows {span_text(found)} apart, not {period}",
                        "is the period right?")  # fmt: skip
    following = calendar.next_open(period, stamps)
    broken = np.concatenate(([False], stamps[1:] != following[:-1]))
    filled = rows["is_filled"] if "is_filled" in rows.columns else pl.repeat(False, rows.height, eager=True)
    return rows.with_columns(
        available_at=pl.Series(due, dtype=pl.Int64),
        next_timestamp=pl.Series(following, dtype=pl.Int64),
        segment=pl.Series(np.cumsum(broken), dtype=pl.Int32),
        bar_index=pl.int_range(pl.len(), dtype=pl.Int64),
        is_filled=filled,
    ).with_columns(pl.col(pl.Float64).cast(pl.Float32))


def _with_label_ends(rows: pl.DataFrame, horizons: Mapping[str, int]) -> pl.DataFrame:
    """label_end of each target: available_at of bar t+h of the same segment; null labels where there is none."""
    ends = {label: pl.col("available_at").shift(-bars).over("segment") for label, bars in horizons.items()}
    rows = rows.with_columns(**{label_end_column(label): end for label, end in ends.items()})
    return rows.with_columns(
        pl.when(pl.col(label_end_column(label)).is_not_null()).then(pl.col(label)).alias(label) for label in horizons
    )


def _fused_meta(
    path: Path, table: pl.DataFrame, features: Sequence[str], markets: Mapping[str, Market]
) -> dict[str, Any]:
    empty = table.group_by("period").agg(pl.col(features).is_null().all())
    without = {row["period"]: [name for name in features if row[name]] for row in empty.iter_rows(named=True)}
    partial = {name for names in without.values() for name in names}
    return {
        "columns": {name: _column_meta(name, name in partial) for name in features},
        "without": without,
        "fingerprints": {},
        "config": {},
        "calendars": {symbol: market.document() for symbol, market in sorted(markets.items())},
        "made_from": {"file": str(path)},
        "origin": "adopted",
        "audit": "unaudited",
    }


def _column_meta(name: str, partial: bool) -> dict[str, Any]:
    """A column that is empty for a whole period does not apply there, as context does not (F4): null is data then."""
    found = {"role": "own", "scale": "free", "source": name, "context_period": None, "summary": "adopted as it is"}
    source, _, context = name.partition("__")
    if name in BAR_COLUMNS:
        return found | {"role": "bar", "scale": "volume" if name == "volume" else "price", "summary": ""}
    if context or partial:
        role = "age" if source == "age" else "context"
        return found | {"role": role, "source": source, "context_period": context or "other_periods"}
    return found


def _target_meta(table: pl.DataFrame, horizons: Mapping[str, Any], options: AdoptOptions) -> dict[str, Any]:
    found = {}
    for label, bars in horizons.items():
        known = options.targets.get(label)
        binary = table[label].drop_nulls().is_in([0.0, 1.0]).all()
        found[label] = {
            "record": label,
            "kind": known.kind if known else ("binary" if binary else "regression"),
            "unit": known.unit if known else "as adopted",
            "horizon": bars,
            "loss": known.loss if known else None,
            "tail": known.tail if known else "fat",
        }
    return found
