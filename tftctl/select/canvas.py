"""Where the pictures of a selection stand, and what may be written in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# inches; what the page shows at full width
WIDTH = 10.6
PICTURE_DPI = 160
LONGEST_NAME = 30
# beyond it the font of the figures has few glyphs
_LAST_GLYPH = 0x2BFF


def plain(text: str, most: int = LONGEST_NAME) -> str:
    """A name as it may stand in a figure: no mathematics, one line, shortened in its middle."""
    shown = "".join(mark if mark.isprintable() and ord(mark) <= _LAST_GLYPH else "?" for mark in text)
    if len(shown) > most:
        tail = most // 3
        shown = f"{shown[: most - tail - 1]}…{shown[-tail:]}"
    return shown.replace("$", r"\$")


def grid(
    title: str,
    count: int,
    columns: int,
    size: tuple[float, float],
    left: float = 0.75,
    gap: tuple[float, float] = (0.3, 0.75),
    head: float = 0.75,
    foot: float = 0.55,
) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page with `count` panels of `size` (width, height); all in inches.

    `left` is the room before the first column, `gap` the room between columns and rows.
    """
    from tftctl.train.drawing import new_figure

    rows = math.ceil(count / columns)
    high = head + rows * size[1] + (rows - 1) * gap[1] + foot
    figure = new_figure(title, WIDTH, high)
    figure.set_dpi(PICTURE_DPI)
    places = [
        (left + (place % columns) * (size[0] + gap[0]), head + (place // columns) * (size[1] + gap[1]))
        for place in range(count)
    ]
    return figure, [
        figure.add_axes((x / WIDTH, 1 - (y + size[1]) / high, size[0] / WIDTH, size[1] / high)) for x, y in places
    ]


def name_rows(axes: Axes, names: Sequence[str], *, shown: bool = True) -> None:
    """One row per name, the first on top."""
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels([plain(name) for name in names] if shown else [], fontsize=7.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def tidy(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Light frame, small letters."""
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.tick_params(axis="y", labelsize=7.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#BBBBBB")


def few_ticks(axis: Any, most: int = 5, *, whole: bool = False) -> None:
    """About so many round numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=whole))


def hundredths(values: Sequence[Any]) -> list[float]:
    """Shares as percentages; NaN for None."""
    return [float("nan") if value is None else 100 * float(value) for value in values]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending places moved as little as it takes to stand `gap` apart, from `low` to `high` where they fit."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap if moved else low))
    limit = high
    for number in range(len(moved) - 1, -1, -1):
        moved[number] = min(moved[number], limit)
        limit = moved[number] - gap
    return moved
