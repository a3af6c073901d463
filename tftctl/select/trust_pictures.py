"""Pictures of how far a selection can be trusted: trees against gates, stability over folds, the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from tftctl.core.periods import sort_periods
from tftctl.select.canvas import WIDTH, few_ticks, grid, hundredths, name_rows, plain, tidy
from tftctl.select.gate_scores import GateScores
from tftctl.select.ranking import rank_scores
from tftctl.train.drawing import COLOURS, GREY, undefined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Document = Mapping[str, Any]

SHOWN_DISAGREEMENTS = 10
SHOWN_FREQUENCIES = 30
SKILLS = (
    ("selected", "the selection", COLOURS[0], "-"),
    ("all", "all features", COLOURS[1], "-"),
    ("random", "random sets of its size, and their range", GREY, "-"),
    ("last_selection", "the fold before's selection", COLOURS[2], "--"),
)
GAINS = (("all", "all features"), ("random", "random sets"), ("last_selection", "the fold before's"))
_SIDE = 3.7


def agreement_figure(
    core: pl.DataFrame, gates: GateScores, agreement: Mapping[str, Document], selected: Sequence[str]
) -> Figure:
    """Score of the trees against score of the gates: all periods together with the largest disagreements, and each."""
    from matplotlib.ticker import NullLocator

    periods = [period for period in sort_periods(list(gates.weights)) if f"trees_{period}" in core.columns]
    small = 2.15
    rows = math.ceil(len(periods) / 4)
    figure, panels = grid("What the trees and the network's gates make of the features", 1, 1, (_SIDE, _SIDE),
                          0.75, head=0.6, foot=0.5 + rows * (small + 0.55))  # fmt: skip
    both = core.filter(pl.col("gate").is_not_null())
    points = {name: (trees, gate) for name, trees, gate in both.select("feature", "trees", "gate").iter_rows()}
    _draw_scores(panels[0], f"all periods: {_correlation(agreement.get('all'))}", points, set(selected))
    tidy(panels[0], panels[0].get_title("left"), "score of the trees", "score of the gates")
    _name_disagreements(panels[0], points)
    high = figure.get_figheight()
    for place, period in enumerate(periods):
        top = 0.6 + _SIDE + 0.75 + (place // 4) * (small + 0.55)
        left = 0.75 + (place % 4) * (small + 0.3)
        axes = figure.add_axes((left / WIDTH, 1 - (top + small) / high, small / WIDTH, small / high))
        _draw_scores(axes, f"{period}: {_correlation(agreement.get(period))}", _points_at(core, gates, period),
                     set(selected))  # fmt: skip
        axes.xaxis.set_major_locator(NullLocator())
        axes.yaxis.set_major_locator(NullLocator())
    return figure


def _correlation(found: Document | None) -> str:
    if found is None or found.get("spearman") is None:
        return "no correlation to speak of"
    return f"Spearman {found['spearman']:+.2f}"


def _points_at(core: pl.DataFrame, gates: GateScores, period: str) -> dict[str, tuple[float, float]]:
    rows = core.select("feature", f"trees_{period}").drop_nulls().iter_rows()
    trees = {name: score for name, score in rows if name in gates.weights[period]}
    scores = rank_scores({name: gates.weights[period][name] for name in trees}) if trees else {}
    return {name: (trees[name], scores[name]) for name in trees}


def _draw_scores(axes: Axes, title: str, points: Mapping[str, tuple[float, float]], selected: set[str]) -> None:
    axes.plot([0, 1], [0, 1], color="#DDDDDD", lw=1, zorder=0)
    for chosen, face, text in ((False, "white", "left out"), (True, COLOURS[0], "selected")):
        mine = [point for name, point in points.items() if (name in selected) == chosen]
        axes.plot([x for x, _ in mine], [y for _, y in mine], ls="", marker="o", ms=3.6, mfc=face, mec=COLOURS[0],
                  mew=0.8, label=text)  # fmt: skip
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.04)
    tidy(axes, title)


def disagreements(points: Mapping[str, tuple[float, float]], most: int = SHOWN_DISAGREEMENTS) -> list[str]:
    """The features on which both scores differ most."""
    return sorted(points, key=lambda name: (-abs(points[name][0] - points[name][1]), name))[:most]


def _name_disagreements(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Numbers in the panel, names right of it: names would cover each other."""
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.04, 0.12), ncols=2)
    axes.text(1.06, 0.985, "largest disagreements", fontsize=8.5, transform=axes.transAxes, va="top", weight="bold")
    for place, name in enumerate(disagreements(points), 1):
        trees, gate = points[name]
        side = 1 if trees > gate else -1
        axes.annotate(str(place), (trees, gate), (side * 5, -side * 3), textcoords="offset points", fontsize=7.5,
                      ha="center", va="center", color=COLOURS[1])  # fmt: skip
        axes.text(1.06, 0.985 - 0.075 * place, f"{place}", fontsize=8, color=COLOURS[1], transform=axes.transAxes,
                  va="top")  # fmt: skip
        axes.text(1.13, 0.985 - 0.075 * place, f"{plain(name, 40)}: trees {trees:.2f}, gates {gate:.2f}", fontsize=8,
                  transform=axes.transAxes, va="top")  # fmt: skip


