"""`tftctl features build`: what is stale, what is written, what is refused (SEMANTICS F1, F8, P4; DESIGN 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from feature_bars import (
    DAY,
    HOUR,
    START,
    bars_at,
    features_config,
    indicators,
    numbers,
    prepared,
    row_of_bars,
    table,
    write_bars,
)

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import ConfigError, DataError
from tftctl.core.names import ROW_COLUMNS
from tftctl.core.workspace import Workspace
from tftctl.features.actions import BuildPlan
from tftctl.features.build import BuildResult, build, plan_features
from tftctl.features.engine import compute_features
from tftctl.plugins import load_registry
from tftctl.start.jobs import build_job
from tftctl.store import Store

SIZES = {"1h": 96, "4h": 24, "1d": 4}
DEFAULTS: dict[str, Any] = {
    "indicators": ["log_return", {"name": "rsi", "period": 3}],
    "targets": ["target_logreturn"],
    "context_features": ["log_return"],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two symbols at three periods."""
    store = Store(tmp_path / "store")
    write_bars(store, *(group(p, s) for p in SIZES for s in ("AAA", "BBB")))
    return store


def group(period: str, symbol: str, more: int = 0, seed: int = 0) -> pl.DataFrame:
    """Bars of one group; more of them begin with the same ones."""
    return row_of_bars(SIZES[period] + more, period, symbol, seed=seed + ord(symbol[0]))


def config(**changes: Any) -> FeaturesConfig:
    """The small definition of this file with changes."""
    return features_config(**{**DEFAULTS, **changes})


def run(store: Store, **changes: Any) -> BuildResult:
    """One build."""
    return build(store, config(**changes), load_registry())


def versions(store: Store) -> dict[tuple[str, str], str]:
    """Data version of each table and period."""
    with store.read() as snapshot:
        made = [name for name in ("features", "targets", "fused") if snapshot.has(name)]
        return {
            (name, period): snapshot.data_version(name, period) for name in made for period in snapshot.periods(name)
        }


