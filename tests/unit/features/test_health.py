"""`tftctl features health`: coverage, drift, clusters and labels against pandas, SciPy and loops (S3, T3, T4, L3)."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from feature_bars import HOUR, START, features_config, row_of_bars, table, write_bars
from typer.testing import CliRunner

from tftctl.cli.app import app, main
from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace
from tftctl.features.build import build
from tftctl.features.correlation import clusters, rank_correlation
from tftctl.features.drift import population_stability
from tftctl.features.health import Health, measure_health
from tftctl.features.sampling import choose_rows
from tftctl.features.tally import Tally
from tftctl.ingest.adopt import AdoptOptions, adopt_fused
from tftctl.plugins import load_registry
from tftctl.store import Store

CONFIG = features_config(
    indicators=["log_return", "sma", "ema", "amplitude_range", "day_clock"],
    targets=["target_logreturn", "target_binarytrend"],
    context={"1h": ["4h"]},
    context_features=["log_return"],
)
# one hour filled, a day that starts a new segment
MISSING = [100, *range(300, 324)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two symbols at two periods; the hours of one have a filled bar, a gap, and closes that stand still."""
    store = Store(tmp_path_factory.mktemp("health") / "store")
    hours = row_of_bars(700, "1h", "AAA", missing=MISSING, seed=1)
    same = pl.int_range(pl.len()).is_between(400, 419)
    hours = hours.with_columns(
        pl.when(same).then(pl.col("low").min()).otherwise("low").alias("low"),
        pl.when(same).then(pl.col("close").gather(400)).otherwise("close").alias("close"),
        pl.when(same).then(pl.col("high").max()).otherwise("high").alias("high"),
    )
    others = [row_of_bars(500, "1h", "BBB", seed=2), *(row_of_bars(175, "4h", s, seed=3) for s in ("AAA", "BBB"))]
    write_bars(store, hours, *others)
    build(store, CONFIG, load_registry())
    return store


@pytest.fixture(scope="module")
def health(store: Store) -> Health:
    """Measured once."""
    return measure_health(store, load_registry())


def real(store: Store, period: str) -> pd.DataFrame:
    """The fused rows that count, as pandas sees them."""
    rows = table(store, "fused", period).filter(~pl.col("is_filled"))
    return pd.DataFrame(rows.to_dict(as_series=False)).astype({"sma": float, "log_return": float})


def test_coverage_against_a_loop_over_groups_and_segments(store: Store, health: Health) -> None:
    """Every null is a leading one, one at the head of a later segment, or a hole (T4)."""
    frame = real(store, "1h")
    for name in ("log_return", "sma", "log_return__4h", "close"):
        leading = restart = holes = 0
        for _, group in frame.groupby("symbol"):
            started, segment, fresh = False, None, True
            for value, current in zip(group[name], group["segment"], strict=True):
                fresh = fresh or current != segment
                segment = current
                if not pd.isna(value):
                    started, fresh = True, False
                elif not started:
                    leading += 1
                elif fresh:
                    restart += 1
                else:
                    holes += 1
        (found,) = [c for c in health.columns if (c.column, c.period) == (name, "1h")]
        assert (found.leading_nulls, found.restart_nulls, found.holes) == (leading, restart, holes), name
        assert found.rows == len(frame) == 700 - len(MISSING) + 500
        assert found.coverage == pytest.approx(frame[name].notna().mean())
    by_name = {c.column: c for c in health.columns if c.period == "1h"}
    assert by_name["sma"].restart_nulls == 19
    assert by_name["log_return__4h"].leading_nulls > 0


def test_columns_that_do_not_apply_are_left_out(health: Health) -> None:
    """F4: the schema is the same for all periods, context of 4h is nothing to 4h."""
    assert not [c.column for c in health.columns if c.period == "4h" and c.column.endswith("__4h")]


def test_a_tally_counts_what_must_not_be() -> None:
    """S3: infinity and NaN are errors, null is data; a hole is a null between values of one segment."""
    tally = Tally()
    values = pl.Series([None, 1.0, math.nan, None, math.inf, None, None, 1.0, -math.inf], dtype=pl.Float32)
    tally.add(values, np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]))
    tally.add(pl.Series([None, None], dtype=pl.Float32), np.array([0, 0]))
    assert (tally.rows, tally.values, tally.infinite, tally.nan) == (11, 5, 2, 1)
    assert (tally.leading_nulls, tally.restart_nulls, tally.holes) == (3, 2, 1)
    assert tally.constant  # 1.0 is the only number


