"""An indicator that remembers a day goes back a day's bars, however long a bar is (SEMANTICS F3, F8)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest
from feature_bars import DAY, features_config, indicators, numbers, prepared, row_of_bars

from tftctl.core.calendars import open_calendar
from tftctl.features.changes import BAR_HASH, bar_hashes, compare, feature_rows
from tftctl.features.describe import describe_name, list_definitions
from tftctl.features.engine import compute_features
from tftctl.features.groups import Recipe
from tftctl.plugins import load_registry
from tftctl.testing import check_indicator

PER_DAY = {"1h": 24, "4h": 6, "1d": 1}


def recipe_of(*entries: Any) -> Recipe:
    """Of some indicators, over one symbol."""
    return Recipe(features_config(), tuple(indicators(*entries)), (), {"AAA": open_calendar("24x7")}, {}, ())


def watched(recipe: Recipe) -> tuple[Recipe, list[int]]:
    """The recipe, and the numbers of bars that its kernels are given from now on."""
    sizes: list[int] = []

    def spied(kernel: Any) -> Any:
        def run(columns: Any, params: Any) -> Any:
            sizes.append(next(iter(columns.values())).size)
            return kernel(columns, params)

        return run

    instances = tuple(
        dataclasses.replace(i, record=dataclasses.replace(i.record, kernel=spied(i.record.kernel)))
        for i in recipe.indicators
    )
    return dataclasses.replace(recipe, indicators=instances), sizes


@pytest.mark.parametrize("period", PER_DAY)
def test_an_append_reads_what_the_period_makes_necessary(period: str) -> None:
    """Two days less a bar for pivots, a day less a bar for the VWAP, and what a full build makes comes of it."""
    bars = prepared(row_of_bars(400, period))
    recipe = recipe_of("pivot_points", "daily_vwap")
    whole = recipe.features(bars)
    spied, sizes = watched(recipe)
    for first in range(330, 400, 7):
        sizes.clear()
        made = spied.features(bars, first)
        assert sizes == [max(2 * PER_DAY[period] - 1, 1) + 400 - first, PER_DAY[period] - 1 + 400 - first]
        for column in (name for name in made.columns if "vwap" not in name):
            assert made[column].equals(whole[column][first:]), column
        for column in (name for name in made.columns if "vwap" in name):
            np.testing.assert_allclose(made[column], whole[column][first:], rtol=1e-12)


def test_a_corrected_bar_touches_the_bars_that_know_it() -> None:
    """F8: the rows made again end where nothing is remembered; those after are equal."""
    bars = prepared(row_of_bars(400, "1h"))
    moved = bars.with_columns(
        high=pl.when(pl.int_range(pl.len()) == 100).then(pl.col("high") * 1.5).otherwise(pl.col("high"))
    )
    recipe = recipe_of("pivot_points", "daily_vwap")
    known = bars.select("timestamp", "available_at").with_columns(bar_hashes(bars).alias(BAR_HASH))
    change = compare(moved, known)
    assert change is not None
    start, stop = feature_rows(recipe, moved, change)
    assert (start, stop) == (100, 101 + 47)
    before, after = recipe.features(bars), recipe.features(moved)
    assert after[stop:].equals(before[stop:])
    assert not after["pivot"][stop - 24 : stop].equals(before["pivot"][stop - 24 : stop])


@pytest.mark.parametrize("period", PER_DAY)
@pytest.mark.parametrize(("name", "column"), [("pivot_points", "pivot"), ("daily_vwap", "daily_vwap")])
def test_the_declared_bar_is_the_first_that_forgets(name: str, column: str, period: str) -> None:
    """F3: where the first bar of every day has its high, the second one's absence is seen so long and no longer."""
    bars = row_of_bars(300, period).with_columns(
        high=pl.when(pl.col("timestamp") % DAY == 0).then(pl.col("high") * 2).otherwise(pl.col("high"))
    )
    (instance,) = (instance.at(period) for instance in indicators(name))
    (settle,) = {feature.settle for feature in instance.features}
    whole, later = (compute_features(prepared(rows), [instance])[column] for rows in (bars, bars[1:]))
    same = np.isclose(numbers(whole[1:]), numbers(later), rtol=1e-9, atol=0)
    assert same[settle:].all()
    assert settle == 0 or not same[settle - 1]


def test_the_checks_of_plugins_run_at_several_periods() -> None:
    """F3: a declaration that is too small for one of them is found, whatever it says of the others."""
    record = load_registry().indicator("daily_vwap")
    assert check_indicator(record) == []
    for wrong in ("1h", "4h"):

        def settle(params: Any, period: str, wrong: str = wrong) -> int:
            return 0 if period == wrong else 30

        short = dataclasses.replace(record, settle=settle)
        assert {finding.check for finding in check_indicator(short)} == {"settle"}, wrong


def test_list_and_describe_say_it_by_period() -> None:
    """DESIGN 7: `settle` is the largest of the configured periods."""
    config = features_config(periods=["4h", "1d"], indicators=["daily_vwap"])
    (vwap,) = [entry for entry in list_definitions(config, load_registry()) if entry.name == "daily_vwap"]
    assert (vwap.settle, vwap.settle_at) == (5, {"4h": 5, "1d": 0})
    (told,) = describe_name("daily_vwap", config, load_registry())["definitions"]
    assert told["settle_at"] == vwap.settle_at
