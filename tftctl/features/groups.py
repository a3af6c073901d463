"""One group's rows, from stored bars to features and labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tftctl.core.calendars import Calendar, ObservedCalendar, calendar_for
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import ConfigError
from tftctl.core.names import BAR_COLUMNS, ROW_COLUMNS
from tftctl.core.records import Scale
from tftctl.features.adjust import adjust_bars, wanted_basis
from tftctl.features.anomaly import anomalies
from tftctl.features.bars import prepare_bars
from tftctl.features.definitions import IndicatorInstance, TargetInstance
from tftctl.features.engine import compute_features
from tftctl.features.labels import compute_labels
from tftctl.features.normalise import normalisers
from tftctl.features.rolling import ROW_STATE, RollingColumns, has_enough
from tftctl.ingest.market import market_from


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that turns bars into rows: definitions by scope, configuration, calendars by symbol, declared extras."""

    config: FeaturesConfig
    indicators: tuple[IndicatorInstance, ...]
    targets: tuple[TargetInstance, ...]
    calendars: Mapping[str, Calendar]
    bases: Mapping[str, Any]
    extras: tuple[str, ...]
    cross: tuple[IndicatorInstance, ...] = ()
    contextual: tuple[IndicatorInstance, ...] = ()
    extra_scales: Mapping[str, Scale] = field(default_factory=dict)

    def prepared(self, bars: pl.DataFrame, factors: pl.DataFrame | None) -> pl.DataFrame:
        """Adjusted bars of one group on its calendar, with every declared extra column."""
        symbol = bars["symbol"][0]
        adjusted = adjust_bars(
            bars,
            factors,
            basis=self.bases[symbol],
            wanted=wanted_basis(symbol, self.config.adjust),
            extras=self.extra_scales,
        )
        rows = prepare_bars(adjusted, self.calendars[symbol], max_fill_bars=self.config.max_fill_bars)
        missing = [name for name in self.extras if name not in rows.columns]
        return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)

    def rolling(self, period: str) -> list[RollingColumns]:
        """Everything that is made from the last valid values of other columns."""
        return [*normalisers(self.config.normalise, period), *anomalies(self.config.anomalies, period)]

    def features(
        self, prepared: pl.DataFrame, first: int = 0, stop: int | None = None, columns: Collection[str] | None = None
    ) -> pl.DataFrame:
        """Row columns, bars, indicators, extras and rolling columns of rows first..stop of one group, Float64.

        `columns` names the indicator and rolling columns wanted, by default all.
        """
        stop = prepared.height if stop is None else stop
        period = prepared["period"][0]
        indicators = [instance.at(period) for instance in self.indicators]
        rolling = [r for r in self.rolling(period) if columns is None or set(r.columns) & set(columns)]
        needed = {name for r in rolling for name in r.sources}
        sources = [i for i in indicators if needed & set(i.columns)]
        others = [i for i in indicators if i not in sources and (columns is None or set(i.columns) & set(columns))]
        lead, seen = _with_samples(prepared, sources, rolling, first, stop)
        made = seen.select(column for i in sources for column in i.columns).slice(first - lead)
        parts = [made, compute_features(prepared, others, first, stop)]
        parts += [pl.DataFrame(dict(r.compute(seen))).slice(first - lead) for r in rolling]
        rows = prepared.slice(first, stop - first).select(*ROW_COLUMNS, *BAR_COLUMNS, *self.extras)
        return rows.with_columns(column for part in parts for column in part.get_columns())

    def labels(self, prepared: pl.DataFrame, first: int = 0, stop: int | None = None) -> pl.DataFrame:
        """Labels of rows first..stop of one group, Float64."""
        calendar, period = self.calendars[prepared["symbol"][0]], prepared["period"][0]
        stop = prepared.height if stop is None else stop
        bars_per_year = calendar.bars_per_year(period)
        back, ahead = label_reach(self.targets, period, bars_per_year)
        start = max(0, first - back)
        seen = prepared.slice(start, min(prepared.height, stop + ahead) - start)
        return compute_labels(seen, self.targets, bars_per_year).slice(first - start, stop - first)


def label_reach(targets: Sequence[TargetInstance], period: str, bars_per_year: int) -> tuple[int, int]:
    """Bars that labels read before their row, and after it."""
    spans = [span for target in targets if (span := target.span(period, bars_per_year)) is not None]
    return max((back for back, _ in spans), default=0), max((ahead for _, ahead in spans), default=0)


def _with_samples(
    prepared: pl.DataFrame,
    sources: Sequence[IndicatorInstance],
    rolling: Sequence[RollingColumns],
    first: int,
    stop: int,
) -> tuple[int, pl.DataFrame]:
    """Rows lead..stop of the sources of rolling columns; `lead` lies far enough before `first` for all samples."""
    if not rolling:
        return first, prepared.slice(first, stop - first).select(ROW_STATE)
    wanted = list(dict.fromkeys(name for r in rolling for name in r.sources))
    lead = first
    back = max(r.samples for r in rolling) + max((f.first_valid for i in sources for f in i.features), default=0)
    while True:
        lead = max(0, lead - back)
        rows = prepared.slice(lead, stop - lead)
        # first, so that an indicator wins over a column of the bars of its name
        made = compute_features(prepared, sources, lead, stop)
        seen = rows.select(*ROW_STATE, *(name for name in wanted if name not in made.columns)).with_columns(
            made.get_columns()
        )
        if lead == 0 or all(has_enough(seen, r, first - lead) for r in rolling):
            return lead, seen
        back *= 2


def stored(frame: pl.DataFrame, wide: Collection[str] = ()) -> pl.DataFrame:
    """Values in Float32 for the store, cumulative ones (`wide`) in Float64; keys, instants and flags as they are."""
    narrow = [name for name, dtype in frame.schema.items() if dtype == pl.Float64 and name not in wide]
    return frame.with_columns(pl.col(narrow).cast(pl.Float32))


def calendars_of(
    symbols: Sequence[str], meta: Mapping[str, Any], config: FeaturesConfig, observed: ObservedCalendar | None
) -> dict[str, Calendar]:
    """The calendar that each symbol's bars were imported with.

    Raises ConfigError when the configuration names another one by an exact or specific pattern.
    """
    found: dict[str, Calendar] = {}
    for symbol in symbols:
        entry = meta["symbols"][symbol]
        configured = calendar_for(symbol, config.calendar)
        if symbol in config.calendar and configured != entry["calendar"]:
            raise ConfigError(
                f"configs/features.yaml gives {symbol} the calendar {configured}, its bars were imported with "
                f"{entry['calendar']}",
                f"import them again: tftctl data import FILES --calendar {configured} --prefer new",
            )
        if entry["calendar"] == "observed":
            assert observed is not None
            found[symbol] = observed
        else:
            found[symbol] = market_from(entry).calendar
    return found