def test_constants_and_twins_are_found(health: Health) -> None:
    """Nothing is either in a sound table; twins are equal in every row, wherever null stands and zero's sign."""
    assert [c.column for c in health.columns if {"not finite", "constant", "identical"} & set(c.findings)] == []
    tally, other, differing = Tally(), Tally(), Tally()
    tally.add(pl.Series([0.5, None, -0.0], dtype=pl.Float32), np.zeros(3))
    other.add(pl.Series([0.5, None, 0.0], dtype=pl.Float64), np.zeros(3))
    differing.add(pl.Series([0.5, 0.0, None], dtype=pl.Float64), np.zeros(3))
    assert tally.digest.digest() == other.digest.digest() != differing.digest.digest()


def test_planted_defects_are_found(tmp_path: Path) -> None:
    """A column that never moves, one that is empty, one with holes, two that are one: the worst come first."""
    hours = row_of_bars(400, "1h", "AAA", seed=9).with_columns(
        still=pl.lit(7.0),
        holed=pl.when(pl.int_range(pl.len()) % 20 == 5).then(None).otherwise(pl.col("volume").log()),
        one=pl.col("close") / pl.col("open"),
        two=pl.col("close") / pl.col("open"),
        nothing=pl.lit(None, dtype=pl.Float64),
    )
    store = Store(tmp_path / "store")
    write_bars(store, hours, extras=dict.fromkeys(("still", "holed", "one", "two", "nothing"), "free"))
    build(store, features_config(periods=["1h"]), load_registry())
    found = measure_health(store, load_registry())
    by_name = {c.column: c for c in found.columns}
    assert [c.column for c in found.columns[:3]] == ["nothing", "still", "holed"]
    assert [by_name[n].findings[0] for n in ("nothing", "still", "holed", "one")] == [
        "empty", "constant", "holes", "identical",
    ]  # fmt: skip
    assert (by_name["nothing"].coverage, by_name["nothing"].leading_nulls) == (0.0, 400)
    assert (by_name["holed"].coverage, by_name["holed"].holes) == (0.95, 20)
    assert [group.columns for group in found.identical] == [("one", "two")]
    assert by_name["one"].cluster == by_name["two"].cluster is not None


def stability_by_hand(before: list[float], after: list[float], edges: list[float]) -> float:
    """Counting bin by bin, a value on an edge below it."""
    total = 0.0
    bounds = [-math.inf, *edges, math.inf]
    for low, high in pairwise(bounds):
        p, q = (max(sum(low < v <= high for v in values) / len(values), 1e-4) for values in (before, after))
        total += (q - p) * math.log(q / p)
    return total


def test_drift_of_numbers_against_a_loop() -> None:
    """Population stability index by the deciles of the first half."""
    rng = np.random.default_rng(5)
    before, after = rng.normal(size=700), rng.normal(0.4, 1.3, size=500)
    edges = pd.Series(before).quantile([i / 10 for i in range(1, 10)]).tolist()
    expected = stability_by_hand(before.tolist(), after.tolist(), edges)
    assert population_stability(np.append(before, np.nan), after) == pytest.approx(expected)
    assert expected > 0.1
    assert population_stability(before, before) == 0.0
    assert population_stability(before, after[:99]) is None


def test_drift_of_few_values_sees_the_rare_one() -> None:
    """Deciles of a column that is 1 in 97 of 100 rows are all 1; its values are the bins instead."""
    before, after = np.repeat([0.0, 1.0], [30, 970]), np.repeat([0.0, 1.0], [500, 500])
    expected = (0.5 - 0.03) * math.log(0.5 / 0.03) + (0.5 - 0.97) * math.log(0.5 / 0.97)
    assert population_stability(before, after) == pytest.approx(expected)


def test_drift_of_the_table_compares_halves_of_the_time(store: Store, health: Health) -> None:
    """All symbols together, cut in the middle between the first and the last bar of the period."""
    frame = real(store, "1h")
    late = frame["timestamp"] > (START + START + 699 * HOUR) / 2
    for name in ("amplitude_range", "sma"):
        before, after = (frame.loc[rows, name].dropna() for rows in (~late, late))
        edges = before.quantile([i / 10 for i in range(1, 10)]).tolist()
        (found,) = [c for c in health.columns if (c.column, c.period) == (name, "1h")]
        assert found.drift == pytest.approx(stability_by_hand(list(before), list(after), edges)), name