def stability_figure(rolling: Document, selected: Sequence[str]) -> Figure:
    """How often each feature is chosen over folds, skill per fold, and what the selection gains."""
    shares = dict(rolling["stability"]["frequency"])
    names = sorted((name for name in shares if shares[name] > 0), key=lambda name: (-shares[name], name))
    shown = names[:SHOWN_FREQUENCIES]
    high = max(3.0, 0.172 * max(len(shown), 1) + 0.2)
    figure, (often, skill, gain) = grid("Walk-forward: does the selection hold?", 3, 3, (2.2, high), 2.15, (0.95, 0),
                                        0.6, 1.25)  # fmt: skip
    # the middle panel takes what the others can do without
    low, tall = often.get_position().y0, often.get_position().height
    often.set_position((2.15 / WIDTH, low, 1.5 / WIDTH, tall))
    skill.set_position((4.4 / WIDTH, low, 3.1 / WIDTH, tall))
    gain.set_position((8.75 / WIDTH, low, 1.7 / WIDTH, tall))
    _draw_frequencies(often, {name: shares[name] for name in shown}, len(names), set(selected))
    _draw_skills(skill, rolling["folds"])
    _draw_gains(gain, rolling["gains"])
    return figure


def _draw_frequencies(axes: Axes, shares: Mapping[str, float], count: int, selected: set[str]) -> None:
    if not shares:
        undefined(axes, "", "no fold\nselects anything")
        return
    colours = [COLOURS[0] if name in selected else "#B8C9D6" for name in shares]
    axes.barh(range(len(shares)), hundredths(list(shares.values())), color=colours, height=0.7)
    name_rows(axes, list(shares))
    more = f", {len(shares)} of {count}" if count > len(shares) else ""
    tidy(axes, f"chosen in folds{more}", "% of folds; dark: in the final selection")
    axes.set_xlim(0, 103)
    few_ticks(axes.xaxis, 4)


def _draw_skills(axes: Axes, folds: Sequence[Document]) -> None:
    places = list(range(len(folds)))
    axes.axhline(0, color="#BBBBBB", lw=0.8)
    for shift, (key, text, colour, line) in zip((-0.08, 0.0, 0.08, 0.16), SKILLS, strict=True):
        here = [place + shift for place in places]
        axes.plot(here, hundredths([fold["skill"].get(key) for fold in folds]), ls=line, marker="o", ms=4, lw=1.3,
                  color=colour, label=text)  # fmt: skip
        if key == "random":
            low, high = (hundredths([fold["skill"].get(f"random_{end}") for fold in folds]) for end in ("low", "high"))
            axes.vlines(here, low, high, color=colour, lw=1.3, label="random range")
    tidy(axes, "skill on each fold's test rows", "", "skill, %")
    axes.set_xticks(places, [str(fold["first"])[:10] for fold in folds], rotation=25, ha="right")
    axes.set_xlim(-0.4, len(folds) - 0.6 + 0.1)
    few_ticks(axes.yaxis)
    handles, labels = axes.get_legend_handles_labels()
    kept = [(handle, text) for handle, text in zip(handles, labels, strict=True) if text != "random range"]
    axes.legend([handle for handle, _ in kept], [text for _, text in kept], fontsize=7.5, frameon=False, ncols=2,
                loc="upper center", bbox_to_anchor=(0.5, -0.55 / _inches(axes)))  # fmt: skip


