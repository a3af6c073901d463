"""Columns go by what training rows say of them, and by nothing else (SEMANTICS A4)."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.stats
from pruning_world import (
    CONFIG,
    DAY,
    PLANTED,
    START,
    STEP,
    column,
    dropped,
    make_store,
    naive_cuts,
    naive_parts,
    table,
    tried,
)

from tftctl.audit.prune import parts as parts_module
from tftctl.audit.prune.parts import TRAIN, VALIDATION
from tftctl.core.times import iso
from tftctl.store import Store

ALONE: dict[str, Any] = {"max_missing": 0.5, "constant": True, "max_same": 0.9}
REDUNDANT: dict[str, Any] = {"duplicates": "sign", "max_correlation": 0.98}
DRIFT: dict[str, Any] = {"max_psi": 0.25, "max_ks": 0.2}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The planted table; nothing may write to it."""
    return make_store(tmp_path_factory.mktemp("planted"))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups come in several pieces: what is counted must add up."""
    monkeypatch.setattr(parts_module, "CHUNK_VALUES", 20_000)


def test_training_rows_are_those_of_a_training(planted: Store) -> None:
    """Cuts, purging and filled rows against a loop over rows; the last label read is told."""
    found = tried(planted, constant=True)
    naive = naive_parts(planted)
    numbers = {"train": TRAIN, "val": VALIDATION}
    for period in STEP:
        split = np.concatenate([group.split for group in found.pruning.parts.of(period)])
        for part, number in numbers.items():
            assert np.array_equal(split == number, np.array(naive[period]) == part)
            assert (split == number).sum() > 50
    document = found.document()
    assert document["train_end"] == iso(naive_cuts(planted)[0])
    ends = table(planted, "targets")
    last = max(
        end
        for p in STEP
        for part, end in zip(naive[p], ends[p]["label_end__target_x"], strict=True)
        if part == "train" and end is not None
    )
    assert document["last_label_end"] == iso(last)


def test_all_targets_end_training_earlier(planted: Store) -> None:
    """Labels over 24 bars reach further than those over 4."""
    found = tried(planted, all_targets=True, constant=True)
    naive = naive_parts(planted, ("target_x", "target_y"))
    for period in STEP:
        split = np.concatenate([group.split for group in found.pruning.parts.of(period)])
        assert np.array_equal(split == TRAIN, np.array(naive[period]) == "train")
    assert found.document()["targets"] == ["target_x", "target_y"]


def test_other_groups_do_not_count(planted: Store) -> None:
    """Periods and symbols that the training leaves out are no training rows, and do not move the cuts."""
    config = CONFIG.model_copy(update={"periods": ["1h"], "symbols": ["AAA", "CCC"]})
    found = tried(planted, config, max_missing=0.5)
    assert {g.symbol for g in found.pruning.parts.groups if g.of(TRAIN).size} == {"AAA", "CCC"}
    assert found.pruning.parts.rows("4h", TRAIN) == 0
    # `late` misses much of 4h alone
    assert dropped(found) == {"empty": "missing", "sparse": "missing"}


def test_counts_are_those_of_pandas(planted: Store) -> None:
    """Missing values, constants, variance and the most frequent value, of every column and period."""
    measures = {(e["column"], e["period"]): e for e in tried(planted, **ALONE).document()["measures"]}
    assert {name for name, _ in measures} == set(PLANTED)
    for (name, period), found in measures.items():
        series = pd.Series(column(planted, name, period))
        assert found["missing"] == pytest.approx(series.isna().mean(), abs=1e-12)
        assert found["constant"] == (series.nunique() <= 1)
        counts = series.value_counts(normalize=True)
        share = counts.iloc[0] if len(counts) and counts.iloc[0] > 0.5 else None
        assert found["same"] == (None if share is None else pytest.approx(share, abs=1e-12))
        if series.notna().any():
            assert found["variance"] == pytest.approx(series.var(ddof=0), rel=1e-9, abs=1e-12)


def test_what_is_bad_alone_goes(planted: Store) -> None:
    """By default where it is bad in all periods that the column applies to; each rule alone, too."""
    assert dropped(tried(planted, max_missing=0.5)) == {"empty": "missing", "sparse": "missing"}
    assert dropped(tried(planted, constant=True)) == {"flat": "constant", "empty": "constant"}
    assert dropped(tried(planted, max_same=0.9)) == {"flat": "same value", "mostly_one": "same value"}
    first = dropped(tried(planted, **ALONE))
    assert first == {
        "empty": "missing", "sparse": "missing", "flat": "constant", "mostly_one": "same value",
    }  # fmt: skip
    entry = next(e for e in tried(planted, max_missing=0.5).document()["columns_dropped"] if e["column"] == "sparse")
    shares = {period: np.isnan(column(planted, "sparse", period)).mean() for period in STEP}
    assert entry["by_period"] == pytest.approx(shares)
    assert (entry["value"], entry["limit"]) == (pytest.approx(min(shares.values())), 0.5)


def test_the_rule_for_periods(planted: Store) -> None:
    """`any` also takes what is bad at one period; a column that does not apply at one is not judged there."""
    found = dropped(tried(planted, max_missing=0.5, period_rule="any"))
    assert found == {"empty": "missing", "sparse": "missing", "late": "missing"}
    assert "flat_at_4h" not in dropped(tried(planted, constant=True))
    assert dropped(tried(planted, constant=True, period_rule="any"))["flat_at_4h"] == "constant"
    assert "noise__4h" not in dropped(tried(planted, max_missing=0.0, constant=True, period_rule="any"))


def test_duplicates(planted: Store) -> None:
    """Equal everywhere; up to sign where that is asked; the first stays, or what is pinned."""
    exact = tried(planted, duplicates="exact")
    assert dropped(exact) == {"signal_again": "duplicate"}
    assert exact.pruning.dropped[0].kept == "signal"
    assert dropped(tried(planted, duplicates="sign")) == {
        "signal_again": "duplicate", "signal_mirrored": "duplicate"
    }  # fmt: skip
    turned = tried(planted, duplicates="sign", pin=("signal_mirrored",))
    assert {e.column: e.kept for e in turned.pruning.dropped} == {
        "signal": "signal_mirrored", "signal_again": "signal_mirrored"
    }  # fmt: skip
    assert dropped(tried(planted, duplicates="exact", pin=("signal*",))) == {}


def test_one_different_row_is_no_duplicate(tmp_path: Path) -> None:
    """One gap, or one value, in the last of three groups is enough."""
    first, _ = naive_cuts(make_store(tmp_path / "seen"))

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        if (rows["symbol"][0], rows["period"][0]) != ("CCC", "4h"):
            return rows
        last = rows.filter(pl.col("available_at") < first - DAY)["timestamp"][-1]
        at = pl.col("timestamp") == last
        return rows.with_columns(
            pl.when(at).then(None).otherwise("signal_again").alias("signal_again"),
            pl.when(at).then(pl.col("signal_mirrored") + 1).otherwise("signal_mirrored").alias("signal_mirrored"),
        )

    assert dropped(tried(make_store(tmp_path / "changed", change), duplicates="sign")) == {}


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_correlations_are_those_of_scipy_and_pandas(planted: Store, method: str) -> None:
    """Of every pair of full columns; Pearson also of columns with gaps, on the rows that both have."""
    found = tried(planted, max_correlation=0.98, correlation=method).pruning.measures
    for measures in found:
        full = ["noise", "signal", "signal_near", "moved", "level", "level_twin"]
        partly = ["sparse", "late"] if method == "pearson" else []
        data = pd.DataFrame({name: column(planted, name, measures.period) for name in full + partly})
        for a, b in combinations(data, 2):
            got = measures.correlation[measures.columns.index(a), measures.columns.index(b)]
            both = data[[a, b]].dropna()
            if len(both) < 100:
                assert np.isnan(got)
                continue
            oracle = scipy.stats.spearmanr if method == "spearman" else scipy.stats.pearsonr
            assert got == pytest.approx(abs(oracle(both[a], both[b]).statistic), abs=1e-9)


@pytest.mark.parametrize(
    ("linkage", "keep"),
    [("complete", "first"), ("average", "variance"), ("complete", "target:target_x"), ("average", "coverage")],
)
def test_no_correlated_pair_is_left(planted: Store, linkage: str, keep: str) -> None:
    """By pandas, pair by pair: what stays is below the limit, and what goes was above it with something."""
    found = tried(planted, max_correlation=0.98, linkage=linkage, keep=keep)
    gone = {entry.column: entry for entry in found.pruning.dropped}
    assert set(gone) >= {"signal_again", "signal_mirrored"} or "signal" in gone
    free = [name for name in PLANTED if not name.startswith("level")]
    for a, b in combinations(free, 2):
        by_period = {}
        for period in STEP:
            both = pd.DataFrame({"a": column(planted, a, period), "b": column(planted, b, period)}).dropna()
            if len(both) >= 100 and both["a"].nunique() > 1 and both["b"].nunique() > 1:
                by_period[period] = abs(both["a"].corr(both["b"], method="spearman"))
        if a not in gone and b not in gone and by_period:
            assert min(by_period.values()) < 0.981, (a, b)
    for entry in gone.values():
        assert entry.value is not None and entry.value > 0.98
        assert entry.column in entry.cluster


def test_what_keep_means(planted: Store) -> None:
    """Of the three that stand close to each other."""

    def stays(keep: str, **more: Any) -> set[str]:
        found = tried(planted, max_correlation=0.98, keep=keep, **more)
        return {name for name in PLANTED if name.startswith("signal")} - set(dropped(found))

    variances = {
        name: np.mean([column(planted, name, "1h").var(), column(planted, name, "4h").var()])
        for name in PLANTED
        if name.startswith("signal")
    }
    assert stays("first") == {"signal"}
    assert stays("variance") == {max(variances, key=lambda name: variances[name])} != {"signal"}
    assert stays("first", pin=("signal_near",)) == {"signal_near"}


def test_keeping_what_the_label_prefers(tmp_path: Path) -> None:
    """`target_x` is the noise: of three columns close to it the closest stays, though it comes last."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        random = np.random.default_rng(rows.height)
        near = {name: rows["noise"] + scale * random.normal(size=rows.height)
                for name, scale in (("signal_again", 0.12), ("signal_near", 0.1), ("signal_nearer", 0.01))}  # fmt: skip
        return rows.with_columns(pl.Series(name, column).cast(pl.Float32) for name, column in near.items())

    store = make_store(tmp_path, change)
    found = dropped(tried(store, max_correlation=0.95, keep="target:target_x", drop=("noise",)))
    assert "signal_nearer" not in found
    assert {"signal_again", "signal_near"} <= set(found)
    assert "signal_nearer" in dropped(tried(store, max_correlation=0.95, drop=("noise",)))


