"""Pictures of the evidence: importances with their intervals, and which features say the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.select.canvas import WIDTH, few_ticks, grid, name_rows, plain, spread, tidy
from tftctl.select.evidence import Evidence
from tftctl.train.drawing import COLOURS, GREY, undefined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
Row = Mapping[str, Any]

SHOWN_FEATURES = 20
SHOWN_PROBES = 3
NAMED_CLUSTERS = 12
FEW_FEATURES = 25
_NAMES = 2.15
_MAP = 3.4
# state -> (edge, face, what it means)
STATES = {
    "above": (COLOURS[0], COLOURS[0], "above the threshold"),
    "cluster": (COLOURS[4], COLOURS[4], "only its cluster is above"),
    "below": (COLOURS[0], "white", "below"),
    "probe": (GREY, GREY, "null probe"),
}


def best_at(core: pl.DataFrame, period: str, most: int = SHOWN_FEATURES) -> list[str]:
    """The features that the core ranks highest at a period."""
    score = f"trees_{period}"
    if score not in core.columns:
        return []
    known = core.filter(pl.col(score).is_not_null())
    return known.sort([score, "rank"], descending=[True, False])["feature"].head(most).to_list()


def importance_figure(period: str, cells: Sequence[Evidence], core: pl.DataFrame) -> Figure:
    """One panel per target: importance, 95 % interval and threshold of the best features, and the largest probes."""
    names = best_at(core, period)
    count = len(cells)
    columns = max(math.ceil(count / math.ceil(count / 4)), 1)
    wide = min((WIDTH - _NAMES - 0.15) / columns - 0.22, 6.5)
    rows = [*names, *[f"largest probe {number}" for number in range(1, SHOWN_PROBES + 1)]]
    figure, panels = grid(
        f"Permutation importance at {period}", count, columns, (wide, 0.3 + 0.172 * len(rows)), _NAMES, (0.22, 0.8)
    )
    for place, (axes, cell) in enumerate(zip(panels, cells, strict=True)):
        name_rows(axes, rows, shown=place % columns == 0)
        _draw_importances(axes, cell, names)
    figure.legend(handles=_keys(), loc="upper center", bbox_to_anchor=(0.5, 1 - 0.26 / figure.get_figheight()),
                  ncols=len(STATES) + 2, fontsize=8, frameon=False)  # fmt: skip
    return figure


def _draw_importances(axes: Axes, cell: Evidence, names: Sequence[str]) -> None:
    known = {row["feature"]: row for row in cell.features.iter_rows(named=True)}
    probes = cell.table.filter(pl.col("kind") == "probe").sort("z", descending=True).head(SHOWN_PROBES)
    rows = [(place, known[name], state_of(known[name])) for place, name in enumerate(names) if name in known]
    rows += [(len(names) + place, row, "probe") for place, row in enumerate(probes.iter_rows(named=True))]
    axes.axvline(0, color="#BBBBBB", lw=0.8)
    axes.axhline(len(names) - 0.5, color="#DDDDDD", lw=0.8, ls=":")
    for state, (edge, face, _) in STATES.items():
        mine = [(place, row) for place, row, found in rows if found == state]
        y = [place for place, _ in mine]
        axes.hlines(y, _percent(mine, "low"), _percent(mine, "high"), color=edge, lw=1.2, label=f"interval {state}")
        axes.plot(_percent(mine, "importance"), y, "o", ms=4.2, mfc=face, mec=edge, mew=1, label=state)
    threshold = float(cell.facts["threshold_z"])
    axes.plot([100 * threshold * row["se"] for _, row, _ in rows], [place for place, _, _ in rows], ls="", marker="|",
              ms=7, mew=1.3, color="black", label="threshold")  # fmt: skip
    tidy(axes, plain(cell.target, int(12.5 * axes.get_position().width * WIDTH)), "importance, %")
    few_ticks(axes.xaxis, 4)


def state_of(row: Row) -> str:
    """How far a feature came in a cell."""
    return "above" if row["above"] else "cluster" if row["cluster_above"] else "below"


def _percent(rows: Iterable[tuple[int, Row]], column: str) -> list[float]:
    return [100 * row[column] for _, row in rows]


def _keys() -> list[Any]:
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], ls="", marker="o", ms=5, mfc=face, mec=edge, label=meaning)
        for edge, face, meaning in STATES.values()
    ]
    interval = Line2D([], [], lw=1.2, color=COLOURS[0], label="95 % interval")
    return [*keys, interval, Line2D([], [], ls="", marker="|", ms=8, mew=1.3, color="black", label="threshold")]


def cluster_figure(
    strengths: Mapping[str, tuple[tuple[str, ...], Array]],
    evidence: Sequence[Evidence],
    core: pl.DataFrame,
    selected: Sequence[str],
) -> Figure:
    """One map of |Spearman| per period, ordered so that what correlates stands together; clusters are framed."""
    rank = dict(zip(core["feature"].to_list(), core["rank"].to_list(), strict=True)) if core.height else {}
    columns = min(len(strengths), 2)
    figure, panels = grid("Which features say the same: |Spearman| of all pairs", len(strengths), columns,
                          (_MAP, _MAP), 0.35, (1.85, 0.5), 0.65, 0.7)  # fmt: skip
    for axes, (period, (names, strength)) in zip(panels, strengths.items(), strict=True):
        cells = [cell for cell in evidence if cell.period == period]
        numbers = dict(cells[0].features.select("feature", "cluster").iter_rows()) if cells else {}
        if names:
            _draw_map(axes, period, names, strength, numbers, rank, set(selected))
        else:
            undefined(axes, period, "no features")
    _colour_bar(figure)
    return figure


def _draw_map(
    axes: Axes,
    period: str,
    names: Sequence[str],
    strength: Array,
    numbers: Mapping[str, int | None],
    rank: Mapping[str, int],
    selected: set[str],
) -> None:
    order = leaf_order(strength)
    ordered = [names[place] for place in order]
    size = len(ordered)
    axes.imshow(strength[np.ix_(order, order)], cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    tidy(axes, f"{period}: {size} features")
    axes.set_xticks([])
    axes.set_yticks([])
    found = runs(ordered, numbers)
    for first, last in found:
        _frame(axes, first, last)
    places = [place for place, name in enumerate(ordered) if name in selected]
    axes.plot([-0.018] * len(places), places, ls="", marker=">", ms=3.2, color=COLOURS[1], label="selected",
              transform=axes.get_yaxis_transform(), clip_on=False)  # fmt: skip
    largest = sorted(sorted(found, key=lambda run: run[0] - run[1])[:NAMED_CLUSTERS])
    named = [((first + last) / 2, _representative(ordered[first : last + 1], rank)) for first, last in largest]
    if size <= FEW_FEATURES:
        named = [(place, plain(name, 24)) for place, name in enumerate(ordered)]
    _name_places(axes, named, size)


def leaf_order(strength: Array) -> list[int]:
    """Columns as the leaves of complete linkage on 1 - strength, neighbours as alike as may be."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(strength) < 2:
        return list(range(len(strength)))
    distance = np.clip(1 - strength, 0, None)
    np.fill_diagonal(distance, 0)
    pairs = squareform(distance, checks=False)
    return [int(leaf) for leaf in leaves_list(linkage(pairs, "complete", optimal_ordering=True))]


