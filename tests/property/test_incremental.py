"""A build that goes on from an earlier one equals a build from nothing (SEMANTICS F8, A1)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.periods import period_ms
from tftctl.features.actions import BuildPlan
from tftctl.features.build import HERE, BuildResult, Spread, build, plan_features
from tftctl.plugins import load_registry
from tftctl.store import Store

START = 1_614_556_800_000  # Monday 2021-03-01
DAY = 86_400_000
SIZES = {"1h": 2400, "4h": 600, "1d": 100}
SYMBOLS = ("AAA", "BBB", "CCC")
DEFINITION: dict[str, Any] = {
    "indicators": [
        "log_return",
        "ema",
        "rsi",
        "obv",
        "macd",
        "return_skewness",
        "market_beta",
        "return_rank",
        "trend_agreement",
    ],
    "targets": ["target_logreturn", "target_max_drawdown", "target_drawdown_prob"],
    "context_features": ["rsi", "close_zscore", "obv", "ema_distance", "market_beta"],
    "normalise": {
        "zscore": {"window": {"1h": 90, "4h": 40, "1d": 12}, "columns": ["close", "obv"]},
        "robust": {"window": {"1h": 50, "4h": 20, "1d": 12}, "columns": ["volume"]},
    },
}
Market = dict[tuple[str, str], pl.DataFrame]


def walk(symbol: str, period: str, size: int) -> pl.DataFrame:
    """Bars of a random walk; more of them begin with the same ones."""
    rng = np.random.default_rng([ord(symbol[0]), len(period), period_ms(period) // 3_600_000])
    steps = rng.standard_normal((size, 4))
    close = 30 * np.exp(np.cumsum(0.01 * steps[:, 0]))
    opens = np.concatenate(([30.0], close[:-1]))
    stamps = START + period_ms(period) * np.arange(size)
    return pl.DataFrame(
        {
            "symbol": [symbol] * size,
            "period": [period] * size,
            "timestamp": stamps,
            "available_at": stamps + period_ms(period),
            "open": opens,
            "high": np.maximum(opens, close) * np.exp(0.01 * np.abs(steps[:, 1])),
            "low": np.minimum(opens, close) * np.exp(-0.01 * np.abs(steps[:, 2])),
            "close": close,
            "volume": np.exp(5 + steps[:, 3]),
        }
    )


def market(symbols: tuple[str, ...] = SYMBOLS, days: int = 96) -> Market:
    """Three periods of some symbols, with a short and a long hole in the hours."""
    made = {}
    for symbol in symbols:
        for period in SIZES:
            bars = walk(symbol, period, days * (24 * 3_600_000 // period_ms(period)))
            gone = [700, 701, 1300, 1301, 1302, 1303, 1304, 1305] if period == "1h" else []
            made[symbol, period] = bars.filter(~pl.int_range(bars.height).is_in(gone))
    return made


def write(store: Store, bars: Market) -> None:
    """Bring the bars of a store to these: new and changed rows are patched, others removed."""
    with store.write("bars") as change:
        for period in SIZES:
            rows = pl.concat([frame for (_, p), frame in bars.items() if p == period]).sort("symbol", "timestamp")
            if change.base.has("bars"):
                there = change.base.scan("bars", period).collect()
                change.delete("bars", period, there.join(rows, on=["symbol", "timestamp"], how="anti"))
                change.upsert("bars", period, rows)
            else:
                change.replace("bars", period, rows)
        symbols = sorted({symbol for symbol, _ in bars})
        entry = {"calendar": "24x7", "basis": "raw", "anchor": {}, "delay_ms": 0}
        change.set_meta("bars", {"symbols": dict.fromkeys(symbols, entry), "extras": {}, "calendar_versions": {}})
        change.commit()


def make(store: Store, **changes: Any) -> BuildResult:
    """One build."""
    return build(store, FeaturesConfig.model_validate({**DEFINITION, **changes}), load_registry())


def assert_equals_fresh(store: Store, bars: Market, **changes: Any) -> None:
    """Keys, instants and flags are equal, values to one unit of Float32, nulls in the same places."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Store(Path(folder) / "store")
        write(fresh, bars)
        make(fresh, **changes)
        with store.read() as mine, fresh.read() as theirs:
            for table in ("features", "targets", "fused"):
                assert mine.columns(table) == theirs.columns(table)
                found, expected = mine.scan(table).collect(), theirs.scan(table).collect()
                assert found.height == expected.height, table
                for name, dtype in expected.schema.items():
                    if dtype.is_float():
                        left, right = (f[name].fill_null(float("nan")).to_numpy() for f in (found, expected))
                        np.testing.assert_allclose(left, right, rtol=3e-7, atol=1e-12, err_msg=f"{table} {name}")
                    else:
                        assert found[name].equals(expected[name]), f"{table} {name}"


