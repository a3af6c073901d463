"""One group's rows, from stored bars to features and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tftctl.core.calendars import Calendar, ObservedCalendar, calendar_for
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import ConfigError
from tftctl.core.names import BAR_COLUMNS, ROW_COLUMNS
from tftctl.features.adjust import adjust_bars
from tftctl.features.bars import prepare_bars
from tftctl.features.definitions import IndicatorInstance, TargetInstance
from tftctl.features.engine import compute_features
from tftctl.features.labels import compute_labels
from tftctl.features.normalise import normalise_columns
from tftctl.ingest.market import market_from


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that turns bars into rows: definitions, configuration, calendars by symbol, declared extras."""

    config: FeaturesConfig
    indicators: tuple[IndicatorInstance, ...]
    targets: tuple[TargetInstance, ...]
    calendars: Mapping[str, Calendar]
    bases: Mapping[str, Any]
    extras: tuple[str, ...]

    def prepared(self, bars: pl.DataFrame, factors: pl.DataFrame | None) -> pl.DataFrame:
        """Adjusted bars of one group on its calendar."""
        symbol = bars["symbol"][0]
        adjusted = adjust_bars(bars, factors, basis=self.bases[symbol], wanted=self.config.adjust)
        return prepare_bars(adjusted, self.calendars[symbol], max_fill_bars=self.config.max_fill_bars)

    def features(self, prepared: pl.DataFrame) -> pl.DataFrame:
        """Row columns, bars, indicators, extras and normalised columns of one group, Float64."""
        missing = [name for name in self.extras if name not in prepared.columns]
        prepared = prepared.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)
        rows = prepared.select(*ROW_COLUMNS, *BAR_COLUMNS)
        made = compute_features(prepared, self.indicators)
        rows = pl.concat([rows, made, prepared.select(self.extras)], how="horizontal")
        period = rows["period"][0]
        return rows.with_columns(**normalise_columns(rows, self.config.normalise, period))

    def labels(self, prepared: pl.DataFrame) -> pl.DataFrame:
        """Labels of one group, Float64."""
        calendar = self.calendars[prepared["symbol"][0]]
        return compute_labels(prepared, self.targets, calendar.bars_per_year(prepared["period"][0]))


def stored(frame: pl.DataFrame) -> pl.DataFrame:
    """Values in Float32 for the store; keys, instants and flags as they are."""
    return frame.with_columns(pl.col(pl.Float64).cast(pl.Float32))


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
