"""The pictures of a selection, in the order in which the page shows them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tftctl.core.periods import sort_periods
from tftctl.select.evidence import Evidence
from tftctl.select.evidence_pictures import cluster_figure, importance_figure
from tftctl.select.trust_pictures import agreement_figure, search_figure, stability_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tftctl.select.page import Findings

# beyond it a figure is too high to be looked at
MOST_PANELS = 12
_PALETTE = 128


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """`name` is that of a file, `topic` that of the section it belongs to, `alt` what it shows in words."""

    name: str
    topic: str
    figure: Figure
    alt: str


def draw_pictures(findings: Findings) -> list[Picture]:
    """All pictures for which there is something to show."""
    document = findings.document
    selected: Sequence[str] = document.get("selected") or []
    pictures = [*_importances(findings), *_clusters(findings, selected)]
    if rolling := document.get("rolling"):
        figure = stability_figure(rolling, selected)
        pictures.append(Picture("stability", "stability", figure, "Selection frequency and skill over folds"))
    if findings.gates is not None and "gate" in findings.core.columns:
        agreement: Mapping[str, Any] = (document.get("core") or {}).get("agreement") or {}
        figure = agreement_figure(findings.core, findings.gates, agreement, selected)
        pictures.append(Picture("trees-gates", "gates", figure, "Score of the trees against score of the gates"))
    if search := document.get("optimize"):
        figure = search_figure(search)
        pictures.append(Picture("search", "search", figure, "Objective and size of the search over its trials"))
    return pictures


def _importances(findings: Findings) -> list[Picture]:
    cells: dict[str, list[Evidence]] = {}
    for cell in findings.evidence:
        cells.setdefault(cell.period, []).append(cell)
    pictures = []
    for period in _in_order(cells):
        for start in range(0, len(cells[period]), MOST_PANELS):
            part = f"-{start // MOST_PANELS + 1}" if len(cells[period]) > MOST_PANELS else ""
            figure = importance_figure(period, cells[period][start : start + MOST_PANELS], findings.core)
            alt = f"Importances at {period} with their intervals and thresholds"
            pictures.append(Picture(f"importances-{period}{part}", "importances", figure, alt))
    return pictures


def _clusters(findings: Findings, selected: Sequence[str]) -> list[Picture]:
    known = {period: findings.strengths[period] for period in _in_order(findings.strengths)}
    if not known:
        return []
    figure = cluster_figure(known, findings.evidence, findings.core, selected)
    return [Picture("clusters", "clusters", figure, f"Correlations of the features at {', '.join(known)}")]


def _in_order(periods: Mapping[str, Any]) -> list[str]:
    return sort_periods(list(periods))


def png(figure: Figure) -> bytes:
    """A figure as a PNG file with few colours: these pictures have few."""
    from PIL import Image

    from tftctl.train.drawing import pixels

    stream = io.BytesIO()
    image = Image.fromarray(pixels(figure))
    # maximum coverage keeps colours that few pixels have, like that of a single point
    image.quantize(_PALETTE, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(stream, "png")
    return stream.getvalue()