def changed(before: dict, after: dict) -> set[tuple[str, str]]:
    """Tables and periods whose rows differ."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def test_the_first_build_computes_everything(store: Store) -> None:
    """DESIGN 7: rows of all groups, counted by symbol and period."""
    made = run(store)
    assert (made.groups, made.rows, made.rows_computed, made.targets) == (6, 248, 248, 1)
    assert made.snapshot == 2
    assert made.columns == {"bar": 5, "own": 2, "context": 2, "age": 2}
    assert made.features == 4
    with store.read() as snapshot:
        assert {name: snapshot.rows(name) for name in ("features", "targets", "fused")} == dict.fromkeys(
            ("features", "targets", "fused"), 248
        )


def test_the_second_build_computes_nothing(store: Store) -> None:
    """F8: and makes no snapshot."""
    first, second = run(store), run(store)
    assert second.rows_computed == 0
    assert second.snapshot == first.snapshot == store.current()
    assert (second.rows, second.features, second.columns) == (first.rows, first.features, first.columns)


def test_rows_are_those_of_the_engine(store: Store) -> None:
    """F2: computed in float64, stored in float32, sorted by symbol and time."""
    run(store)
    rows = table(store, "features", "4h")
    assert rows.columns == [*ROW_COLUMNS, "bar_hash", "open", "high", "low", "close", "volume", "log_return", "rsi_3"]
    assert rows.equals(rows.sort("symbol", "timestamp"))
    bars = prepared(group("4h", "BBB"))
    expected = compute_features(bars, indicators("log_return", {"name": "rsi", "period": 3}))
    mine = rows.filter(symbol="BBB")
    for name in ("log_return", "rsi_3"):
        assert rows.schema[name] == pl.Float32
        np.testing.assert_array_equal(mine[name], expected[name].cast(pl.Float32))
    assert mine["available_at"].equals(bars["available_at"])


def test_appended_bars_make_their_period_stale_and_what_sees_it(store: Store) -> None:
    """F8: days are left alone, and so are hours that end before the new bars are complete."""
    run(store)
    before = versions(store)
    write_bars(store, *(group("4h", symbol, more=2) for symbol in ("AAA", "BBB")))
    made = run(store)
    assert made.rows_computed == 2 * 2
    assert made.rows == 252
    difference = changed(before, versions(store))
    assert {key for key in difference if key[1] == "4h"} == {(name, "4h") for name in ("features", "targets", "fused")}
    assert not {key for key in difference if key[1] == "1d" or (key[1] == "1h" and key[0] != "fused")}
    assert run(store).rows_computed == 0


def test_appended_hours_touch_nothing_slower(store: Store) -> None:
    """F8: no slower row sees a faster one here, and old rows keep their bits."""
    run(store)
    before, old = versions(store), table(store, "fused", "1h")
    write_bars(store, *(group("1h", symbol, more=1) for symbol in ("AAA", "BBB")))
    assert run(store).rows_computed == 2
    assert {period for _, period in changed(before, versions(store))} == {"1h"}
    new = table(store, "fused", "1h")
    assert new.join(old, on=["symbol", "timestamp"], how="semi").equals(old)


def test_a_rebuild_after_an_append_equals_a_fresh_build(store: Store, tmp_path: Path) -> None:
    """A1: no difference between stored and fresh."""
    run(store)
    longer = [group(period, symbol, more=3) for period in SIZES for symbol in ("AAA", "BBB")]
    write_bars(store, *longer)
    run(store)
    fresh = Store(tmp_path / "fresh")
    write_bars(fresh, *longer)
    run(fresh)
    assert versions(store) == versions(fresh)


def test_a_corrected_bar_makes_its_rows_stale(store: Store) -> None:
    """F8: the same number of bars, one close corrected."""
    run(store)
    corrected = group("1d", "AAA").with_columns(
        close=pl.when(pl.col("timestamp") == START + DAY).then(pl.col("close") * 1.01).otherwise("close")
    )
    write_bars(store, corrected, group("1d", "BBB"))
    before = versions(store)
    # hours and 4h bars of AAA from the corrected day on; three days of eight are too many to patch
    assert run(store).rows_computed == (96 - 47) + (24 - 11) + 8
    assert {("features", "1d"), ("targets", "1d"), ("fused", "1h")} <= changed(before, versions(store))


@pytest.mark.parametrize(
    "change",
    [
        {"indicators": ["log_return", {"name": "rsi", "period": 4}]},
        {"indicators": ["log_return"]},
        {"normalise": {"zscore": {"window": {"1h": 10}, "columns": ["close"]}}},
    ],
)
def test_a_changed_indicator_leaves_the_targets(store: Store, change: dict) -> None:
    """F8: a definition makes exactly its own columns and what was fused from them stale."""
    run(store)
    before = versions(store)
    assert run(store, **change).rows_computed == 248
    difference = changed(before, versions(store))
    assert {name for name, _ in difference} == {"features", "fused"}


@pytest.mark.parametrize(
    "change",
    [
        {"targets": ["target_logreturn", "target_binarytrend"]},
        {"targets": [{"name": "target_logreturn", "horizon": 2}]},
        {"targets": []},
    ],
)
def test_a_changed_target_leaves_the_features(store: Store, change: dict) -> None:
    """F8: nothing is fused again."""
    run(store)
    before = versions(store)
    assert run(store, **change).rows_computed == 0
    assert {name for name, _ in changed(before, versions(store))} == {"targets"}


@pytest.mark.parametrize("change", [{"context_features": ["rsi_3"]}, {"context": {"1h": ["4h"]}}])
def test_a_changed_context_leaves_the_features(store: Store, change: dict) -> None:
    """F8: only the fused rows are made again."""
    run(store)
    before = versions(store)
    assert run(store, **change).rows_computed == 248
    assert {name for name, _ in changed(before, versions(store))} == {"fused"}


def test_more_filling_is_a_change_of_everything(tmp_path: Path) -> None:
    """T3: four missing hours break the segment by default and are filled with `max_fill_bars: 4`."""
    store = Store(tmp_path / "store")
    write_bars(store, row_of_bars(50, "1h", missing=[10, 11, 12, 13]))
    assert run(store, periods=["1h"], context={}, context_features=[]).rows == 46
    made = run(store, periods=["1h"], context={}, context_features=[], max_fill_bars=4)
    assert made.rows == made.rows_computed == 50


def test_a_period_that_is_no_longer_wanted_is_dropped_and_comes_back(store: Store) -> None:
    """The tables hold what the configuration names."""
    run(store)
    whole = versions(store)
    made = run(store, periods=["1h", "4h"], context={"1h": ["4h"]})
    assert made.rows == 240
    assert {period for _, period in versions(store)} == {"1h", "4h"}
    assert made.notes == ("bars at 1d are not in periods of configs/features.yaml",)
    run(store)
    assert versions(store) == whole


def test_a_period_comes_back_without_targets(store: Store) -> None:
    """As above where nothing else is stale in between."""
    run(store, targets=[], context={}, context_features=[])
    run(store, targets=[], context={}, context_features=[], periods=["1h", "4h"])
    again = run(store, targets=[], context={}, context_features=[])
    assert again.rows == 248
    assert table(store, "features", "1d").height == 8


def test_bars_of_a_period_that_are_not_there_are_a_note(store: Store) -> None:
    """F4: the fused schema has the columns all the same."""
    made = run(store, periods=["15m", "1h", "4h", "1d"])
    assert made.notes == ("no bars at 15m: left out",)


def test_chosen_symbols_only(store: Store) -> None:
    """`symbols:` of the configuration."""
    assert run(store, symbols=["BBB"]).rows == 124
    assert set(table(store, "fused", "1h")["symbol"]) == {"BBB"}
    assert run(store).rows == 248


def test_a_symbol_of_one_period_has_no_context(store: Store) -> None:
    """F4: null values and null ages, the same columns."""
    write_bars(store, group("1h", "AAA"), group("1h", "CCC"))
    run(store)
    rows = table(store, "fused", "1h", "CCC")
    assert rows["log_return__4h"].null_count() == rows["age__1d"].null_count() == rows.height == 96
    assert table(store, "fused", "1h", "AAA")["log_return__4h"].null_count() < 96


def test_context_does_not_cross_symbols(store: Store) -> None:
    """Permuting or adding symbols changes nothing of the others."""
    run(store)
    before = table(store, "fused", "1h", "AAA")
    write_bars(store, *(group(period, symbol) for period in SIZES for symbol in ("AAA", "ZZZ", "BBB")))
    run(store)
    assert table(store, "fused", "1h", "AAA").equals(before)


def test_labels_are_stored_with_their_end(store: Store) -> None:
    """L1: `label_end` stands beside each label."""
    run(store)
    rows = table(store, "targets", "4h", "AAA")
    close, done = group("4h", "AAA")["close"], group("4h", "AAA")["available_at"]
    np.testing.assert_allclose(numbers(rows["target_logreturn"])[:-1], np.diff(np.log(close)), rtol=1e-5, atol=1e-8)
    assert rows["target_logreturn"][-1] is None
    assert rows["label_end__target_logreturn"].to_list() == [*done[1:], None]


def test_meta_says_what_the_columns_are(store: Store) -> None:
    """F1, F2, S2: role, scale and source of every column of the fused table; the targets' horizons."""
    run(store, normalise={"zscore": {"window": {"1h": 10}, "columns": ["close"]}})
    with store.read() as snapshot:
        columns = snapshot.meta("fused")["columns"]
        assert set(columns) | set(ROW_COLUMNS) == set(snapshot.columns("fused"))
        assert snapshot.meta("targets")["targets"]["target_logreturn"]["horizon"] == {"1h": 1, "4h": 1, "1d": 1}
    assert columns["close"]["scale"] == "price"
    assert (columns["close_zscore"]["role"], columns["close_zscore"]["source"]) == ("normalised", "close")
    assert (columns["log_return__4h"]["role"], columns["log_return__4h"]["context_period"]) == ("context", "4h")