def test_levels_are_correlated_only_on_demand(planted: Store) -> None:
    """Prices of several symbols always correlate; as many as are asked for go."""
    assert "level_twin" not in dropped(tried(planted, max_correlation=0.98))
    assert dropped(tried(planted, max_correlation=0.98, any_scale=True))["level_twin"] == "correlation"


def naive_psi(before: np.ndarray, after: np.ndarray) -> float:
    """Population stability index over the deciles of `before`, bin by bin."""
    edges = [-np.inf, *np.quantile(before, [0.1 * i for i in range(1, 10)]), np.inf]
    total = 0.0
    for low, high in pairwise(edges):
        p, q = (max(np.mean([low < x <= high for x in part]), 1e-4) for part in (before, after))
        total += (q - p) * np.log(q / p)
    return total


def test_drift_is_measured_between_training_and_validation(planted: Store) -> None:
    """PSI against a loop over bins, KS against SciPy; the test part is never looked at."""
    found = tried(planted, **DRIFT)
    measures = {(e["column"], e["period"]): e for e in found.document()["measures"]}
    for name in ("noise", "moved", "moved_in_test", "late"):
        for period in STEP:
            before, after = (column(planted, name, period, part) for part in ("train", "val"))
            before, after = before[~np.isnan(before)], after[~np.isnan(after)]
            entry = measures[name, period]
            if before.size < 100 or after.size < 100:
                assert entry["psi"] is None and entry["ks"] is None
                continue
            assert entry["psi"] == pytest.approx(naive_psi(before, after), rel=1e-9)
            assert entry["ks"] == pytest.approx(scipy.stats.ks_2samp(before, after).statistic, abs=1e-12)
    assert dropped(found) == {"moved": "psi"}
    assert dropped(tried(planted, max_ks=0.2)) == {"moved": "ks"}
    assert found.document()["last_label_end_of_drift"] <= iso(naive_cuts(planted)[1])


