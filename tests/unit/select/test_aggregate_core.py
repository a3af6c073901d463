"""One core set from the evidence of several targets and periods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tftctl.core.errors import UsageError
from tftctl.select.aggregate_core import Rules, aggregate, cell_scores, write_summary
from tftctl.select.evidence import SCHEMA, Evidence
from tftctl.select.gate_scores import GateScores, agreement
from tftctl.select.ranking import rank_scores

SURE, UNSURE = 0.0001, 0.4


def evidence(
    target: str,
    period: str,
    rows: dict[str, tuple[float, float]],
    clusters: dict[str, Any] | None = None,
    gains: dict[str, float] | None = None,
) -> Evidence:
    """By hand: feature -> (importance, p); clusters: feature -> (number, p of the cluster); gains like importances."""
    table = []
    for name, (importance, p) in rows.items():
        number, cluster_p = (clusters or {}).get(name, (None, None))
        table.append({
            "feature": name, "kind": "feature", "gain": importance if gains is None else gains[name],
            "importance": importance, "se": 0.1,
            "low": importance - 0.2, "high": importance + 0.2, "z": importance / 0.1, "p": p, "above": p < 0.05,
            "cluster": number, "cluster_importance": None if number is None else 1.0, "cluster_low": None,
            "cluster_high": None, "cluster_z": None, "cluster_p": cluster_p,
            "cluster_above": None if number is None else cluster_p < 0.05,
        })  # fmt: skip
    table.append({**table[0], "kind": "probe", "importance": 99.0, "p": 0.9})
    frame = pl.DataFrame(table, schema=SCHEMA).sort("importance", descending=True)
    return Evidence(target, period, frame, {"level": 0.05, "data": "x", "snapshot": 1})


def test_the_best_rank_has_the_highest_score() -> None:
    assert rank_scores({"a": 3.0, "b": 1.0, "c": 2.0}) == {"a": 1.0, "c": 0.5, "b": 0.0}


@pytest.mark.parametrize(
    "values", [{"a": 1.0, "b": 1.0, "c": 0.0, "d": -2.0}, {f"f{n}": float(n * 7 % 11 // 2) for n in range(11)}]
)
def test_ties_share_their_mean_rank_as_polars_ranks(values: dict[str, float]) -> None:
    ranks = pl.Series(list(values.values())).rank("average", descending=True).to_list()
    size = len(values)
    expected = {name: (size - rank) / (size - 1) for name, rank in zip(values, ranks, strict=True)}
    assert rank_scores(values) == pytest.approx(expected)


def test_one_value_is_the_best_and_equal_ones_say_nothing() -> None:
    assert rank_scores({"a": -1.0}) == {"a": 1.0}
    assert rank_scores({"a": 2.0, "b": 2.0}) == {"a": 0.0, "b": 0.0}


def test_an_importance_below_zero_is_as_good_as_none() -> None:
    gains = {"a": 0.2, "b": 0.2, "c": 0.2}
    cell = evidence("target_x", "1h", {"a": (0.3, SURE), "b": (0.0, 1.0), "c": (-0.5, 1.0)}, gains=gains)
    assert cell_scores(cell) == {"a": 0.5, "b": 0.125, "c": 0.125}


def test_permutation_and_gain_rank_alike() -> None:
    """By hand: ranks by importance a, b, c; by gain c, a, b."""
    gains = {"a": 0.3, "b": 0.1, "c": 0.6}
    cell = evidence("target_x", "1h", {"a": (3, SURE), "b": (2, SURE), "c": (1, SURE)}, gains=gains)
    assert cell_scores(cell) == {"a": 0.75, "b": 0.25, "c": 0.5}


def test_targets_weigh_as_asked_and_their_periods_alike() -> None:
    cells = [
        evidence("target_x", "1h", {"a": (3, SURE), "b": (2, SURE), "c": (1, SURE)}),
        evidence("target_x", "4h", {"a": (1, SURE), "b": (2, SURE), "c": (3, SURE)}),
        evidence("target_y", "1h", {"a": (1, SURE), "b": (3, SURE), "c": (2, SURE)}),
    ]
    core = aggregate(cells, Rules({"target_x": 1.0, "target_y": 2.0}))
    scores = dict(core.summary.select("feature", "trees").iter_rows())
    # x: (1 + 0) / 2, (0.5 + 0.5) / 2, (0 + 1) / 2; y: 0, 1, 0.5
    assert scores == pytest.approx({"a": 0.5 / 3, "b": (0.5 + 2) / 3, "c": (0.5 + 1) / 3})
    assert core.selected == ("b", "c", "a")
    alone = aggregate(cells, Rules({"target_x": 1.0, "target_y": 0.0}))
    assert dict(alone.summary.select("feature", "trees").iter_rows()) == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.5})


def test_a_feature_is_scored_where_it_has_values() -> None:
    cells = [
        evidence("target_x", "1h", {"a": (3, SURE), "b": (2, SURE), "only_fast": (4, SURE)}),
        evidence("target_x", "1d", {"a": (1, SURE), "b": (2, SURE)}),
    ]
    core = aggregate(cells, Rules({}))
    row = core.summary.row(by_predicate=pl.col("feature") == "only_fast", named=True)
    assert row["trees"] == 1.0
    assert row["trees_1h"] == 1.0
    assert row["trees_1d"] is None


def test_evidence_holds_in_a_cell_or_for_all_cells_together() -> None:
    p = 0.02  # below 0.05 in its cell, not for three
    rows = {"a": (3.0, SURE), "b": (2.0, p), "c": (1.0, UNSURE)}
    one = aggregate([evidence("target_x", "1h", rows)], Rules({}))
    assert one.selected == ("a", "b")
    cells = [evidence("target_x", period, rows) for period in ("1h", "4h", "1d")]
    assert aggregate(cells, Rules({})).selected == ("a", "b")
    three = aggregate(cells, Rules({}, together=True))
    assert three.selected == ("a",)
    why = dict(three.summary.select("feature", "why").iter_rows())
    assert why == {"a": "evidence", "b": "below the threshold", "c": "below the threshold"}
    assert three.summary.filter(pl.col("feature") == "b")["above"].item() == 3


def test_the_best_of_a_cluster_stands_for_it() -> None:
    rows = {"twin_1": (0.9, UNSURE), "twin_2": (1.0, UNSURE), "alone": (0.5, UNSURE)}
    clusters = {"twin_1": (1, SURE), "twin_2": (1, SURE)}
    core = aggregate([evidence("target_x", "1h", rows, clusters)], Rules({}))
    assert core.selected == ("twin_2",)


def test_topk_pinned_and_banned() -> None:
    rows = {f"f{number}": (10.0 - number, SURE) for number in range(6)} | {"dull": (0.0, 1.0)}
    cells = [evidence("target_x", "1h", rows)]
    core = aggregate(cells, Rules({}, topk=3, pinned=["dull"], banned=["f1", "f0"]))
    assert set(core.selected) == {"dull", "f2", "f3"}
    why = dict(core.summary.select("feature", "why").iter_rows())
    assert (why["dull"], why["f0"], why["f4"]) == ("pinned", "banned", "beyond topk")
    globbed = aggregate(cells, Rules({}, pinned=["d*"], banned=["f[0-4]"]))
    assert set(globbed.selected) == {"dull", "f5"}


def test_keep_below_fills_up_to_topk() -> None:
    cells = [evidence("target_x", "1h", {"a": (3.0, SURE), "b": (2.0, UNSURE), "c": (1.0, UNSURE)})]
    assert aggregate(cells, Rules({}, topk=2)).selected == ("a",)
    assert aggregate(cells, Rules({}, topk=2, keep_below=True)).selected == ("a", "b")


@pytest.mark.parametrize(
    ("rules", "message", "hint"),
    [
        (Rules({}, topk=5), "topk 5: the pool has 2 features", "at most 2"),
        (Rules({}, pinned=["alpah"]), "pinned: 'alpah' is no feature", "did you mean 'alpha'"),
        (Rules({}, banned=["zz*"]), "banned: 'zz*' is no feature", "features: alpha, beta"),
        (Rules({"target_x": 0.0}), "every target of the evidence weighs 0", "weight"),
    ],
)
def test_what_cannot_be_is_said(rules: Rules, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        aggregate([evidence("target_x", "1h", {"alpha": (1.0, SURE), "beta": (0.5, SURE)})], rules)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_gates_are_a_bonus_where_the_feature_is_judged() -> None:
    cells = [
        evidence("target_x", "1h", {"a": (3, SURE), "b": (2, SURE), "c": (1, SURE)}),
        evidence("target_x", "1d", {"a": (3, SURE), "b": (2, SURE)}),
    ]
    # c has no values at 1d: what its gate weighs there is nothing
    gates = GateScores({"1h": {"c": 0.5, "b": 0.3, "a": 0.1}, "1d": {"c": 0.9, "b": 0.05, "a": 0.06}}, {})
    core = aggregate(cells, Rules({}, tft_bonus=0.5), gates)
    found = {row["feature"]: row for row in core.summary.iter_rows(named=True)}
    assert found["c"]["gate"] == 1.0
    assert found["a"]["gate"] == pytest.approx((0.0 + 1.0) / 2)
    assert found["b"]["gate"] == pytest.approx((0.5 + 0.0) / 2)
    for row in found.values():
        assert row["score"] == pytest.approx(row["trees"] + 0.5 * row["gate"])
    assert core.agreement["1h"].spearman == pytest.approx(-1.0)


def test_agreement_is_spearmans_and_the_common_best() -> None:
    from scipy.stats import spearmanr

    trees = {f"f{n}": float((n * 5) % 8) for n in range(8)}
    gates = {f"f{n}": float((n * 3) % 8) for n in range(8)} | {"only_there": 1.0}
    found = agreement(trees, gates)
    names = sorted(trees)
    assert found.spearman == pytest.approx(spearmanr([trees[n] for n in names], [gates[n] for n in names])[0])
    best = [{name for name in names if scores[name] >= 6} for scores in (trees, gates)]
    assert found.top == 2
    assert found.overlap == len(best[0] & best[1]) / 2


def test_the_summary_is_csv_parquet_and_json(tmp_path: Path) -> None:
    import json

    core = aggregate([evidence("target_x", "1h", {"a": (3.0, SURE), "b": (2.0, UNSURE)})], Rules({}))
    path = tmp_path / "deep" / "core.csv"
    write_summary(path, core, {"snapshot": 7})
    assert pl.read_csv(path)["feature"].to_list() == ["a", "b"]
    assert pl.read_parquet(path.with_suffix(".parquet")).equals(core.summary)
    document = json.loads(path.with_suffix(".json").read_text())
    assert document["selected"] == ["a"]
    assert document["counts"] == {"evidence": 1, "below the threshold": 1}
    assert (document["level"], document["level_over"]) == (0.05, "each")
    assert document["snapshot"] == 7
    assert sorted(child.name for child in path.parent.iterdir()) == ["core.csv", "core.json", "core.parquet"]
