"""`tftctl features build`: bars -> features and targets -> fused, in one commit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tftctl.core.calendars import ObservedCalendar, observed_slots
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import ConfigError, DataError
from tftctl.core.names import ROW_COLUMNS
from tftctl.core.progress import Report, silent
from tftctl.core.records import Scale
from tftctl.features.columns import (
    Column,
    context_periods,
    describe_columns,
    describe_targets,
    fused_columns,
    own_columns,
)
from tftctl.features.definitions import fingerprint, resolve
from tftctl.features.fuse import Context, MacroSeries, fuse_context, fuse_macro
from tftctl.features.groups import Recipe, calendars_of, stored
from tftctl.plugins import Registry
from tftctl.store import Snapshot, Store, Transaction

TABLES = ("features", "targets", "fused")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did. `rows` are those of the fused table, `columns` counts feature columns by role."""

    snapshot: int
    groups: int
    rows: int
    rows_computed: int
    features: int
    targets: int
    seconds: float
    columns: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the configuration asks of the bars that are there."""

    recipe: Recipe
    periods: list[str]
    symbols: dict[str, list[str]]
    own: list[Column]
    fused: list[Column]
    macro: list[MacroSeries]
    marks: dict[str, dict[str, str]]
    calendar_meta: dict[str, Any]
    notes: tuple[str, ...]

    def stale(self, snapshot: Snapshot, table: str) -> list[str]:
        """Periods of a table that are missing or were made otherwise."""
        known = snapshot.meta(table).get("fingerprints", {}) if snapshot.has(table) else {}
        there = snapshot.periods(table) if snapshot.has(table) else []
        return [p for p in self.periods if p not in there or known.get(p) != self.marks[table][p]]


def build(store: Store, config: FeaturesConfig, registry: Registry, report: Report = silent) -> BuildResult:
    """Make what is missing or stale and commit it as one snapshot; nothing changed makes none.

    Raises DataError when there are no bars, ConfigError for definitions that do not fit them.
    """
    started = time.perf_counter()
    with store.write("features build") as txn:
        observed = _freeze_observed(txn, config)
        plan = _plan(txn.pending(), config, registry, observed)
        computed = _write_tables(txn, plan, report)
        number = txn.commit()
        after = txn.pending()
        return BuildResult(
            snapshot=number,
            groups=sum(len(plan.symbols[period]) for period in plan.periods),
            rows=after.rows("fused"),
            rows_computed=computed,
            features=sum(column.role not in ("bar", "age") for column in plan.fused),
            targets=len(plan.recipe.targets),
            seconds=round(time.perf_counter() - started, 3),
            columns=_count_roles(plan.fused),
            notes=plan.notes,
        )


def _plan(snapshot: Snapshot, config: FeaturesConfig, registry: Registry, observed: ObservedCalendar | None) -> _Plan:
    periods, symbols, notes = _groups(snapshot, config)
    meta = snapshot.meta("bars")
    indicators, targets = resolve(config, registry)
    extras = _declared_extras(meta, config, snapshot)
    everyone = sorted({symbol for names in symbols.values() for symbol in names})
    recipe = Recipe(
        config=config,
        indicators=tuple(indicators),
        targets=tuple(targets),
        calendars=calendars_of(everyone, meta, config, observed),
        bases={symbol: meta["symbols"][symbol]["basis"] for symbol in everyone},
        extras=tuple(extras),
    )
    macro = _macro(snapshot, config)
    own = own_columns(indicators, extras, config)
    fused = fused_columns(own, config, [series.name for series in macro])
    marks = _marks(snapshot, recipe, periods, symbols, extras, macro)
    calendars = {symbol: meta["symbols"][symbol] for symbol in everyone}
    return _Plan(recipe, periods, symbols, own, fused, macro, marks, calendars, notes)


def _groups(snapshot: Snapshot, config: FeaturesConfig) -> tuple[list[str], dict[str, list[str]], tuple[str, ...]]:
    if not snapshot.has("bars"):
        raise DataError(
            "there are no bars yet", "import some: tftctl data import FILES, or: tftctl data sample synthetic"
        )
    there = snapshot.periods("bars")
    periods = [period for period in config.periods if period in there]
    if not periods:
        raise DataError(
            f"there are no bars at {', '.join(config.periods)}",
            f"periods there: {', '.join(there)}; set periods in configs/features.yaml",
        )
    notes = [f"no bars at {period}: left out" for period in config.periods if period not in there]
    notes += [
        f"bars at {period} are not in periods of configs/features.yaml" for period in there if period not in periods
    ]
    wanted = None if config.symbols is None else set(config.symbols)
    symbols = {p: [s for s in snapshot.symbols("bars", p) if wanted is None or s in wanted] for p in periods}
    if wanted is not None:
        unknown = sorted(wanted - {s for names in symbols.values() for s in names})
        if unknown:
            raise DataError(f"there are no bars of {', '.join(unknown)}", "see: tftctl data list")
    periods = [period for period in periods if symbols[period]]
    return periods, symbols, tuple(notes)


def _declared_extras(meta: Mapping[str, Any], config: FeaturesConfig, snapshot: Snapshot) -> dict[str, Scale]:
    declared = {name: scale for name, scale in meta.get("extras", {}).items() if scale is not None}
    for name, scale in config.extra_columns.items():
        if name not in snapshot.columns("bars"):
            raise DataError(
                f"extra_columns: the bars have no column {name!r}", f"columns: {', '.join(snapshot.columns('bars'))}"
            )
        declared[name] = scale
    return declared


def _macro(snapshot: Snapshot, config: FeaturesConfig) -> list[MacroSeries]:
    imported = snapshot.meta("macro").get("series", {})
    series = []
    for name in imported:
        frequency = imported[name]["frequency"]
        rows = snapshot.scan("macro", frequency, symbols=[name]).collect(engine="in-memory")
        rows = rows.select("timestamp", "available_at", pl.col("value").cast(pl.Float64))
        series.append(MacroSeries(name, rows.sort("available_at", "timestamp"), frequency, imported[name]["stamp"]))
    for name, declared in config.macro.items():
        if name not in imported:
            raise DataError(
                f"configs/features.yaml names the macro series {name!r}, which is not imported",
                f"tftctl macro import FILE --name {name}",
            )
        if declared.model_dump(mode="json") != imported[name]:
            raise ConfigError(
                f"configs/features.yaml declares {name} otherwise than it was imported",
                f"import it again: tftctl macro import FILE --name {name} --prefer new",
            )
    return series


def _marks(
    snapshot: Snapshot,
    recipe: Recipe,
    periods: Sequence[str],
    symbols: Mapping[str, list[str]],
    extras: Mapping[str, Scale],
    macro: Sequence[MacroSeries],
) -> dict[str, dict[str, str]]:
    """Fingerprints per table and period: equal marks mean equal numbers."""
    config = recipe.config
    meta = snapshot.meta("bars")
    base = [config.adjust, config.max_fill_bars, _version(snapshot, "factors"), meta.get("calendar_versions")]
    indicators = [instance.fingerprint for instance in recipe.indicators]
    columns = [[feature.column for feature in instance.features] for instance in recipe.indicators]
    normalise = {name: entry.model_dump(mode="json") for name, entry in config.normalise.items()}
    targets = [target.fingerprint for target in recipe.targets]
    marks: dict[str, dict[str, str]] = {table: {} for table in TABLES}
    for period in periods:
        markets = {symbol: meta["symbols"][symbol] for symbol in symbols[period]}
        slots = snapshot.data_version("calendar", period) if _has_period(snapshot, "calendar", period) else None
        bars = [*base, markets, slots, snapshot.data_version("bars", period)]
        marks["features"][period] = fingerprint(bars, indicators, columns, normalise, dict(extras))
        marks["targets"][period] = fingerprint(bars, targets, [target.column for target in recipe.targets])
    series = [_version(snapshot, "macro"), [entry.name for entry in macro]]
    for period in periods:
        contexts = [marks["features"].get(q) for q in config.context.get(period, [])]
        shape = [config.context_features, config.max_stale, context_periods(config)]
        marks["fused"][period] = fingerprint(marks["features"][period], contexts, shape, series)
    return marks


def _has_period(snapshot: Snapshot, table: str, period: str) -> bool:
    return snapshot.has(table) and period in snapshot.periods(table)


def _version(snapshot: Snapshot, table: str) -> str | None:
    return snapshot.data_version(table) if snapshot.has(table) else None


def _write_tables(txn: Transaction, plan: _Plan, report: Report) -> int:
    """Replace what is stale; returns the number of fused rows computed."""
    stale = {table: plan.stale(txn.base, table) for table in TABLES}
    for table in TABLES:
        for period in txn.base.periods(table) if txn.base.has(table) else []:
            if period not in plan.periods:
                txn.drop(table, period)
    for period in stale["features"]:
        txn.replace("features", period, _feature_frames(txn.base, plan, period, report))
    for period in stale["targets"]:
        txn.replace("targets", period, _label_frames(txn.base, plan, period, report))
    computed = 0
    for period in stale["fused"]:
        computed += txn.replace("fused", period, _fused_frames(txn.pending(), plan, period, report))
    if any(stale.values()):
        _describe(txn, plan)
    return computed


def _describe(txn: Transaction, plan: _Plan) -> None:
    txn.set_meta("features", {"columns": describe_columns(plan.own), "fingerprints": plan.marks["features"]})
    txn.set_meta("targets", {"targets": describe_targets(plan.recipe.targets), "fingerprints": plan.marks["targets"]})
    txn.set_meta(
        "fused",
        {
            "columns": describe_columns(plan.fused),
            "fingerprints": plan.marks["fused"],
            "config": plan.recipe.config.model_dump(mode="json"),
            "calendars": plan.calendar_meta,
            "made_from": {name: _version(txn.pending(), name) for name in ("bars", "macro", "factors", "calendar")},
            "origin": "built",
            "audit": None,
        },
    )


def _prepared(snapshot: Snapshot, plan: _Plan, period: str, symbol: str) -> pl.DataFrame:
    bars = snapshot.scan("bars", period, symbols=[symbol]).collect(engine="in-memory")
    factors = None
    if snapshot.has("factors"):
        factors = snapshot.scan("factors", symbols=[symbol]).collect(engine="in-memory")
    return plan.recipe.prepared(bars, factors)


def _feature_frames(snapshot: Snapshot, plan: _Plan, period: str, report: Report) -> Iterator[pl.DataFrame]:
    names = [*ROW_COLUMNS, *(column.name for column in plan.own)]
    for done, symbol in enumerate(plan.symbols[period], 1):
        yield stored(plan.recipe.features(_prepared(snapshot, plan, period, symbol)).select(names))
        report(f"features {period}", done, len(plan.symbols[period]))


def _label_frames(snapshot: Snapshot, plan: _Plan, period: str, report: Report) -> Iterator[pl.DataFrame]:
    for done, symbol in enumerate(plan.symbols[period], 1):
        yield stored(plan.recipe.labels(_prepared(snapshot, plan, period, symbol)))
        report(f"targets {period}", done, len(plan.symbols[period]))


def _fused_frames(snapshot: Snapshot, plan: _Plan, period: str, report: Report) -> Iterator[pl.DataFrame]:
    config = plan.recipe.config
    names = [*ROW_COLUMNS, *(column.name for column in plan.fused)]
    for done, symbol in enumerate(plan.symbols[period], 1):
        rows = _feature_rows(snapshot, period, symbol)
        for q in config.context.get(period, []):
            if q in plan.periods and symbol in plan.symbols[q]:
                context = Context(
                    q,
                    _feature_rows(snapshot, q, symbol, config.context_features),
                    tuple(config.context_features),
                    plan.recipe.calendars[symbol],
                )
                rows = fuse_context(rows, context, config.max_stale)
        for series in plan.macro:
            rows = fuse_macro(rows, series, config.max_stale)
        absent = [name for name in names if name not in rows.columns]
        rows = rows.with_columns(pl.lit(None, dtype=pl.Float32).alias(name) for name in absent)
        yield stored(rows.select(names))
        report(f"fused {period}", done, len(plan.symbols[period]))


def _feature_rows(snapshot: Snapshot, period: str, symbol: str, features: Sequence[str] | None = None) -> pl.DataFrame:
    columns = None if features is None else ["timestamp", "available_at", "is_filled", *features]
    return snapshot.scan("features", period, symbols=[symbol], columns=columns).collect(engine="in-memory")


def _freeze_observed(txn: Transaction, config: FeaturesConfig) -> ObservedCalendar | None:
    """Slots of the `observed` calendar: those frozen before stay, later bars add theirs (T2)."""
    entries = txn.base.meta("bars").get("symbols", {}) if txn.base.has("bars") else {}
    symbols = [symbol for symbol, entry in entries.items() if entry["calendar"] == "observed"]
    if not symbols:
        return None
    opens = {}
    for period in txn.base.periods("bars"):
        stamps = txn.base.scan("bars", period, symbols=symbols, columns=["symbol", "timestamp"])
        by_symbol = {
            key[0]: frame["timestamp"].to_numpy()
            for key, frame in stamps.collect(engine="in-memory").group_by("symbol", maintain_order=True)
        }
        found = pl.Series("timestamp", observed_slots(by_symbol, period), dtype=pl.Int64)
        opens[period] = _with_frozen(txn, period, found).to_numpy()
    return ObservedCalendar(opens)


def _with_frozen(txn: Transaction, period: str, found: pl.Series) -> pl.Series:
    if txn.base.has("calendar") and period in txn.base.periods("calendar"):
        frozen = txn.base.scan("calendar", period, columns=["timestamp"]).collect(engine="in-memory")["timestamp"]
        fresh = found.filter(found > frozen.max())
        slots = pl.concat([frozen, fresh])
    else:
        fresh = slots = found
    rows = fresh.to_frame().with_columns(symbol=pl.lit("observed"), period=pl.lit(period))
    txn.upsert("calendar", period, rows.select("symbol", "period", "timestamp"))
    return slots


def _count_roles(columns: Sequence[Column]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for column in columns:
        counts[column.role] = counts.get(column.role, 0) + 1
    return counts