def disturbed(parts: tuple[str, ...], cuts: tuple[int, int]) -> Any:
    """A change of every column in rows of these parts: shifted, constant, empty, equal to each other."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        at = rows["available_at"].to_numpy()
        # labels of training rows end by the cut: rows that begin after it are none
        later = {"val": (at > cuts[0]) & (at <= cuts[1]), "test": at > cuts[1]}
        here = pl.Series(np.any([later[part] for part in parts], axis=0))
        noise = pl.Series(np.random.default_rng(5).normal(size=rows.height))
        other = {
            "noise": pl.lit(None), "signal": 1e3 * noise, "signal_again": -noise, "signal_mirrored": noise * noise,
            "signal_near": pl.lit(0.0), "signal_nearer": noise, "flat": noise, "empty": noise, "mostly_one": noise,
            "sparse": noise, "late": pl.lit(None), "moved": pl.lit(5.0), "moved_in_test": noise - 50,
        }  # fmt: skip
        return rows.with_columns(
            pl.when(here).then(value).otherwise(name).cast(pl.Float32).alias(name) for name, value in other.items()
        )

    return change


def test_nothing_reacts_to_later_rows(planted: Store, tmp_path: Path) -> None:
    """Other values after the training cut change no measure but drift; in the test part not even that."""
    cuts = naive_cuts(planted)
    rules = {**ALONE, **REDUNDANT, "keep": "target:target_x", "pin": ("moved",)}
    before = tried(planted, **rules).document()
    after = tried(make_store(tmp_path / "both", disturbed(("val", "test"), cuts)), **rules).document()
    for key in ("measures", "columns_dropped", "train_end", "last_label_end"):
        assert after[key] == before[key]
    assert len(before["columns_dropped"]) >= 6
    drift = tried(planted, **DRIFT).document()["measures"]
    unseen = tried(make_store(tmp_path / "test", disturbed(("test",), cuts)), **DRIFT).document()["measures"]
    seen = tried(make_store(tmp_path / "val", disturbed(("val",), cuts)), **DRIFT).document()["measures"]
    assert unseen == drift
    assert seen != drift


def test_training_rows_do_count(planted: Store, tmp_path: Path) -> None:
    """The same change before the cut is seen: the test above can fail."""
    cuts = naive_cuts(planted)
    store = make_store(tmp_path, disturbed(("val",), (START, cuts[0] - DAY)))
    assert tried(store, **ALONE).document()["measures"] != tried(planted, **ALONE).document()["measures"]


def test_a_large_table_is_sampled(planted: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks and quantiles of a seeded draw: near those of all rows, the same each time, and told."""
    whole = tried(planted, **DRIFT, max_correlation=0.98)
    monkeypatch.setattr("tftctl.audit.prune.measure.SAMPLE_ROWS", 1500)
    drawn, again = (tried(planted, **DRIFT, max_correlation=0.98) for _ in range(2))
    assert drawn.document()["measures"] == again.document()["measures"] != whole.document()["measures"]
    for few, all_rows in zip(drawn.pruning.measures, whole.pruning.measures, strict=True):
        known = ~np.isnan(few.correlation) & ~np.isnan(all_rows.correlation)
        assert np.abs(few.correlation - all_rows.correlation)[known].max() < 0.15
    assert drawn.document()["sample"]["seed"] == 0
    assert tried(planted, constant=True).document()["sample"] is None