def runs(ordered: Sequence[str], numbers: Mapping[str, int | None]) -> list[tuple[int, int]]:
    """First and last place of neighbours that are of one cluster."""
    found = []
    for number, places in groupby(range(len(ordered)), key=lambda place: numbers.get(ordered[place])):
        members = list(places)
        if number is not None and len(members) > 1:
            found.append((members[0], members[-1]))
    return found


def _frame(axes: Axes, first: int, last: int) -> None:
    from matplotlib.patches import Rectangle

    side = last - first + 1
    axes.add_patch(Rectangle((first - 0.5, first - 0.5), side, side, fill=False, ec=COLOURS[1], lw=1.1))


def _representative(members: Sequence[str], rank: Mapping[str, int]) -> str:
    best = min(members, key=lambda name: rank.get(name, len(rank) + 1))
    return f"{plain(best, 22)} +{len(members) - 1}"


def _name_places(axes: Axes, named: Sequence[tuple[float, str]], size: int) -> None:
    """Names right of the map, each with a line to its place."""
    across = axes.get_yaxis_transform()
    places = spread([place for place, _ in named], size * 0.135 / _MAP, -0.5, size - 0.5)
    for (place, text), shown in zip(named, places, strict=True):
        axes.plot([1.005, 1.035], [place, shown], lw=0.6, color=GREY, transform=across, clip_on=False)
        axes.text(1.045, shown, text, fontsize=7, va="center", transform=across)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)


def _colour_bar(figure: Figure) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.lines import Line2D

    high = figure.get_figheight()
    bar = figure.add_axes((0.35 / WIDTH, 0.38 / high, _MAP / WIDTH, 0.12 / high))
    figure.colorbar(ScalarMappable(cmap="Blues"), cax=bar, orientation="horizontal")
    bar.tick_params(labelsize=7.5)
    keys = [Line2D([], [], ls="", marker=">", ms=5, color=COLOURS[1], label="selected"),
            Line2D([], [], ls="", marker="s", ms=9, mfc="none", mec=COLOURS[1], label="permuted together")]  # fmt: skip
    figure.legend(handles=keys, loc="lower left", bbox_to_anchor=((0.7 + _MAP) / WIDTH, 0.2 / high), ncols=2,
                  fontsize=8, frameon=False)  # fmt: skip