def _inches(axes: Axes) -> float:
    return axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]


def _draw_gains(axes: Axes, gains: Document) -> None:
    known = [(text, gains[key]) for key, text in GAINS if gains.get(key)]
    draw_intervals(axes, [(text, found["value"], found["low"], found["high"]) for text, found in known])
    tidy(axes, "gain of the selection over", "skill, % points")


def draw_intervals(axes: Axes, rows: Sequence[tuple[str, float, float | None, float | None]]) -> None:
    """Shares as percentages, one row each, with an interval where there is one, and a line at nought."""
    axes.axvline(0, color="#BBBBBB", lw=0.8)
    whole = [(place, low, high) for place, (_, _, low, high) in enumerate(rows) if low is not None and high is not None]
    axes.hlines([place for place, _, _ in whole], hundredths([low for _, low, _ in whole]),
                hundredths([high for _, _, high in whole]), color=COLOURS[0], lw=1.4)  # fmt: skip
    axes.plot(hundredths([value for _, value, _, _ in rows]), range(len(rows)), "o", ms=5, color=COLOURS[0])
    name_rows(axes, [text for text, *_ in rows])
    few_ticks(axes.xaxis, 4)


def search_figure(found: Document) -> Figure:
    """Objective and size of every trial, and what the result is worth on the nested fold."""
    figure, (objective, size, nested) = grid(f"The search ({found['method']})", 3, 3, (2.35, 2.5), 0.75, (1.0, 0),
                                             0.6, 0.6)  # fmt: skip
    history = [entry for entry in found.get("history") or [] if entry.get("objective") is not None]
    trials = [entry["trial"] for entry in history]
    if not history:
        undefined(objective, "", "no trial")
        undefined(size, "", "no trial")
    else:
        _dots(objective, trials, hundredths([entry["objective"] for entry in history]), "a trial")
        objective.step(trials, hundredths([entry["best"] for entry in history]), where="post", color=COLOURS[1], lw=1.4,
                       label="best so far")  # fmt: skip
        tidy(objective, "objective: skill less penalty", "trial", "%")
        objective.legend(fontsize=7.5, frameon=False, loc="lower right")
        _dots(size, trials, [entry["size"] for entry in history], "")
        few_ticks(size.yaxis, whole=True)
        size.axhline(found["size"], color=COLOURS[1], lw=1.2, label=f"kept: {found['size']}")
        size.axhline(found["pool"], color=GREY, lw=1.2, ls="--", label=f"pool: {found['pool']}")
        size.set_ylim(0, 1.25 * max(found["pool"], 1))
        tidy(size, "features in the set", "trial")
        size.legend(fontsize=7.5, frameon=False, loc="upper right", ncols=2)
    _draw_nested(nested, found.get("nested"))
    return figure


def _dots(axes: Axes, x: Sequence[float], y: Sequence[float], text: str) -> None:
    axes.plot(x, y, ls="", marker="o", ms=3.4, color=COLOURS[0], alpha=0.75, label=text)
    few_ticks(axes.xaxis, whole=True)
    few_ticks(axes.yaxis)


def _draw_nested(axes: Axes, nested: Document | None) -> None:
    if not nested:
        undefined(axes, "", "no nested fold")
        return
    gain = nested.get("gain") or {}
    rows = [("skill, pool", nested.get("pool_skill"), None, None), ("skill, kept", nested.get("skill"), None, None),
            ("gain of it", gain.get("value"), gain.get("low"), gain.get("high"))]  # fmt: skip
    draw_intervals(axes, [row for row in rows if row[1] is not None])  # type: ignore[misc]
    tidy(axes, "on rows the search never saw", "skill, %")