def test_extra_columns_of_the_bars_are_features(store: Store) -> None:
    """F2: those with a declared scale, null where a group lacks them."""
    with_flow = group("1h", "AAA").with_columns(flow=pl.int_range(96).cast(pl.Float64), note=pl.lit(1.0))
    write_bars(store, with_flow, group("1h", "BBB"), extras={"flow": "free", "note": None})
    made = run(store)
    rows = table(store, "fused", "1h")
    assert made.columns["extra"] == 1
    assert "note" not in rows.columns
    assert rows.filter(symbol="AAA")["flow"].to_list() == list(range(96))
    assert rows.filter(symbol="BBB")["flow"].null_count() == 96
    assert table(store, "fused", "4h")["flow"].null_count() == 48


def test_a_column_that_no_bars_have_is_named_with_the_symbols(store: Store) -> None:
    """Before anything is computed, by the plan too."""
    asked = config(indicators=["log_return", "taker_imbalance"])
    wanted = "taker_imbalance needs the column 'taker_buy_volume', which the bars of AAA, BBB do not have"
    for attempt in (build, plan_features):
        with pytest.raises(DataError, match=wanted):
            attempt(store, asked, load_registry())


def test_a_column_that_some_bars_lack_is_a_note(store: Store) -> None:
    """Null for these symbols, and said; the others have it."""
    bought = group("1h", "AAA").with_columns(taker_buy_volume=0.25 * pl.col("volume"))
    write_bars(store, bought, group("1h", "BBB"))
    made = build(store, config(indicators=["log_return", "taker_imbalance"]), load_registry())
    assert made.notes == ("taker_imbalance is null for BBB: no taker_buy_volume in their bars",)
    rows = table(store, "fused", "1h").filter(pl.col("volume") > 0)
    assert (rows.filter(symbol="AAA")["taker_imbalance"] == -0.5).all()
    assert rows.filter(symbol="BBB")["taker_imbalance"].null_count() == SIZES["1h"]