def test_rank_correlation_is_pandas_where_rows_are_whole() -> None:
    """Ties have mean ranks."""
    rng = np.random.default_rng(6)
    base = rng.normal(size=9000)
    sample = np.column_stack(
        [base, np.exp(base), base + rng.normal(size=9000), np.round(base), np.full(9000, 2.0), rng.normal(size=9000)]
    )
    found = rank_correlation(sample)
    expected = pd.DataFrame(sample).corr("spearman").to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.isnan(found[4]).all()


def test_rank_correlation_with_missing_values_is_on_common_rows() -> None:
    """Ranks of each column among its own values, Pearson on the rows that both have; too few rows give none."""
    rng = np.random.default_rng(7)
    sample = rng.normal(size=(600, 3))
    sample[:, 1] += sample[:, 0]
    sample[:200, 0], sample[500:, 1], sample[:550, 2] = np.nan, np.nan, np.nan
    ranks = pd.DataFrame(sample).rank()
    found = rank_correlation(sample)
    assert found[0, 1] == pytest.approx(ranks[0].corr(ranks[1]))
    assert np.isnan(found[0, 2])


def test_clusters_are_single_linkage() -> None:
    """Against merging pairs until nothing changes; a chain is one cluster although its ends are far apart."""
    rng = np.random.default_rng(8)
    correlation = np.eye(30)
    for i, j in combinations(range(30), 2):
        correlation[i, j] = correlation[j, i] = rng.uniform(-1, 1)
    correlation[3, 4] = correlation[4, 3] = np.nan
    sets = [{i} for i in range(30)]
    for i, j in combinations(range(30), 2):
        if abs(correlation[i, j]) >= 0.95:
            one = next(s for s in sets if i in s)
            two = next(s for s in sets if j in s)
            if one is not two:
                sets.remove(two)
                one |= two
    expected = sorted((sorted(s) for s in sets if len(s) > 1), key=lambda s: (-len(s), s[0]))
    assert clusters(correlation, 0.95) == expected
    assert len(expected[0]) > 2


def test_clusters_of_the_table(store: Store, health: Health) -> None:
    """Members are those that SciPy's ranks join; the numbers stand at the columns."""
    names = [c.column for c in health.columns if c.period == "4h"]
    frame = table(store, "fused", "4h").select(names).to_pandas()
    near = (frame.corr("spearman").abs() >= 0.95).to_numpy()
    together = {frozenset(c.columns) for c in health.clusters if c.period == "4h"}
    for i, name in enumerate(names):
        mine = next((members for members in together if name in members), {name})
        assert {names[j] for j in np.flatnonzero(near[i])} | {name} <= mine
    prices = next(c for c in health.clusters if c.period == "4h" and "close" in c.columns)
    assert {"open", "high", "low"} <= set(prices.columns)
    assert {c.cluster for c in health.columns if c.period == "4h" and c.column in prices.columns} == {prices.cluster}


def test_the_sample_is_of_all_rows_and_bounded() -> None:
    """Equal chances: each group has its share; all rows where there are few."""
    chosen = choose_rows({"a": 9000, "b": 0, "c": 1000}, 2000)
    assert sum(rows.size for rows in chosen.values()) == 2000
    assert chosen["b"].size == 0
    assert 1700 < chosen["a"].size < 1900
    for name, count in (("a", 9000), ("c", 1000)):
        assert np.unique(chosen[name]).size == chosen[name].size
        assert chosen[name].min() >= 0
        assert chosen[name].max() < count
    assert [rows.tolist() for rows in choose_rows({"a": 2, "b": 3}, 10).values()] == [[0, 1], [0, 1, 2]]


def test_labels_against_pandas(store: Store, health: Health) -> None:
    """L3: base rate, mean, standard deviation; the share of ties is that of labels of zero return."""
    labels = table(store, "targets", "1h").to_pandas()
    by_name = {t.target: t for t in health.targets if t.period == "1h"}
    returns, trend = by_name["target_logreturn"], by_name["target_binarytrend"]
    assert returns.rows == 700 - len(MISSING) + 500
    assert returns.labelled == labels["target_logreturn"].notna().sum()
    assert returns.mean == pytest.approx(labels["target_logreturn"].astype(float).mean())
    assert returns.std == pytest.approx(labels["target_logreturn"].astype(float).std())
    assert trend.base_rate == pytest.approx(labels["target_binarytrend"].mean())
    assert (trend.mean, returns.base_rate) == (None, None)
    expected = (labels["target_logreturn"] == 0).sum() / returns.labelled
    assert returns.ties == trend.ties == pytest.approx(expected)
    assert expected > 15 / 1200


