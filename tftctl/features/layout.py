"""What the configuration asks of the bars that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tftctl.core.calendars import ObservedCalendar
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import ConfigError, DataError
from tftctl.core.records import Scale
from tftctl.features.columns import Column, fused_columns, own_columns
from tftctl.features.definitions import fingerprint, of_scope, resolve
from tftctl.features.fuse import MacroSeries
from tftctl.features.groups import Recipe, calendars_of
from tftctl.features.marks import Marks, fused_marks, label_marks, own_marks
from tftctl.features.observed import slots_mark
from tftctl.plugins import Registry
from tftctl.store import Snapshot


@dataclass(frozen=True, slots=True)
class Layout:
    """Recipe, groups and columns of a build, with their marks.

    `marks` by table and period; `bar_marks` by period are equal where every prepared bar is; `macro_versions` by
    series.
    """

    recipe: Recipe
    periods: list[str]
    symbols: dict[str, list[str]]
    own: list[Column]
    fused: list[Column]
    macro: list[MacroSeries]
    macro_versions: dict[str, str]
    marks: dict[str, dict[str, Marks]]
    bar_marks: dict[str, str]
    calendar_meta: dict[str, Any]
    notes: tuple[str, ...]

    def contexts(self, period: str) -> list[str]:
        """Periods that rows of a period look at and that have bars."""
        return [q for q in self.recipe.config.context.get(period, []) if q in self.periods]


def lay_out(
    snapshot: Snapshot, config: FeaturesConfig, registry: Registry, observed: ObservedCalendar | None
) -> Layout:
    """Resolve a configuration against the bars and series of a snapshot.

    Raises DataError when there are no bars, ConfigError for definitions that do not fit them.
    """
    periods, symbols, notes = _groups(snapshot, config)
    meta = snapshot.meta("bars")
    indicators, targets = resolve(config, registry)
    extras = _declared_extras(meta, config, snapshot)
    everyone = sorted({symbol for names in symbols.values() for symbol in names})
    recipe = Recipe(
        config=config,
        indicators=of_scope(indicators, "group"),
        targets=tuple(targets),
        calendars=calendars_of(everyone, meta, config, observed),
        bases={symbol: meta["symbols"][symbol]["basis"] for symbol in everyone},
        extras=tuple(extras),
        cross=of_scope(indicators, "cross_section"),
        contextual=of_scope(indicators, "context"),
        extra_scales=extras,
    )
    macro = _macro(snapshot, config)
    own = own_columns(indicators, extras, config)
    fused = fused_columns(own, indicators, config, [series.name for series in macro])
    own_by_period = {period: own_marks(recipe, period, symbols[period]) for period in periods}
    return Layout(
        recipe=recipe,
        periods=periods,
        symbols=symbols,
        own=own,
        fused=fused,
        macro=macro,
        macro_versions={series.name: snapshot.data_version("macro", series.frequency) for series in macro},
        marks={
            "features": own_by_period,
            "targets": dict.fromkeys(periods, label_marks(recipe)),
            "fused": {p: fused_marks(recipe, p, own_by_period, fused, macro) for p in periods},
        },
        bar_marks={period: _bar_mark(snapshot, recipe, period, symbols[period], observed) for period in periods},
        calendar_meta={symbol: meta["symbols"][symbol] for symbol in everyone},
        notes=notes,
    )


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
        rows = snapshot.collect(snapshot.scan("macro", frequency, symbols=[name]))
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


def _bar_mark(
    snapshot: Snapshot, recipe: Recipe, period: str, symbols: Sequence[str], observed: ObservedCalendar | None
) -> str:
    """Changes with every stored bar, factor, calendar and setting that prepared bars are made from."""
    config, meta = recipe.config, snapshot.meta("bars")
    factors = snapshot.data_version("factors") if snapshot.has("factors") else None
    slots = None if observed is None else slots_mark(observed, period)
    markets = {symbol: meta["symbols"][symbol] for symbol in symbols}
    settings = [config.adjust, config.max_fill_bars, meta.get("calendar_versions"), dict(recipe.extra_scales)]
    return fingerprint(settings, factors, slots, markets, snapshot.data_version("bars", period))