def appended(bars: Market) -> Market:
    """One more day of everything."""
    return market(days=97)


def corrected(bars: Market) -> Market:
    """One hour in the middle of a segment, and a day."""
    made = dict(bars)
    for key, row in {("AAA", "1h"): 400, ("BBB", "1d"): 60}.items():
        higher = pl.when(pl.int_range(pl.len()) == row).then(pl.col("close", "high") * 1.3)
        made[key] = made[key].with_columns(higher.otherwise(pl.col("close", "high")))
    return made


def late_bar(bars: Market) -> Market:
    """A bar turns up inside a hole that had been filled; another closes part of a long hole."""
    whole = walk("AAA", "1h", 96 * 24)
    found = pl.concat([bars["AAA", "1h"], whole[[700, 1303]]]).sort("timestamp")
    return {**bars, ("AAA", "1h"): found}


def cut_short(bars: Market) -> Market:
    """The last hours of a symbol are gone again."""
    return {**bars, ("CCC", "1h"): bars["CCC", "1h"].head(-5)}


def hole(bars: Market) -> Market:
    """Bars inside are gone: a new long hole, and a new short one."""
    rows = bars["BBB", "4h"]
    return {**bars, ("BBB", "4h"): rows.filter(~pl.int_range(rows.height).is_in([300, 301, 302, 303, 304, 420]))}


def newcomer(bars: Market) -> Market:
    """A symbol that is listed late."""
    late = {(s, p): frame.tail(frame.height // 12) for (s, p), frame in market(("DDD",)).items()}
    return {**bars, **late}


def delisted(bars: Market) -> Market:
    """A symbol is gone."""
    return {key: frame for key, frame in bars.items() if key[0] != "BBB"}


@pytest.mark.parametrize("change", [appended, corrected, late_bar, cut_short, hole, newcomer, delisted])
def test_changed_bars(tmp_path: Path, change: Callable[[Market], Market]) -> None:
    """F8: and a second build has nothing to do."""
    store, bars = Store(tmp_path), market()
    write(store, bars)
    make(store)
    bars = change(bars)
    write(store, bars)
    make(store)
    assert_equals_fresh(store, bars)
    assert make(store).snapshot == store.current()


def test_one_change_after_the_other(tmp_path: Path) -> None:
    """F8: what a patch left behind is as good a beginning as a full build."""
    store, bars = Store(tmp_path), market(days=90)
    write(store, bars)
    make(store)
    for days in (91, 92, 93):
        bars = corrected(market(days=days))
        write(store, bars)
        make(store)
    assert_equals_fresh(store, bars)


def test_an_append_leaves_old_rows_alone(tmp_path: Path) -> None:
    """F8: not a bit of an old feature or fused row; of the targets only those whose horizon was open."""
    store, bars = Store(tmp_path), market()
    write(store, bars)
    make(store)
    with store.read() as snapshot:
        before = {table: snapshot.scan(table, "1h").collect() for table in ("features", "targets", "fused")}
    write(store, appended(bars))
    assert make(store).rows_computed == len(SYMBOLS) * (24 + 6 + 1)
    with store.read() as snapshot:
        for table, rows in before.items():
            after = snapshot.scan(table, "1h").collect().join(rows, on=["symbol", "timestamp"], how="semi")
            if table == "targets":
                after, rows = (
                    f.group_by("symbol", maintain_order=True).head(f.height // 3 - 24) for f in (after, rows)
                )
            assert after.equals(rows), table


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({"indicators": [*DEFINITION["indicators"], "adx"]}, {"adx", "plus_di", "minus_di"}),
        ({"indicators": [n for n in DEFINITION["indicators"] if n != "macd"]}, set()),
        (
            {"normalise": {**DEFINITION["normalise"], "minmax": {"window": {"1h": 9}, "columns": ["rsi"]}}},
            {"rsi_minmax"},
        ),
    ],
)
def test_changed_definitions_make_their_own_columns_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, stale: set[str]
) -> None:
    """F8: the others are copied; the result is that of a build from nothing."""
    from tftctl.features import groups

    store, bars = Store(tmp_path), market(days=20)
    write(store, bars)
    make(store)
    computed: set[str] = set()
    engine = groups.compute_features

    def spying(rows: pl.DataFrame, instances: Any, *args: Any) -> pl.DataFrame:
        computed.update(column for instance in instances for column in instance.columns)
        return engine(rows, instances, *args)

    monkeypatch.setattr(groups, "compute_features", spying)
    make(store, **changes)
    assert computed <= stale | {"rsi"}  # what a new rolling column is made from is computed to make it
    monkeypatch.undo()
    assert_equals_fresh(store, bars, **changes)