def order_matters(bars: pl.DataFrame, t: int, h: int, k: float) -> bool:
    """Whether the first bar after t that reaches a barrier opens between both and reaches both, as a loop."""
    close = bars["close"].to_list()
    steps = [math.log(b / a) for a, b in pairwise(close[t - 100 : t + 1])]
    width = k * statistics.stdev(steps) * math.sqrt(h)
    upper, lower = close[t] * math.exp(width), close[t] * math.exp(-width)
    for row in bars[t + 1 : t + h + 1].iter_rows(named=True):
        up, down = row["high"] >= upper, row["low"] <= lower
        if up or down:
            return up and down and lower < row["open"] < upper
    return False


def test_labels_that_rest_on_the_order_inside_a_bar_against_a_loop(tmp_path: Path) -> None:
    """L3: both barriers inside one bar count as the lower; how often is shown, of all symbols together."""
    wide = [
        row_of_bars(300, "1h", symbol, seed=seed).with_columns(pl.col("high") * 1.05, pl.col("low") / 1.05)
        for symbol, seed in (("AAA", 3), ("BBB", 4))
    ]
    store = Store(tmp_path / "store")
    write_bars(store, *wide)
    barrier = {"name": "target_triple_barrier", "k": 0.6}
    build(store, features_config(periods=["1h"], targets=[barrier, "target_logreturn"]), load_registry())
    first, other = measure_health(store, load_registry()).targets
    rows = [order_matters(bars, t, 24, 0.6) for bars in wide for t in range(100, 300 - 24)]
    assert (first.labelled, first.inside_bar) == (len(rows), sum(rows) / len(rows))
    assert 0.05 < sum(rows) / len(rows) < 0.95
    assert (first.ties, other.inside_bar) == (None, None)


def test_every_binary_label_that_equality_decides_is_counted(tmp_path: Path) -> None:
    """L3: prices on a grid, so that closes, ranges and returns are often equal; against loops over all rows."""
    rng = np.random.default_rng(2)
    close = np.exp2(rng.integers(-1, 2, 400))
    bars = row_of_bars(400, "1h").with_columns(
        close=close, open=close, high=close, low=close, volume=rng.integers(1, 3, 400).astype(float)
    )
    store = Store(tmp_path / "store")
    write_bars(store, bars)
    targets = [
        "target_binarytrend",
        {"name": "target_breakout_prob", "n": 4, "epsilon": 0},
        {"name": "target_return_outlier_lower_10", "n": 8},
    ]
    build(store, features_config(periods=["1h"], targets=targets), load_registry())
    found = {t.target: t for t in measure_health(store, load_registry()).targets}
    volume, steps = bars["volume"].to_list(), np.diff(np.log(close), prepend=np.nan)
    equal = [close[t + 1] == close[t] for t in range(399)]
    at_quantile = [steps[t + 1] == np.quantile(steps[t - 7 : t + 1], 0.1) for t in range(8, 399)]
    edge = []
    for t in range(3, 400 - 24):
        high, low, usual = max(close[t - 3 : t + 1]), min(close[t - 3 : t + 1]), sum(volume[t - 3 : t + 1]) / 4
        ahead = [(close[i], volume[i]) for i in range(t + 1, t + 25)]
        out = any((c > high or c < low) and v > usual for c, v in ahead)
        edge.append(not out and any((c >= high or c <= low) and v >= usual for c, v in ahead))
    for name, rows in {
        "binarytrend": equal,
        "breakout_prob_4_0": edge,
        "return_outlier_lower_10_8": at_quantile,
    }.items():
        (target,) = [t for column, t in found.items() if column.startswith(f"target_{name}")]
        assert target.labelled == len(rows)
        assert target.ties == sum(rows) / len(rows), name
        assert 0.1 < target.ties < 0.99, name


