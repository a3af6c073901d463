"""Pictures of a network's forecasts: how they lie to the truth, per target and period."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.periods import sort_periods

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tftctl.core.records import MetricInput
    from tftctl.train.scores import Forecasts

Draw = Callable[["Axes", str, "MetricInput"], None]

NO_ROWS = "no origin has a label here"


def draw_forecasts(
    forecasts: Iterable[Forecasts], title: str, units: Mapping[str, str] | None = None
) -> dict[str, Figure]:
    """Figures by `<target>-<what>`: scatter for regression; confusion, reliability and roc for classification.

    `units` names the unit of a target. What cannot be drawn (no rows, one class, a network that has diverged) is a
    panel that says so.
    """
    made: dict[str, Figure] = {}
    for entry in forecasts:
        draw = _binary if entry.kind == "binary" else _regression
        made |= draw(entry, title, (units or {}).get(entry.target, ""))
    return made


def save_pictures(figures: Mapping[str, Figure], folder: Path, epoch: int) -> list[Path]:
    """Write every figure as `folder/epoch=NNN-<target>-<what>.png`; the paths."""
    from tftctl.train.drawing import save_png

    return [save_png(figure, folder / f"epoch={epoch:03d}-{name}.png") for name, figure in figures.items()]


def add_pictures(writer: Any, figures: Mapping[str, Figure], step: int) -> None:
    """Show every figure under TensorBoard's images as `<target>/<what>`; `writer` is a SummaryWriter.

    The pixels are handed over, because `add_figure` would load pyplot.
    """
    from tftctl.train.drawing import pixels

    for name, figure in figures.items():
        writer.add_image("/".join(name.rsplit("-", 1)), pixels(figure), step, dataformats="HWC")


def _regression(entry: Forecasts, title: str, unit: str) -> dict[str, Figure]:
    from functools import partial

    from tftctl.train.panels import scatter

    return {f"{entry.target}-scatter": _per_period(entry, f"{entry.target}\n{title}", partial(scatter, unit=unit))}


def _binary(entry: Forecasts, title: str, unit: str) -> dict[str, Figure]:
    from tftctl.train.panels import confusion, reliability, roc

    heading = f"{entry.target}\n{title}"
    return {
        f"{entry.target}-confusion": _per_period(entry, heading, confusion),
        f"{entry.target}-reliability": _per_period(entry, heading, reliability),
        f"{entry.target}-roc": _together(entry, heading, roc),
    }


def _per_period(entry: Forecasts, title: str, draw: Draw) -> Figure:
    """One panel per period."""
    from tftctl.train.drawing import panels, undefined

    periods = _periods(entry)
    figure, axes = panels(title, max(len(periods), 1))
    if not periods:
        undefined(axes[0], "", NO_ROWS)
    for panel, period in zip(axes, periods, strict=False):
        scored = entry.at(period)
        why = diverged(scored)
        if why:
            undefined(panel, period, why)
        else:
            draw(panel, period, scored)
    return figure


def _together(entry: Forecasts, title: str, draw: Callable[[Axes, Mapping[str, MetricInput]], None]) -> Figure:
    """All periods in one panel."""
    from tftctl.train.drawing import PANEL, panels, undefined

    periods = _periods(entry)
    figure, (panel,) = panels(title, 1, 1.3 * PANEL, 1.3 * PANEL)
    scored = {period: entry.at(period) for period in periods}
    whole = {period: rows for period, rows in scored.items() if not diverged(rows)}
    if not whole:
        undefined(panel, "", diverged(scored[periods[0]]) if periods else NO_ROWS)
    else:
        draw(panel, whole)
    return figure


def _periods(entry: Forecasts) -> list[str]:
    return sort_periods({str(period) for period in entry.period})


def diverged(scored: MetricInput) -> str:
    """What to say of forecasts that are not all finite; empty where they are."""
    import numpy as np

    wrong = int((~np.isfinite(scored.prediction + scored.prediction_raw)).sum())
    return f"the network has diverged:\n{wrong:,} of {scored.truth.size:,}\nforecasts are not finite" if wrong else ""
