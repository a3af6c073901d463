"""Figures without a display: made by hand on the Agg canvas, so that nothing stays when they are dropped."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with any colour vision; the yellow is left out, it is faint on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8A8A8A"
PANEL = 4.2
LEAST_WIDTH = 5.2
MOST_COLUMNS = 3
# of a panel, in inches: left for the ticks of small numbers, right, bottom, top for its title
MARGINS = (0.95, 0.2, 0.55, 0.35)
DPI = 110
STEPS = [1, 2, 2.5, 5, 10]


def new_figure(title: str, width: float, height: float) -> Figure:
    """An empty figure on the Agg canvas; `width` and `height` in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, y=1 - 0.08 / height, va="top")
    return figure


def panels(
    title: str, count: int, width: float = PANEL, height: float = PANEL, foot: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A figure of panels, at most three in a row, four as a square.

    `width` and `height` of a panel with all that is written around it, and `foot`, room below them all, are in inches.
    Places are fixed: matplotlib's own layouts draw everything twice.
    """
    columns = 2 if count == 4 else min(count, MOST_COLUMNS)
    rows = math.ceil(count / columns)
    head = 0.12 + 0.2 * (title.count("\n") + 1 if title else 0)
    wide, high = max(width * columns, LEAST_WIDTH), height * rows + head + foot
    figure = new_figure(title, wide, high)
    left, right, bottom, top = MARGINS
    size = ((width - left - right) / wide, (height - bottom - top) / high)
    indent = (wide - width * columns) / 2 + left
    places = [
        ((indent + width * (place % columns)) / wide, (foot + bottom + height * (rows - 1 - place // columns)) / high)
        for place in range(count)
    ]
    return figure, [figure.add_axes((*place, *size)) for place in places]


def colour(place: int) -> str:
    """The colour of the n-th line; they begin again after the last."""
    return COLOURS[place % len(COLOURS)]


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Title and names of both axes, and few ticks."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers from low to high."""
    from matplotlib.ticker import MaxNLocator

    return [float(tick) for tick in MaxNLocator(5, steps=STEPS).tick_values(low, high) if low <= tick <= high]


def undefined(axes: Axes, title: str, why: str) -> None:
    """A panel that says why there is nothing to see."""
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=GREY, wrap=True)


def save_png(figure: Figure, path: Path) -> Path:
    """Write a figure; the file is there whole or not at all. Makes its folder."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        Image.fromarray(pixels(figure)).save(unfinished, format="png", dpi=(DPI, DPI))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def pixels(figure: Figure) -> Any:
    """The figure as uint8 (height, width, 3), drawn once however often it is asked for."""
    import numpy as np

    canvas: Any = figure.canvas
    if figure.stale:
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def limits(values: Sequence[Any], margin: float = 0.05, share: float = 0.005) -> tuple[float, float]:
    """From the lowest to the highest of several arrays' inner quantiles, with a margin; never of no width."""
    import numpy as np

    ends = [np.quantile(array, (share, 1 - share)) for array in values]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    room = margin * (high - low) or 0.05 * abs(high) or 0.05
    return float(low - room), float(high + room)