def test_labels_whose_plugin_is_gone_are_measured_without_it(store: Store) -> None:
    """Their numbers are stored; what only the plugin can say is not shown."""
    registry = load_registry()
    targets = {name: found for name, found in registry.provided["target"].items() if name != "target_logreturn"}
    without = dataclasses.replace(registry, provided={**registry.provided, "target": targets})
    found = {t.target: t for t in measure_health(store, without, "1h").targets}
    assert found["target_logreturn"].ties is None
    assert found["target_logreturn"].labelled > 1000
    assert found["target_binarytrend"].ties is not None


def test_symbols_that_were_not_built_have_no_say(tmp_path: Path) -> None:
    """Labels are measured on the bars that they were made of: another symbol's calendar may be another."""
    store = Store(tmp_path / "store")
    write_bars(store, row_of_bars(80, "1h", "AAA", seed=1), row_of_bars(80, "1h", "SPY", seed=2))
    chosen = features_config(periods=["1h"], symbols=["AAA"], targets=["target_logreturn"], calendar={"SPY": "XNYS"})
    build(store, chosen, load_registry())
    (target,) = measure_health(store, load_registry()).targets
    assert (target.labelled, target.ties) == (79, 0.0)


def test_columns_that_do_not_apply_in_an_adopted_table_are_left_out(tmp_path: Path) -> None:
    """F4: one that has no value at a whole period is no defect there; one that lacks them for a symbol is."""
    rows = pl.concat(
        pl.DataFrame({"symbol": [symbol] * size, "period": [period] * size}).with_columns(
            timestamp=pl.int_range(size) * step + START,
            rsi=pl.int_range(size).sin(),
            rsi__4h=pl.lit(0.5 if period == "1h" and symbol == "AAA" else None, pl.Float64) * pl.int_range(size),
        )
        for symbol in ("AAA", "BBB")
        for period, size, step in (("1h", 80, HOUR), ("4h", 20, 4 * HOUR))
    )
    rows.write_parquet(tmp_path / "long.parquet")
    store = Store(tmp_path / "store")
    adopt_fused(store, tmp_path / "long.parquet", AdoptOptions())
    found = measure_health(store, load_registry())
    assert sorted((c.column, c.period) for c in found.columns) == [("rsi", "1h"), ("rsi", "4h"), ("rsi__4h", "1h")]
    (alone,) = [c for c in measure_health(store, load_registry(), "1h", ["BBB"]).columns if c.column == "rsi__4h"]
    assert "empty" in alone.findings


def test_symbols_and_periods_can_be_chosen(store: Store) -> None:
    """And only these are counted."""
    found = measure_health(store, load_registry(), "1h", ["BBB"])
    assert {c.rows for c in found.columns} == {500}
    assert {c.period for c in found.columns} == {t.period for t in found.targets} == {"1h"}


@pytest.mark.parametrize(
    ("period", "symbols", "words"),
    [("2h", None, "no period '2h'"), (None, ["AAB"], "no symbol 'AAB'")],
)
def test_what_is_not_there_is_named(store: Store, period: str | None, symbols: list[str] | None, words: str) -> None:
    """DESIGN 7: what was asked, what exists."""
    with pytest.raises(DataError, match=words) as raised:
        measure_health(store, load_registry(), period, symbols)
    assert "1h" in raised.value.hint or "AAA" in raised.value.hint


def test_the_command_without_a_fused_table(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3 and the next command."""
    with pytest.raises(SystemExit) as stopped:
        main(["-w", str(workspace.root), "features", "health", "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert (stopped.value.code, error["hint"]) == (3, "make it: tftctl features build")


def test_the_command_prints_columns_targets_and_clusters(store: Store) -> None:
    """DESIGN 7: one document; tab separated in a pipe, the worst first."""
    root = store.root.parent
    (root / "tftctl.toml").write_text("plugins = []\n")
    document = json.loads(CliRunner().invoke(app, ["-w", str(root), "features", "health", "--json"]).stdout)
    assert set(document) == {"snapshot", "columns", "targets", "clusters", "identical", "sample_rows"}
    assert {
        "column",
        "period",
        "role",
        "rows",
        "coverage",
        "leading_nulls",
        "holes",
        "constant",
        "drift",
        "cluster",
    } <= (set(document["columns"][0]))
    shown = CliRunner().invoke(app, ["-w", str(root), "features", "health"])
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert lines[0][:3] == ["column", "period", "role"]
    assert [line[0] for line in lines[1 : len(document["columns"]) + 1]] == [c["column"] for c in document["columns"]]
    assert "correlated at 1h, 1: " in shown.stderr
