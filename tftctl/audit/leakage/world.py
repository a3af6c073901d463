"""One group's bars, and what its definitions make of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import polars as pl

from tftctl.core.errors import PluginError
from tftctl.features.definitions import IndicatorInstance
from tftctl.features.engine import compute_features
from tftctl.features.groups import Recipe
from tftctl.features.reading import PreparedBars, by_symbol
from tftctl.features.rolling import RollingColumns


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Stored bars and factors of one symbol at one period; `prepared` are the bars as indicators see them."""

    recipe: Recipe
    period: str
    symbol: str
    bars: pl.DataFrame
    factors: pl.DataFrame | None
    prepared: pl.DataFrame

    @property
    def name(self) -> tuple[str, str]:
        """(symbol, period)."""
        return self.symbol, self.period

    def prepare(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Other bars of the group, as indicators see them."""
        return self.recipe.prepared(bars, self.factors)

    def instances(self) -> list[IndicatorInstance]:
        """Indicators of scope group, with what they declare at this period."""
        return [instance.at(self.period) for instance in self.recipe.indicators]

    def rolling(self) -> list[RollingColumns]:
        """Normalised columns and scores."""
        return self.recipe.rolling(self.period)

    def columns(self) -> list[str]:
        """Everything that is computed from this group's bars alone."""
        made = [column for instance in self.recipe.indicators for column in instance.columns]
        return [*made, *(column for rolling in self.rolling() for column in rolling.columns)]

    def tolerances(self) -> dict[str, float]:
        """Of columns whose formula declares one, and of what is made from them."""
        found = {c: i.record.tolerance for i in self.recipe.indicators if i.record.tolerance for c in i.columns}
        for rolling in self.rolling():
            worst = max((found.get(name, 0.0) for name in rolling.sources), default=0.0)
            # a difference from a mean is less exact, relative to itself, than what it is made from
            found |= dict.fromkeys(rolling.columns, 1e3 * worst) if worst else {}
        return found

    def run(self, prepared: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
        """Feature rows of prepared bars with the wanted columns, Float64."""
        return self.recipe.features(prepared, columns=columns)

    def culprits(self, prepared: pl.DataFrame, columns: Collection[str]) -> Mapping[str, str]:
        """Columns of indicators that fail on these bars, with what they say."""
        found: dict[str, str] = {}
        for instance in self.instances():
            if set(instance.columns) & set(columns):
                try:
                    compute_features(prepared, [instance])
                except PluginError as error:
                    found |= dict.fromkeys(instance.columns, error.message)
        return found | self._made_from(found)

    def _made_from(self, failing: Mapping[str, str]) -> dict[str, str]:
        return {
            column: f"made from {name}, which fails"
            for rolling in self.rolling()
            for name in rolling.sources
            if name in failing
            for column in rolling.columns
        }


def load_group(bars: PreparedBars, period: str, symbol: str) -> Group:
    """Read one group of a snapshot."""
    snapshot, recipe = bars.snapshot, bars.layout.recipe
    stored = by_symbol(snapshot, "bars", period, [symbol])[symbol]
    factors = by_symbol(snapshot, "factors", None, [symbol])[symbol] if snapshot.has("factors") else None
    return Group(recipe, period, symbol, stored, factors, recipe.prepared(stored, factors))
