"""`tftctl runs compare`: curves of several runs side by side, and their best and last values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.errors import UsageError, choices
from tftctl.core.workspace import Workspace
from tftctl.train.runs.events import Curves, read_curves
from tftctl.train.runs.output import picture_path, stamped
from tftctl.train.runs.summary import COMPOSITE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

USUAL = ("train_loss", "val_loss", COMPOSITE, "lr")
MOST_PANELS = 24


@dataclass(frozen=True, slots=True)
class CurveRow:
    """One curve: its best and its last value and their steps. None for the best where no direction is known."""

    key: str
    run: str
    best: float | None
    best_step: int | None
    last: float
    last_step: int
    points: int


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """The picture and its numbers, by key and then in the order in which the runs were named."""

    picture: Path
    runs: list[str]
    values: list[CurveRow]


def compare_runs(
    workspace: Workspace,
    names: Sequence[str],
    directions: Mapping[str, str],
    keys: str | None = None,
    output: Path | None = None,
) -> CurveComparison:
    """Draw the curves of runs, read from their event files, and tabulate them.

    `names` are runs, or folders with event files; `keys` globs with commas between them, by default losses, composite
    score and lr; `directions` says of a metric's name which end of it is better ("higher", "lower"). Raises UsageError
    for fewer than two different runs and for keys that none of them has, DataError for a run without curves.
    """
    path = picture_path(workspace, output, stamped("compare"))
    runs = _read(workspace, names)
    chosen = _choose(dict.fromkeys(key for run in runs for key in run.scalars), keys)
    better = {key: direction_of(key, directions) for key in chosen}
    rows = [_row(key, run, better[key]) for key in chosen for run in runs if key in run.scalars]
    return CurveComparison(_draw(runs, chosen, better, path), [run.name for run in runs], rows)


def _read(workspace: Workspace, names: Sequence[str]) -> list[Curves]:
    """The curves of different runs; two of one name are told apart by their folders."""
    runs = list({run.folder: run for run in (read_curves(workspace, name) for name in names)}.values())
    if len(runs) < 2:
        raise UsageError("runs compare needs two different runs", "tftctl runs list shows what there is")
    shared = [run.name for run in runs]
    return [run if shared.count(run.name) == 1 else replace(run, name=str(run.folder)) for run in runs]


def direction_of(key: str, directions: Mapping[str, str]) -> str | None:
    """Which end of a logged value is better: "higher" or "lower"; None where nobody says."""
    if key == COMPOSITE:
        return "higher"
    if key.split("@")[0].endswith("loss") or key.startswith("val_loss"):
        return "lower"
    named = [name for name in directions if key.split("@")[0].endswith(f"_{name}")]
    return directions[max(named, key=len)] if named else None


def _choose(there: Iterable[str], keys: str | None) -> list[str]:
    known = sorted(there)
    if keys is None:
        usual = [key for key in USUAL if key in known]
        return usual or [key for key in known if key != "epoch"][:MOST_PANELS]
    patterns = [text.strip() for text in keys.split(",") if text.strip()]
    for pattern in patterns:
        if not any(fnmatchcase(key, pattern) for key in known):
            raise UsageError(f"--keys {pattern}: none of these runs has such a curve", choices(pattern, known, "keys"))
    chosen = [key for key in known if any(fnmatchcase(key, pattern) for pattern in patterns)]
    if not chosen or len(chosen) > MOST_PANELS:
        raise UsageError(f"--keys {keys}: {len(chosen)} curves; a picture holds 1 to {MOST_PANELS}", "narrow the glob")
    return chosen


def _row(key: str, run: Curves, better: str | None) -> CurveRow:
    points = run.scalars[key]
    best = _best(points, better)
    return CurveRow(key, run.name, best and best[1], best and best[0], points[-1][1], points[-1][0], len(points))


def _best(points: Sequence[tuple[int, float]], better: str | None) -> tuple[int, float] | None:
    """(step, value), the earliest of equal ones."""
    if better is None:
        return None
    sign = 1 if better == "higher" else -1
    return max(points, key=lambda point: sign * point[1])


def _draw(runs: Sequence[Curves], keys: Sequence[str], better: Mapping[str, str | None], path: Path) -> Path:
    from tftctl.train.drawing import colour, panels, save_png

    columns = max(1, math.floor(4.6 * min(len(keys), 3) / 3))
    foot = 0.15 + 0.22 * math.ceil(len(runs) / columns)
    figure, axes = panels("circles mark the best value", len(keys), 4.6, 3.4, foot)
    for panel, key in zip(axes, keys, strict=True):
        for place, run in enumerate(runs):
            _curve(panel, run.scalars.get(key, []), colour(place), better[key])
        _finish(panel, key, [value for run in runs for _, value in run.scalars.get(key, [])])
    handles = [axes[0].plot([], [], color=colour(place), label=run.name)[0] for place, run in enumerate(runs)]
    figure.legend(handles=handles, loc="lower center", ncols=columns, fontsize=9, frameon=False)
    return save_png(figure, path)


def _curve(panel: Axes, points: Sequence[tuple[int, float]], ink: str, better: str | None) -> None:
    if not points:
        return
    steps, values = zip(*points, strict=True)
    few = len(points) < 40
    panel.plot(steps, values, color=ink, linewidth=1.4, marker="." if few else "", markersize=4)
    best = _best(points, better)
    if best is not None:
        panel.plot(*best, color=ink, marker="o", markersize=7, fillstyle="none")


def _finish(panel: Axes, key: str, values: Sequence[float]) -> None:
    """A logarithmic scale where the values span orders of magnitude, as losses of a bad start do."""
    from tftctl.train.drawing import label

    label(panel, key, "step", "")
    panel.grid(alpha=0.25, linewidth=0.6)
    if min(values) > 0 and max(values) > 50 * min(values):
        panel.set_yscale("log")
