"""Pictures of a selection: what is drawn is read back from the artists and held against the evidence."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.stats import spearmanr
from selection_page_world import THRESHOLD, make_findings

from tftctl.select.canvas import plain, spread
from tftctl.select.evidence_pictures import best_at, importance_figure, leaf_order, runs
from tftctl.select.page import Findings
from tftctl.select.pictures import draw_pictures, png
from tftctl.select.trust_pictures import disagreements


@pytest.fixture(scope="module")
def findings() -> Findings:
    return make_findings()


def figures(findings: Findings) -> dict[str, Any]:
    return {picture.name: picture.figure for picture in draw_pictures(findings)}


def line(axes: Any, label: str) -> tuple[Any, Any]:
    """x and y of the only line of this label."""
    (found,) = [item for item in axes.lines if item.get_label() == label]
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def segments(axes: Any, label: str) -> list[tuple[float, float, float]]:
    """y, left and right end of the intervals of this label."""
    (found,) = [item for item in axes.collections if item.get_label() == label]
    return [(y, x0, x1) for (x0, y), (x1, _) in found.get_segments()]


def row_names(axes: Any) -> list[str]:
    return [item.get_text() for item in axes.get_yticklabels()]


def test_every_period_has_its_importances_from_short_to_long(findings: Findings) -> None:
    assert list(figures(findings)) == [
        "importances-1h", "importances-1d", "clusters", "stability", "trees-gates", "search",
    ]  # fmt: skip


@pytest.mark.parametrize("period", ["1h", "1d"])
def test_points_intervals_and_thresholds_are_those_of_the_evidence(findings: Findings, period: str) -> None:
    cells = [cell for cell in findings.evidence if cell.period == period]
    figure = importance_figure(period, cells, findings.core)
    names = row_names(figure.axes[0])
    assert len(figure.axes) == len(cells)
    for axes, cell in zip(figure.axes, cells, strict=True):
        rows = {row["feature"]: row for row in cell.features.to_dicts()}
        drawn: dict[str, str] = {}
        for state in ("above", "cluster", "below"):
            x, y = line(axes, state)
            ends = segments(axes, f"interval {state}")
            for value, place, (at, low, high) in zip(x, y, ends, strict=True):
                row = rows[names[int(place)]]
                assert at == place
                assert (value, low, high) == pytest.approx([100 * row[key] for key in ("importance", "low", "high")])
                drawn[row["feature"]] = state
        assert drawn == {
            name: "above" if row["above"] else "cluster" if row["cluster_above"] else "below"
            for name, row in rows.items()
        }
        marks = dict(zip(*line(axes, "threshold")[::-1], strict=True))
        for place, name in enumerate(names[: len(rows)]):
            assert marks[place] == pytest.approx(100 * THRESHOLD * rows[name]["se"])
            right = 100 * rows[name]["importance"] > marks[place]
            assert right == (drawn[name] == "above")


def test_the_probes_are_the_three_with_the_largest_z(findings: Findings) -> None:
    cell = findings.evidence[0]
    figure = importance_figure(cell.period, [cell], findings.core)
    probes = [row for row in cell.table.to_dicts() if row["kind"] == "probe"]
    largest = sorted(probes, key=lambda row: -row["z"])[:3]
    x, y = line(figure.axes[0], "probe")
    assert x == pytest.approx([100 * row["importance"] for row in largest])
    assert [row_names(figure.axes[0])[int(place)] for place in y] == [f"largest probe {n}" for n in (1, 2, 3)]


def test_twenty_features_of_a_long_list_and_the_best_of_the_period() -> None:
    many = make_findings([f"column_{number}" for number in range(200)], good=30)
    shown = best_at(many.core, "1h")
    scores = dict(many.core.select("feature", "trees_1h").iter_rows())
    assert len(shown) == 20
    assert min(scores[name] for name in shown) >= max(score for name, score in scores.items() if name not in shown)
    for figure in figures(many).values():
        assert figure.get_figheight() < 14


def test_neighbours_on_the_map_are_permuted_together(findings: Findings) -> None:
    axes = figures(findings)["clusters"].axes[0]
    names, strength = findings.strengths["1h"]
    order = leaf_order(strength)
    assert sorted(order) == list(range(len(names)))
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(strength[np.ix_(order, order)])
    (frame,) = axes.patches
    first = int(frame.get_x() + 0.5)
    assert frame.get_width() == 2
    assert {names[place] for place in order[first : first + 2]} == set(names[-2:])
    marks = {names[order[int(place)]] for place in line(axes, "selected")[1]}
    assert marks == set(findings.document["selected"])


def test_runs_are_of_one_cluster_and_of_more_than_one_feature() -> None:
    numbers = {"a": 1, "b": 1, "c": None, "d": 2, "e": 3, "f": 3, "g": 3}
    assert runs(list("abcdefg"), numbers) == [(0, 1), (4, 6)]


def test_leaves_of_two_blocks_stay_apart() -> None:
    strength = np.full((6, 6), 0.1)
    for block in ([0, 2, 4], [1, 3, 5]):
        strength[np.ix_(block, block)] = 0.9
    order = leaf_order(strength)
    assert {frozenset(order[:3]), frozenset(order[3:])} == {frozenset([0, 2, 4]), frozenset([1, 3, 5])}


def test_scores_of_both_and_their_correlation(findings: Findings) -> None:
    axes = figures(findings)["trees-gates"].axes[0]
    known = findings.core.filter(pl.col("gate").is_not_null())
    chosen = known.filter(pl.col("feature").is_in(findings.document["selected"]))
    x, y = line(axes, "selected")
    assert sorted(zip(x, y, strict=True)) == sorted(chosen.select("trees", "gate").iter_rows())
    assert len(line(axes, "left out")[0]) == known.height - chosen.height
    expected = spearmanr(known["trees"].to_numpy(), known["gate"].to_numpy()).statistic
    assert axes.get_title("left") == f"all periods: Spearman {expected:+.2f}"
    texts = [item.get_text() for item in axes.texts]
    worst = known.with_columns(gap=(pl.col("trees") - pl.col("gate")).abs()).sort("gap", descending=True)
    name, trees, gate = worst.select("feature", "trees", "gate").row(0)
    assert f"{name}: trees {trees:.2f}, gates {gate:.2f}" in texts


def test_gates_of_a_period_are_ranked_among_what_the_trees_judge_there(findings: Findings) -> None:
    assert findings.gates is not None
    judged = findings.core.with_columns(trees_1h=pl.when(pl.col("rank") > 4).then("trees_1h"))
    few = figures(replace(findings, core=judged))["trees-gates"].axes[1]
    weights = findings.gates.weights["1h"]
    names = [name for name in judged.filter(pl.col("rank") > 4)["feature"].to_list() if name in weights]
    points = np.concatenate([np.column_stack(line(few, label)) for label in ("selected", "left out")])
    trees = dict(judged.select("feature", "trees_1h").iter_rows())
    ranked = sorted(names, key=lambda name: weights[name])
    expected = sorted((trees[name], place / (len(names) - 1)) for place, name in enumerate(ranked))
    assert np.array(sorted(points.tolist())) == pytest.approx(np.array(expected))


def test_the_largest_disagreement_comes_first() -> None:
    points = {"a": (0.1, 0.2), "b": (0.9, 0.1), "c": (0.0, 0.5)}
    assert disagreements(points, 2) == ["b", "c"]


def test_stability_shows_shares_skills_and_gains(findings: Findings) -> None:
    often, skill, gain = figures(findings)["stability"].axes
    rolling = findings.document["rolling"]
    widths = dict(zip(row_names(often), [bar.get_width() for bar in often.patches], strict=True))
    expected = {name: 100 * share for name, share in rolling["stability"]["frequency"].items() if share}
    assert widths == pytest.approx(expected)
    assert line(skill, "the selection")[1] == pytest.approx([2.1, 2.3, 1.9])
    before = line(skill, "the fold before's selection")[1]
    assert np.isnan(before[0])
    assert before[1:] == pytest.approx([1.8, 1.75])
    (ranges,) = [item for item in skill.collections if item.get_label() == "random range"]
    assert [[y for _, y in ends] for ends in ranges.get_segments()] == [pytest.approx([0.4, 1.6])] * 3
    assert row_names(gain) == ["all features", "random sets"]
    (intervals,) = gain.collections
    assert [[x for x, _ in ends] for ends in intervals.get_segments()] == [
        pytest.approx([1.03, 1.43]), pytest.approx([1.25, 1.65]),
    ]  # fmt: skip


def test_the_search_shows_every_trial_and_the_nested_fold(findings: Findings) -> None:
    objective, size, nested = figures(findings)["search"].axes
    assert line(objective, "a trial")[1] == pytest.approx([2.0, 2.4, 2.2, 2.7])
    assert line(objective, "best so far")[1] == pytest.approx([2.0, 2.4, 2.4, 2.7])
    assert [item.get_drawstyle() for item in objective.lines] == ["default", "steps-post"]
    found = findings.document["optimize"]
    assert [item.get_text() for item in size.get_legend().get_texts()] == [
        f"kept: {found['size']}", f"pool: {found['pool']}",
    ]  # fmt: skip
    (interval,) = nested.collections
    assert [x for x, _ in interval.get_segments()[0]] == pytest.approx([-0.04, 0.19])


def test_a_search_without_trials_and_folds_without_a_choice_are_drawn() -> None:
    findings = make_findings()
    document = dict(findings.document)
    document["optimize"] = {**document["optimize"], "history": [], "nested": None}
    document["rolling"] = {**document["rolling"], "stability": {"frequency": {}, "jaccard": None, "kuncheva": None}}
    drawn = figures(Findings(document, findings.evidence, findings.core, findings.strengths, findings.gates))
    said = [[item.get_text() for item in axes.texts] for axes in drawn["search"].axes]
    assert said == [["no trial"], ["no trial"], ["no nested fold"]]
    assert [item.get_text() for item in drawn["stability"].axes[0].texts] == ["no fold\nselects anything"]


def test_hostile_names_are_drawn_as_they_are() -> None:
    names = ["$x_{1}$", "a\nb", "\N{CJK UNIFIED IDEOGRAPH-4E00}", "\\frac{", "$", "%s" * 40, "<b>", "plain"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures(make_findings(names)).values():
            assert png(figure).startswith(b"\x89PNG")


def test_a_name_is_one_short_line_without_mathematics() -> None:
    assert plain("rolling_volatility") == "rolling_volatility"
    assert plain("a$b$") == r"a\$b\$"
    assert plain("a\nb\N{CJK UNIFIED IDEOGRAPH-4E00}") == "a?b?"
    long = plain("abcdefghijklmnopqrstuvwxyz0123456789", 12)
    assert len(long) == 12
    assert long.startswith("abcdefg")
    assert long.endswith("6789")


@pytest.mark.parametrize("places", [[0.0, 0.1, 0.2], [9.8, 9.9, 10.0], [5.0, 5.0, 5.0, 5.0], [0.0, 5.0, 10.0], []])
def test_labels_keep_their_distance_and_their_order(places: list[float]) -> None:
    moved = spread(places, 1.0, 0.0, 10.0)
    assert all(second - first >= 1 - 1e-9 for first, second in pairwise(moved))
    assert all(0 <= place <= 10 for place in moved)
    if places == [0.0, 5.0, 10.0]:
        assert moved == places


def test_a_png_has_the_size_and_nearly_the_colours_of_the_figure(findings: Findings) -> None:
    from tftctl.train.drawing import pixels

    figure = figures(findings)["importances-1h"]
    image = np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).astype(int)
    drawn = pixels(figure).astype(int)
    assert image.shape == drawn.shape
    assert np.abs(image - drawn).max() < 24