def write_macro(store: Store, name: str, days: int) -> None:
    """A daily series, published twelve hours after its day."""
    stamps = START + DAY * np.arange(days)
    frame = pl.DataFrame({"symbol": [name] * days, "timestamp": stamps, "available_at": stamps + DAY + 12 * HOUR})
    with store.write("test macro") as txn:
        txn.replace("macro", "1d", frame.with_columns(value=pl.int_range(days).cast(pl.Float64)))
        txn.set_meta("macro", {"series": {name: {"frequency": "1d", "stamp": "start"}}})
        txn.commit()


def test_a_macro_series_is_one_value_for_all_symbols(store: Store) -> None:
    """F4, T6: from its release on; a new release makes the fused tables stale and nothing else."""
    write_macro(store, "m2", 3)
    run(store)
    for symbol in ("AAA", "BBB"):
        rows = table(store, "fused", "4h", symbol)
        assert rows["m2"].to_list() == [None] * 8 + [0.0] * 6 + [1.0] * 6 + [2.0] * 4
        assert rows["age__m2"].to_list()[8:15] == [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 0.0]
    before = versions(store)
    write_macro(store, "m2", 4)
    assert run(store).rows_computed == 0  # the new release comes after the last row
    assert {name for name, _ in changed(before, versions(store))} <= {"fused"}


