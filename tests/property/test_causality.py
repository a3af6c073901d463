"""No feature sees a later bar, no label sees more than it may, no symbol sees another (SEMANTICS A1, A2)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tftctl.api import LabelSpan
from tftctl.core.calendars import open_calendar
from tftctl.core.config.features import FeaturesConfig, TargetEntry
from tftctl.core.periods import period_ms
from tftctl.features.build import build
from tftctl.features.definitions import of_scope, resolve, resolve_targets
from tftctl.features.groups import Recipe
from tftctl.features.labels import compute_labels
from tftctl.plugins import load_registry
from tftctl.store import Store

HOUR = 3_600_000
START = 1_614_556_800_000  # Monday 2021-03-01
HOURS = 240
VALUES = ("open", "high", "low", "close", "volume", "taker_buy_volume")
PERIODS = ("1h", "4h", "1d")
REGISTRY = load_registry()
INDICATORS, TARGETS = (
    [name for name in REGISTRY.names(kind) if REGISTRY.find(kind, name).plugin.startswith("builtins.")]
    for kind in ("indicator", "target")
)
CONFIG = FeaturesConfig.model_validate(
    {
        "indicators": INDICATORS,
        "targets": TARGETS,
        "context_features": ["ema_distance", "log_return", "rsi", "close", "volume", "close_zscore", "hour_sin"],
        "normalise": {
            "zscore": {"window": {"1h": 30, "4h": 8, "1d": 3}, "columns": ["close", "obv", "rsi"]},
            "minmax": {"window": {"1h": 30, "4h": 8, "1d": 3}, "columns": ["volume"]},
        },
    }
)
# a failing market is small as it is: shrinking it would take many builds
few = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
seeds = st.integers(0, 10**6)
cuts = st.integers(26, HOURS - 2)
# first missing hour and how many: short holes, long ones, none
holes = st.lists(st.tuples(st.integers(1, HOURS - 20), st.integers(1, 9)), max_size=4)


def hourly(symbol: str, seed: int, gone: list[tuple[int, int]] | None = None, size: int = HOURS) -> pl.DataFrame:
    """Hours of a random walk, some of them missing, with pauses in price and volume."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((size, 4))
    steps[rng.random(size) < 0.05] = 0
    close = 20 * np.exp(np.cumsum(0.01 * steps[:, 0]))
    opens = np.concatenate(([20.0], close[:-1]))
    kept = np.ones(size, bool)
    for first, count in gone or []:
        kept[first : first + count] = False
    columns = {
        "open": opens,
        "high": np.maximum(opens, close) * np.exp(0.01 * np.abs(steps[:, 1])),
        "low": np.minimum(opens, close) * np.exp(-0.01 * np.abs(steps[:, 2])),
        "close": close,
        "volume": np.where(steps[:, 3] == 0, 0, np.exp(5 + steps[:, 3])),
    }
    columns["taker_buy_volume"] = columns["volume"] * (0.5 + 0.4 * np.tanh(steps[:, 1]))
    stamps = pl.Series("timestamp", START + HOUR * np.arange(size))
    return keyed(pl.DataFrame({"timestamp": stamps, **columns}), symbol, "1h").filter(pl.Series(kept))


def keyed(bars: pl.DataFrame, symbol: str, period: str) -> pl.DataFrame:
    """With the columns of the bars table."""
    done = (pl.col("timestamp") + period_ms(period)).alias("available_at")
    return bars.select(pl.lit(symbol).alias("symbol"), pl.lit(period).alias("period"), "timestamp", done, *VALUES)