def test_processes_make_the_same_bits(tmp_path: Path) -> None:
    """DESIGN 5: a full build and an append spread over two processes equal those of one."""
    bars = market(days=20)
    spread = Spread(jobs=2, load=load_registry)
    stores = {name: Store(tmp_path / name) for name in ("here", "there")}
    for more in (bars, market(days=21)):
        for name, store in stores.items():
            write(store, more)
            build(
                store,
                FeaturesConfig.model_validate(DEFINITION),
                load_registry(),
                spread=spread if name == "there" else HERE,
            )
        with stores["here"].read() as here, stores["there"].read() as there:
            for table in ("features", "targets", "fused"):
                assert here.data_version(table) == there.data_version(table)


def test_the_plan_says_what_would_be_made_and_why(tmp_path: Path) -> None:
    """STYLE 15: and a build then does just that."""
    store, bars = Store(tmp_path), market()
    write(store, bars)
    config = FeaturesConfig.model_validate(DEFINITION)
    first = plan_features(store, config, load_registry())
    assert {action.why for action in first.actions} == {"new"}
    assert store.current() == 1  # nothing was written
    make(store)
    assert plan_features(store, config, load_registry()) == BuildPlan([], 0)
    write(store, appended(bars))
    found = {(a.table, a.period, a.why): a.rows for a in plan_features(store, config, load_registry()).actions}
    rows = {"1h": 24, "4h": 6, "1d": 1}
    for period, size in rows.items():
        assert found["features", period, "new bars"] == 3 * size
        assert found["fused", period, "new or corrected bars, own or in context"] == 3 * size
    assert make(store).rows_computed == 3 * sum(rows.values())
    more = FeaturesConfig.model_validate({**DEFINITION, "indicators": [*DEFINITION["indicators"], "adx"]})
    (added,) = (
        a for a in plan_features(store, more, load_registry()).actions if (a.table, a.period) == ("features", "1d")
    )
    assert (added.columns, added.why, added.groups) == (["adx", "plus_di", "minus_di"], "added", 3)


# finite memories only, and nothing that sees other symbols
SHORT: dict[str, Any] = {
    "indicators": ["log_return", {"name": "sma", "period": 7}],
    "normalise": {},
    "context_features": ["log_return"],
}


def assert_follows(folder: Path, change: Callable[[Market], Market]) -> None:
    """A build after the change equals a fresh one."""
    store, bars = Store(folder), market()
    write(store, bars)
    make(store, **SHORT)
    bars = change(bars)
    write(store, bars)
    make(store, **SHORT)
    assert_equals_fresh(store, bars, **SHORT)


def test_filled_rows_at_the_end_of_what_a_bar_touches(tmp_path: Path) -> None:
    """F8: they are available with the real bar after them, which is not touched itself."""

    def corrected_before_a_hole(bars: Market) -> Market:
        higher = pl.when(pl.col("timestamp") == START + 694 * 3_600_000).then(pl.col("close", "high") * 1.2)
        return {**bars, ("AAA", "1h"): bars["AAA", "1h"].with_columns(higher.otherwise(pl.col("close", "high")))}

    assert_follows(tmp_path, corrected_before_a_hole)


def test_bars_from_before_1970(tmp_path: Path) -> None:
    """T1: milliseconds below zero are times like others, in a full build, in context and in an append."""

    def earlier(bars: Market) -> Market:
        moved = pl.col("timestamp", "available_at") - 20_000 * DAY
        return {key: frame.with_columns(moved) for key, frame in bars.items()}

    store, bars = Store(tmp_path), earlier(market(days=40))
    write(store, bars)
    make(store)
    late = market(days=40)
    with tempfile.TemporaryDirectory() as folder:
        now = Store(Path(folder))
        write(now, late)
        make(now)
        with store.read() as then, now.read() as today:
            for name in ("rsi__4h", "obv__1d", "age__1d", "market_beta", "close_zscore"):
                found, expected = (snapshot.scan("fused", "1h").collect()[name] for snapshot in (then, today))
                assert found.equals(expected), name
    bars = earlier(market(days=41))
    write(store, bars)
    make(store)
    assert_equals_fresh(store, bars)


def test_a_symbol_that_loses_a_context_period(tmp_path: Path) -> None:
    """F8: its faster rows lose the columns and the age."""
    assert_follows(tmp_path, lambda bars: {key: frame for key, frame in bars.items() if key != ("BBB", "4h")})