def test_named_columns(planted: Store, tmp_path: Path) -> None:
    """Names, patterns and lists; bars only by their whole name, ages by patterns, too."""
    assert dropped(tried(planted, drop=("signal_*", "flat"))) == dict.fromkeys(
        ["signal_again", "signal_mirrored", "signal_near", "signal_nearer", "flat"], "named"
    )
    assert set(dropped(tried(planted, drop=("*__4h",)))) == {"noise__4h", "age__4h"}
    assert set(dropped(tried(planted, drop=("open",)))) == {"open"}
    assert set(dropped(tried(planted, drop=("*e*",)))).isdisjoint({"open", "close", "volume"})
    listed = dropped(tried(planted, keep_only=("noise", "signal")))
    assert set(listed) == set(PLANTED) - {"noise", "signal"}
    assert set(listed.values()) == {"not listed"}
    assert set(dropped(tried(planted, keep_only=("noise",), pin=("sig*",)))) == {
        name for name in PLANTED if name != "noise" and not name.startswith("sig")
    }


def test_ages_and_bars_stay_unasked(planted: Store) -> None:
    """However constant an age is, and however correlated prices are."""
    found = tried(planted, constant=True, duplicates="sign", max_correlation=0.5, any_scale=True, max_missing=0.0)
    assert set(dropped(found)).isdisjoint({"age__4h", "open", "high", "low", "close", "volume"})
    assert len(dropped(found)) > 8