def test_sessions_and_observed_calendars_side_by_side(tmp_path: Path) -> None:
    """T2: each symbol on its own calendar; observed slots are frozen, and a second build has nothing to do."""
    store = Store(tmp_path / "store")
    days = START + DAY * np.arange(12)
    weekdays = [day for day in days if (day - START) // DAY % 7 < 5]
    groups = [
        bars_at(weekdays, "1d", "AAA", calendar="XNYS"),
        bars_at(np.delete(days, [3, 6]), "1d", "BBB"),
        bars_at(np.delete(days, [6]), "1d", "CCC"),
    ]
    write_bars(store, *groups, calendars={"AAA": "XNYS", "BBB": "observed", "CCC": "observed"})
    wanted = {"periods": ["1d"], "context": {}, "context_features": []}
    assert run(store, **wanted).rows == len(weekdays) + 11 + 11
    assert table(store, "features", "1d", "AAA")["is_filled"].sum() == 0
    assert table(store, "features", "1d", "BBB")["is_filled"].sum() == 1
    assert table(store, "calendar", "1d")["timestamp"].to_list() == np.delete(days, [6]).tolist()
    again = run(store, **wanted)
    assert again.rows_computed == 0


def test_an_empty_store_is_told_what_to_import(tmp_path: Path) -> None:
    """STYLE 12: the next command to run."""
    with pytest.raises(DataError, match="there are no bars yet") as error:
        run(Store(tmp_path / "store"))
    assert "tftctl data import" in error.value.hint


@pytest.mark.parametrize(
    ("change", "error", "message", "hint"),
    [
        ({"symbols": ["AAA", "XXX"]}, DataError, "there are no bars of XXX", "tftctl data list"),
        ({"periods": ["15m"]}, DataError, "there are no bars at 15m", "periods there: 1h, 4h, 1d"),
        ({"indicators": ["rsj"]}, ConfigError, "there is no indicator 'rsj'", "did you mean 'rsi'"),
        ({"indicators": [{"name": "rsi", "perid": 3}]}, ConfigError, "rsi: perid", "parameters of rsi: period"),
        ({"indicators": ["rsi", {"name": "rsi", "period": 14}]}, ConfigError, "two indicators make", "remove one"),
        ({"targets": [{"name": "target_logreturn", "horizon": 0}]}, ConfigError, "the horizon at 1h is 0", "1 bar"),
        ({"context_features": ["rsi_33"]}, ConfigError, "there is no column 'rsi_33'", "did you mean 'rsi_3'"),
        ({"extra_columns": {"flow": "free"}}, DataError, "the bars have no column 'flow'", "columns:"),
        (
            {"normalise": {"zscore": {"window": {"1h": 9}, "columns": ["clos"]}}},
            ConfigError, "there is no column 'clos'", "did you mean 'close'",
        ),
        ({"calendar": {"AAA": "XNYS"}}, ConfigError, "gives AAA the calendar XNYS", "--calendar XNYS"),
        ({"macro": {"m2": {"frequency": "1mo", "stamp": "start", "release_lag": "28d"}}}, DataError, "m2", "m2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    store: Store, change: dict, error: type[DataError], message: str, hint: str
) -> None:
    """STYLE 12: what was asked, what exists; the store stays as it was."""
    with pytest.raises(error) as raised:
        run(store, **change)
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert store.current() == 1


def test_prices_that_cannot_be_adjusted_are_refused(store: Store) -> None:
    """T5: files of totally adjusted prices stay so."""
    write_bars(store, group("1d", "AAA"), basis="total")
    with pytest.raises(ConfigError, match="split is not possible for AAA"):
        run(store)
    assert run(store, adjust="total").rows > 0


def test_symbols_of_different_bases_are_built_together(store: Store) -> None:
    """T5: `adjust` by symbol or pattern; one that fits no pattern is split-adjusted."""
    write_bars(store, *(group("1d", symbol) for symbol in ("AAA", "BBB", "SPX")))
    with store.write("test bases") as txn:
        meta = txn.base.meta("bars")
        bases = {"AAA": "split", "BBB": "raw", "SPX": "total"}
        known = {symbol: {**meta["symbols"][symbol], "basis": basis} for symbol, basis in bases.items()}
        txn.set_meta("bars", {**meta, "symbols": known})
        txn.commit()
    with pytest.raises(ConfigError, match="split is not possible for SPX") as refused:
        run(store)
    assert "adjust: {SPX: total}" in refused.value.hint
    assert run(store, adjust={"SP*": "total"}).groups == 7
    assert run(store, adjust={"*": "split", "SPX": "total", "B*": "raw"}).groups == 7
    with pytest.raises(ConfigError, match="split is not possible for SPX"):
        run(store, adjust={"*": "total", "AAA": "split", "SPX": "split"})


def test_another_basis_makes_only_its_symbols_stale(store: Store, tmp_path: Path) -> None:
    """F8: `adjust` by symbol takes part in what rows were made from; the rows are those of a build at once."""
    symbols = [letter * 3 for letter in "ABCDEFGHIJKL"]
    bars = [group("1d", symbol, more=200) for symbol in symbols]
    factors = pl.DataFrame({"symbol": symbols, "timestamp": [START + 2 * DAY] * 12})
    factors = factors.with_columns(price_factor=pl.lit(0.9), split_factor=pl.lit(0.5))
    wanted = {"periods": ["1d"], "context": {}, "context_features": []}

    def stored(place: Store, adjust: Any) -> tuple[BuildResult, BuildPlan]:
        planned = plan_features(place, config(adjust=adjust, **wanted), load_registry())
        return run(place, adjust=adjust, **wanted), planned

    for place in (store, Store(tmp_path / "fresh")):
        write_bars(place, *bars)
        with place.write("test factors") as txn:
            txn.replace("factors", "1d", factors)
            txn.commit()
    stored(store, "split")
    before = {symbol: table(store, "fused", "1d", symbol) for symbol in symbols}
    made, planned = stored(store, {"*": "split", "B*": "total"})
    assert [(a.table, a.groups, a.why) for a in planned.actions if a.table != "fused"] == [
        ("features", 1, "corrected bars"),
        ("targets", 1, "corrected bars"),
    ]
    assert 0 < made.rows_computed <= 204
    ratio = numbers(table(store, "fused", "1d", "BBB")["close"]) / numbers(before.pop("BBB")["close"])
    np.testing.assert_allclose(ratio, [0.9] * 3 + [1.0] * 201, rtol=1e-6)
    assert all(table(store, "fused", "1d", symbol).equals(rows) for symbol, rows in before.items())
    fresh = Store(tmp_path / "fresh")
    stored(fresh, {"*": "split", "B*": "total"})
    for name in ("features", "targets", "fused"):
        assert table(store, name, "1d").equals(table(fresh, name, "1d"), null_equal=True)
    assert stored(store, {"BBB": "total"})[0].rows_computed == 0


def test_dated_factors_are_applied(store: Store) -> None:
    """T5: a split 2:1 after the first day halves the prices up to it."""
    run(store)
    raw = table(store, "fused", "1d", "AAA")["close"]
    factors = {"symbol": ["AAA"], "timestamp": [START], "price_factor": [1.0], "split_factor": [0.5]}
    with store.write("test factors") as txn:
        txn.replace("factors", "1d", pl.DataFrame(factors))
        txn.commit()
    assert run(store).rows_computed == 248
    adjusted = table(store, "fused", "1d", "AAA")["close"]
    assert (adjusted / raw).to_list() == [0.5, 1.0, 1.0, 1.0]
    hours = table(store, "fused", "1h", "AAA")["log_return"]
    assert abs(hours[24]) > 0.5 > abs(hours[23])


def test_the_command_builds_the_workspace(workspace: Workspace) -> None:
    """The job that the command calls reads `configs/features.yaml` and takes overrides."""
    write_bars(Store(workspace.store), group("4h", "AAA"))
    workspace.configs.mkdir()
    text = "periods: [4h]\ncontext: {}\nindicators: [log_return, obv]\n"
    (workspace.configs / "features.yaml").write_text(text)
    made = build_job(workspace)
    assert (made.rows, made.columns) == (24, {"bar": 5, "own": 2})
    assert build_job(workspace, ["indicators=[obv]"]).columns == {"bar": 5, "own": 1}
