"""`tftctl data import --as fused`: a long table made elsewhere becomes this workspace's fused table, unaudited."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.calendars import NO_BAR, calendar_for
from tftctl.core.errors import DataError, UsageError
from tftctl.core.names import BAR_COLUMNS, KEY_COLUMNS, ROW_COLUMNS, TARGET_PREFIX, label_end_column, name_problem
from tftctl.core.records import Target
from tftctl.core.times import iso
from tftctl.ingest.bars import misfit, span_text
from tftctl.ingest.columns import is_time_column, plain_name
from tftctl.ingest.identity import normal_symbol, read_period
from tftctl.ingest.market import Market, market_of
from tftctl.ingest.reading import LINE, RAGGED, read_table
from tftctl.ingest.timestamps import parse_times
from tftctl.store import Store

_SYMBOL = ("symbol", "ticker", "pair", "asset")
_PERIOD = ("period", "interval", "timeframe")
_SHOWN = 5
# future_close and its like are labels under another name (F5)
_FUTURE = "future_"


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
    table, renamed, dropped = _read(path, options)
    names = [name for name in table.columns if name not in KEY_COLUMNS]
    labels = [name for name in names if name.startswith(TARGET_PREFIX)]
    features = [name for name in names if name not in labels and name not in ROW_COLUMNS]
    if not features:
        raise DataError(f"{path} has no feature columns", f"its columns: {', '.join(table.columns)}")
    _check_keys(path, table)
    _check_numbers(path, table, [*features, *labels])
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
        renamed=renamed,
        dropped=tuple(dropped),
        labels_removed=removed,
        snapshot=number,
    )


def _read(path: Path, options: AdoptOptions) -> tuple[pl.DataFrame, dict[str, str], list[str]]:
    """The table with key columns, plain names and numbers only; what was renamed and what was left out."""
    raw = read_table(path, trust_pickle=options.trust_pickle).rows.drop(LINE, RAGGED)
    plain = {name: _column_name(name) for name in raw.columns}
    key = _key_columns(path, raw, plain, options)
    others = [name for name in plain if name not in key.values()]
    values = {name: plain[name] for name in others if not is_time_column(name) and not plain[name].startswith(_FUTURE)}
    numbers, dropped = _numbers(raw, values)
    dropped = [name for name in others if name not in values or name in dropped]
    problems = [f"{name}: {problem}" for name in numbers if (problem := _problem(name))]
    twins = sorted({name for name in numbers if list(values.values()).count(name) > 1})
    if problems or twins:
        what = problems[0] if problems else f"two columns become {twins[0]!r}"
        raise DataError(f"{path}: {what}", f"rename them in the file ({len(problems) + len(twins)} in all)")
    times = parse_times(raw[key["timestamp"]], options.timezone)
    table = pl.DataFrame(
        {
            "symbol": _key(path, raw, key.get("symbol"), options.symbol, normal_symbol),
            "period": _key(path, raw, key.get("period"), options.period, read_period),
            "timestamp": times.ms,
            **numbers,
        }
    )
    renamed = {old: new for old, new in values.items() if old != new and new in numbers}
    return table.sort(KEY_COLUMNS), renamed, dropped


def _key_columns(path: Path, raw: pl.DataFrame, plain: Mapping[str, str], options: AdoptOptions) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, simple in plain.items():
        if simple in _SYMBOL:
            found.setdefault("symbol", name)
        elif simple in _PERIOD:
            found.setdefault("period", name)
        elif is_time_column(name):
            found.setdefault("timestamp", name)
    if "timestamp" not in found and "index" in plain.values():
        found["timestamp"] = next(name for name, simple in plain.items() if simple == "index")
    given = {"symbol": options.symbol, "period": options.period, "timestamp": None}
    for key, value in given.items():
        if value is not None and key in found and raw[found[key]].n_unique() > 1:
            raise DataError(
                f"{path}: one {key} is given, its column {found[key]!r} holds several", f"leave out --{key}"
            )
    for key, value in given.items():
        if key not in found and value is None:
            raise DataError(f"{path} has no {key} column", f"its columns: {', '.join(list(plain)[:20])}")
    return {key: name for key, name in found.items() if given[key] is None}


def _numbers(raw: pl.DataFrame, values: Mapping[str, str]) -> tuple[dict[str, pl.Series], list[str]]:
    numbers: dict[str, pl.Series] = {}
    dropped: list[str] = []
    for name, new in values.items():
        column = raw[name]
        if column.dtype == pl.String:
            cast = column.cast(pl.Float64, strict=False)
            if cast.null_count() > column.null_count() + (column == "").sum():
                dropped.append(name)
                continue
            column = cast
        if new == "is_filled":
            numbers[new] = column.cast(pl.Boolean).alias(new)
        elif column.dtype.is_numeric() or column.dtype == pl.Boolean:
            numbers[new] = column.cast(pl.Float64).fill_nan(None).alias(new)
        else:
            dropped.append(name)
    return numbers, dropped


def _check_keys(path: Path, table: pl.DataFrame) -> None:
    unreadable = table.select(pl.any_horizontal(pl.col(KEY_COLUMNS).is_null()).sum()).item()
    if unreadable:
        raise DataError(f"{path}: {unreadable} rows have no readable symbol, period or time", "mend or drop them")
    twice = table.filter(table.select(KEY_COLUMNS).is_duplicated())
    if twice.height:
        symbol, period, stamp = twice.row(0)[:3]
        raise DataError(
            f"{path}: {twice.height} rows share their key, the first {symbol} {period} {iso(stamp)}",
            "a long table has one row per symbol, period and timestamp",
        )


def _check_numbers(path: Path, table: pl.DataFrame, names: Sequence[str]) -> None:
    infinite = table.select(pl.col(names).is_infinite().sum())
    bad = [f"{name} ({infinite[name].item()})" for name in names if infinite[name].item()]
    if bad:
        raise DataError(f"{path}: infinite numbers in {', '.join(bad[:_SHOWN])}", "make them null: null is data")


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
    partial = {name for name in features if empty[name].any()}
    return {
        "columns": {name: _column_meta(name, name in partial) for name in features},
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


def _column_name(name: str) -> str:
    """As our own columns are written; `rsi__4h` keeps its double underscore."""
    return "__".join(plain_name(part) for part in name.split("__"))


def _problem(name: str) -> str | None:
    if name in (*BAR_COLUMNS, *ROW_COLUMNS):
        return None
    return next((problem for part in name.split("__")[:1] if (problem := name_problem(part))), None)


def _key(
    path: Path, raw: pl.DataFrame, column: str | None, value: str | None, canonical: Callable[[str], str]
) -> pl.Series:
    """A constant, or a column in one writing. Raises DataError for a text that is none."""
    if value is not None:
        return pl.repeat(canonical(value), raw.height, eager=True)
    texts = raw[str(column)].cast(pl.String)
    try:
        known = {text: canonical(text) for text in texts.drop_nulls().unique()}
    except (DataError, UsageError) as error:
        raise DataError(f"{path}: {error.message} (column {column})", error.hint) from None
    return texts.replace_strict(known, default=None, return_dtype=pl.String)