def market(symbol: str, seed: int, gone: list[tuple[int, int]]) -> list[pl.DataFrame]:
    """Three periods of one symbol; the slower ones have holes of their own."""
    found = [hourly(symbol, seed, gone)]
    for period in PERIODS[1:]:
        length = period_ms(period) // HOUR
        slots = pl.col("timestamp") // period_ms(period) * period_ms(period)
        bars = hourly(symbol, seed).group_by(slots, maintain_order=True)
        sums = pl.sum("volume", "taker_buy_volume")
        made = bars.agg(pl.col("open").first(), pl.max("high"), pl.min("low"), pl.col("close").last(), sums)
        missing = {(first // length) % (HOURS // length) for first, count in gone if count > 4}
        found.append(keyed(made, symbol, period).filter(~pl.int_range(pl.len()).is_in(list(missing - {0}))))
    return found


def fused(bars: list[pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The fused table by period, as the command builds it."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        symbols = sorted({frame["symbol"][0] for frame in bars})
        entry = {"calendar": "24x7", "basis": "raw", "anchor": {}, "delay_ms": 0}
        with store.write("bars") as txn:
            for period in PERIODS:
                here = [frame for frame in bars if frame["period"][0] == period]
                if here:
                    txn.replace("bars", period, pl.concat(here).sort("symbol", "timestamp"))
            txn.set_meta("bars", {"symbols": dict.fromkeys(symbols, entry), "extras": {}})
            txn.commit()
        build(store, CONFIG, REGISTRY)
        with store.read() as snapshot:
            return {period: snapshot.scan("fused", period).collect() for period in snapshot.periods("fused")}


def recipe() -> Recipe:
    """The definitions, for the engine without the store: float64 before it is rounded."""
    made, targets = resolve(CONFIG, REGISTRY)
    return Recipe(CONFIG, of_scope(made, "group"), tuple(targets), {"AAA": open_calendar("24x7")}, {"AAA": "raw"}, ())


def known_by(rows: pl.DataFrame, instant: int) -> pl.DataFrame:
    """Rows of real bars that were complete by then, without the one column that only the future numbers."""
    return rows.filter(~pl.col("is_filled") & (pl.col("available_at") <= instant))


def cut_at(bars: list[pl.DataFrame], instant: int) -> list[pl.DataFrame]:
    """All periods cut by available_at together (A1)."""
    kept = [frame.filter(pl.col("available_at") <= instant) for frame in bars]
    return [frame for frame in kept if frame.height]


def disturbed(bars: list[pl.DataFrame], instant: int, how: str, rng: np.random.Generator) -> list[pl.DataFrame]:
    """Scale, shuffle or remove what became available later."""
    found = []
    for frame in bars:
        past, later = (frame.filter((pl.col("available_at") <= instant) == side) for side in (True, False))
        if how == "remove":
            later = later.filter(pl.Series(rng.random(later.height) < 0.4, dtype=pl.Boolean))
        elif how == "shuffle":
            later = later.with_columns(later.select(VALUES)[rng.permutation(later.height)])
        else:
            later = later.with_columns(pl.col(*VALUES) * (1e3 if how == "up" else 1e-3))
        found.append(pl.concat([past, later]))
    return found


def equal_bits(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """The same rows, null in the same places, every float to its last bit."""
    assert found.columns == expected.columns
    assert found.height == expected.height
    for name in found.columns:
        assert found[name].equals(expected[name], null_equal=True), name


@few
@given(seed=seeds, gone=holes, cut=cuts, how=st.sampled_from(["up", "down", "shuffle", "remove"]))
def test_features_do_not_change_when_later_bars_are_cut_or_others(seed: int, gone: list, cut: int, how: str) -> None:
    """A1: the fused table of every period, bars cut by available_at together, or scaled, shuffled, removed after it."""
    bars, instant = market("AAA", seed, gone), START + cut * HOUR
    remaining = cut_at(bars, instant)
    whole, found = fused(bars), fused(remaining)
    for frame in remaining:
        period = frame["period"][0]
        expected = known_by(whole[period], instant)
        equal_bits(known_by(found[period], instant), expected)
        assert expected.height == frame.height
    moved = fused(disturbed(bars, instant, how, np.random.default_rng(seed)))
    for period in whole.keys() & moved.keys():
        equal_bits(known_by(moved[period], instant), known_by(whole[period], instant))


@settings(few, max_examples=25)
@given(seed=seeds, gone=holes, cut=cuts, period=st.sampled_from(["1h", "4h"]))
def test_float64_features_do_not_change_when_the_bars_are_cut(seed: int, gone: list, cut: int, period: str) -> None:
    """A1: bitwise before storage, every built-in indicator and normalised column."""
    bars, instant = market("AAA", seed, gone)[PERIODS.index(period)], START + cut * HOUR
    made = recipe()
    expected = known_by(made.features(made.prepared(bars, None)), instant)
    (remaining,) = cut_at([bars], instant) or [None]
    equal_bits(known_by(made.features(made.prepared(remaining, None)), instant), expected)


@few
@given(seed=seeds, gone=holes)
def test_symbols_do_not_see_each_other(seed: int, gone: list[tuple[int, int]]) -> None:
    """A symbol's rows are the same alone, under another name, and among others."""
    mine, other = market("AAA", seed, gone), market("MMM", seed + 1, [])
    renamed = [frame.with_columns(symbol=pl.lit("ZZZ")) for frame in mine]
    alone = fused(mine)
    among = fused([*renamed, *other])
    for period in PERIODS:
        equal_bits(among[period].filter(symbol="ZZZ").drop("symbol"), alone[period].drop("symbol"))
        assert among[period].filter(symbol="MMM").height == HOURS // (period_ms(period) // HOUR)


def label_frame(seed: int, gone: list[tuple[int, int]]) -> pl.DataFrame:
    """Prepared hours long enough for the yardstick of 100 returns."""
    return recipe().prepared(hourly("AAA", seed, gone, size=320), None)


def label_table(rows: pl.DataFrame) -> pl.DataFrame:
    """Labels of all targets by hour."""
    return compute_labels(rows, recipe().targets, 8760)


@settings(few, max_examples=15)
@given(seed=seeds, gone=holes, cut=st.integers(120, 300), factor=st.sampled_from([0.2, 7.0]))
def test_labels_do_not_see_bars_after_their_end(seed: int, gone: list, cut: int, factor: float) -> None:
    """A2: bars after t+h change nothing, whether they move or are not there."""
    rows = label_frame(seed, gone)
    instant = START + cut * HOUR
    later = pl.col("timestamp") >= instant
    moved = label_table(rows.with_columns(pl.when(later).then(pl.col("close") * factor).otherwise("close")))
    cut_off = label_table(rows.filter(~later))
    expected = label_table(rows)
    for name in TARGETS:
        done = expected.select((pl.col(f"label_end__{name}") <= instant).fill_null(False)).to_series()
        done &= rows["timestamp"] < instant
        assert done.sum() > 0
        for other in (moved.filter(done), cut_off.filter(done.head(cut_off.height))):
            assert other[name].equals(expected.filter(done)[name], null_equal=True), name


@settings(few, max_examples=6)
@given(seed=seeds, row=st.integers(101, 280), factor=st.sampled_from([0.5, 1.7]))
@pytest.mark.parametrize("name", TARGETS)
def test_labels_do_not_see_the_past_outside_their_yardstick(name: str, seed: int, row: int, factor: float) -> None:
    """A2: bars before the declared lookback change nothing (rolling sums may round otherwise)."""
    rows = label_frame(seed, [])
    (target,) = resolve_targets([TargetEntry(name=name)], PERIODS, REGISTRY)
    back = target.record.yardstick(target.params, LabelSpan("1h", target.horizon["1h"], 8760)).lookback
    outside = pl.int_range(pl.len()) < row - back + 1
    moved = rows.with_columns(pl.when(outside).then(pl.col("close") * factor).otherwise("close"))
    found, expected = (compute_labels(frame, [target], 8760)[name][row:] for frame in (moved, rows))
    assert found.is_null().equals(expected.is_null())
    np.testing.assert_allclose(found.fill_null(0), expected.fill_null(0), rtol=1e-9, atol=1e-12)
