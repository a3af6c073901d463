"""`tftctl runs plot-weights`: what each target weighs in the loss, over epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.errors import DataError
from tftctl.core.names import TARGET_PREFIX
from tftctl.core.workspace import Workspace
from tftctl.train.curves import number, read_rows
from tftctl.train.rundir import Run
from tftctl.train.runs.output import picture_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANUAL, _LEARNED = "weight_", "log_var_"


@dataclass(frozen=True, slots=True)
class TargetWeights:
    """Weights of one target per epoch: w as the stage plan gives it, and w exp(-s), by which its loss counts (M1).

    None where an epoch has no such target.
    """

    target: str
    manual: list[float | None]
    effective: list[float | None]


@dataclass(frozen=True, slots=True)
class StageStart:
    """A stage and its first epoch, from 0."""

    stage: str
    epoch: int


@dataclass(frozen=True, slots=True)
class WeightCurves:
    """Weights over the epochs of a run, and the picture of them."""

    run: str
    picture: Path
    epochs: list[int]
    targets: list[TargetWeights]
    stages: list[StageStart]


def plot_weights(workspace: Workspace, run: Run, output: Path | None = None) -> WeightCurves:
    """Draw the weights that a run logged. Raises DataError when it logged none."""
    path = picture_path(workspace, output, f"{run.name}-weights")
    rows = read_rows(run)
    names = _targets(rows)
    if not names:
        why = "has no weights in it" if rows else "has no finished epoch in it"
        raise DataError(f"{run.metrics} {why}", "every epoch of a training logs weight_<target>: tftctl train")
    epochs = [int(number(row.get("epoch")) or 0) for row in rows]
    targets = [_target(name, rows) for name in names]
    stages = _stages(rows, epochs)
    return WeightCurves(run.name, _draw(run.name, epochs, targets, stages, path), epochs, targets, stages)


def _targets(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    marked = _MANUAL + TARGET_PREFIX
    return list(dict.fromkeys(key.removeprefix(_MANUAL) for row in rows for key in row if key.startswith(marked)))


def _target(name: str, rows: Sequence[Mapping[str, Any]]) -> TargetWeights:
    manual = [number(row.get(_MANUAL + name)) for row in rows]
    learned = [number(row.get(_LEARNED + name, 0.0)) for row in rows]
    effective = [
        None if weight is None or s is None else weight * math.exp(-s)
        for weight, s in zip(manual, learned, strict=True)
    ]
    return TargetWeights(name, manual, effective)


def _stages(rows: Sequence[Mapping[str, Any]], epochs: Sequence[int]) -> list[StageStart]:
    """Every change of the stage's name."""
    starts: list[StageStart] = []
    for row, epoch in zip(rows, epochs, strict=True):
        name = row.get("stage")
        if name and (not starts or starts[-1].stage != name):
            starts.append(StageStart(str(name), epoch))
    return starts


def _draw(
    run: str, epochs: Sequence[int], targets: Sequence[TargetWeights], stages: Sequence[StageStart], path: Path
) -> Path:
    from tftctl.train.drawing import label, new_figure, save_png

    names = math.ceil(len(targets) / 3)
    figure = new_figure(f"{run}, weights of the targets in the loss", 9.5, 7.2 + 0.22 * names)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.91, bottom=(0.75 + 0.22 * names) / figure.get_figheight())
    above = figure.add_subplot(2, 1, 1)
    below = figure.add_subplot(2, 1, 2, sharex=above)
    starts = [start.epoch for start in stages]
    _lines(above, epochs, starts, [(target.target, target.manual) for target in targets])
    _lines(below, epochs, starts, [(target.target, target.effective) for target in targets])
    for panel, title in ((above, "weights of the stage plan, w"), (below, "with what is learned, w exp(-s)")):
        label(panel, title, "epoch" if panel is below else "", "weight")
        panel.grid(alpha=0.25, linewidth=0.6)
        panel.set_xlim(epochs[0] + 0.5, epochs[-1] + 1.5)
        top = 1.2 * panel.get_ylim()[1]
        panel.set_ylim(-0.02 * top, top)  # the stages' names stand above the curves
        _boundaries(panel, stages, named=panel is above)
    figure.legend(handles=above.lines[: len(targets)], loc="lower center", ncols=3, fontsize=9, frameon=False)
    return save_png(figure, path)


def _lines(
    panel: Axes, epochs: Sequence[int], starts: Sequence[int], curves: Sequence[tuple[str, Sequence[float | None]]]
) -> None:
    """One line per target, broken where a stage starts. Epochs are shown from 1, as they are said while training."""
    from tftctl.train.drawing import COLOURS, colour

    for place, (name, values) in enumerate(curves):
        points: list[tuple[float, float]] = []
        for epoch, value in zip(epochs, values, strict=True):
            points += [(epoch + 0.5, math.nan)] if epoch in starts else []
            points.append((epoch + 1, math.nan if value is None else value))
        dashes = ("-", "--", ":", "-.")[place // len(COLOURS) % 4]
        panel.plot(*zip(*points, strict=True), color=colour(place), linewidth=1.6, linestyle=dashes,
                   marker="." if len(epochs) < 40 else "", label=name)  # fmt: skip


def _boundaries(panel: Axes, stages: Sequence[StageStart], *, named: bool) -> None:
    """A line before the first epoch of every stage but the first, and the stages' names along the top."""
    from tftctl.train.drawing import GREY

    for place, start in enumerate(stages):
        if place:
            panel.axvline(start.epoch + 0.5, color=GREY, linewidth=0.9, linestyle="--")
        if named:
            # two heights, so that the names of short stages do not run into each other
            at = (start.epoch + 0.5, 0.97 - 0.07 * (place % 2))
            panel.annotate(start.stage, at, (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
                           fontsize=8, color=GREY, va="top", annotation_clip=False)  # fmt: skip
