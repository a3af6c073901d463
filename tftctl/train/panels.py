"""One panel of a picture: forecasts of one target at one period against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tftctl.train.drawing import COLOURS, GREY, colour, label, limits, ticks, undefined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tftctl.core.records import MetricInput

MANY_POINTS = 1500
BINS = 10
# forecasts that spread less than this share of the truth get a scale of their own: else they are one flat line
NARROW = 0.2
ONE_CLASS = "all labels are of one class"


def scatter(axes: Axes, period: str, scored: MetricInput, unit: str = "") -> None:
    """Predicted against true in the target's unit, the diagonal, and the means of ten groups of equal count.

    The groups are made by forecast. R² is of the standardised values, as in the metric.
    """
    truth, prediction = scored.truth_raw, scored.prediction_raw
    wide, own = limits([truth, prediction]), limits([prediction])
    of_truth = limits([truth])
    narrow = own[1] - own[0] < NARROW * (of_truth[1] - of_truth[0])
    across, up = (of_truth, own) if narrow else (wide, wide)
    _points(axes, truth, prediction, across, up)
    axes.plot(across, across, color=GREY, linewidth=1, linestyle="--", zorder=3, label="predicted = true")
    _group_means(axes, truth, prediction)
    axes.set(xlim=across, ylim=up)
    axes.set_box_aspect(1)
    scale = ", own scale" if narrow else ""
    text = f"{period}   R² {_r2(scored)}   n {truth.size:,}{_outside(truth, prediction, across, up)}"
    label(axes, text, _with_unit("true", unit), _with_unit("predicted", unit + scale if unit else scale.strip(", ")))
    axes.legend(loc="upper left", fontsize=7, framealpha=0.8)


def confusion(axes: Axes, period: str, scored: MetricInput) -> None:
    """Counts at the stored threshold, and their share of the true class."""
    import numpy as np

    called = (scored.prediction >= scored.threshold).astype(int)
    counts = np.bincount(scored.truth.astype(int) * 2 + called, minlength=4).reshape(2, 2)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros((2, 2)), where=rows > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        share = f"{shares[row, column]:.1%}" if rows[row, 0] else "no such label"
        ink = "white" if shares[row, column] > 0.6 else "black"
        text = f"{counts[row, column]:,}\n{share}"
        axes.text(column, row, text, ha="center", va="center", fontsize=11, color=ink)
    label(
        axes,
        f"{period}   n {scored.truth.size:,}",
        f"called 1 from {scored.threshold:.3g} on",
        "true (share of each row)",
    )
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 1])


def reliability(axes: Axes, period: str, scored: MetricInput) -> None:
    """Frequency against probability in groups of equal count, with 95 % intervals (Wilson 1927) and the counts."""
    import numpy as np

    truth, probability = scored.truth, scored.prediction
    groups = _equal_groups(probability)
    counts = np.array([rows.size for rows in groups])
    mean = np.array([probability[rows].mean() for rows in groups])
    hit = np.array([truth[rows].mean() for rows in groups])
    low, high = _wilson(hit, counts)
    ends = _within_unit(limits([mean, low, high], share=0.0))
    strip = axes.inset_axes((0, 0, 1, 0.18))
    _counts(strip, mean, counts, ends)
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", label="calibrated")
    bars = (np.maximum(hit - low, 0), np.maximum(high - hit, 0))
    axes.errorbar(mean, hit, bars, color=COLOURS[0], marker="o", markersize=4, linewidth=1.2, elinewidth=0.8,
                  label="observed, 95 %")  # fmt: skip
    axes.axhline(truth.mean(), color=COLOURS[1], linewidth=0.8, linestyle=":", label=f"base rate {truth.mean():.3g}")
    span = ends[1] - ends[0]
    # below lies the strip of counts, above the legend
    axes.set(xlim=ends, ylim=(ends[0] - 0.3 * span, ends[1] + 0.25 * span))
    sizes = f"{counts.min():,}" if counts.min() == counts.max() else f"{counts.min():,} to {counts.max():,}"
    groups_of = f"{counts.size} group{'' if counts.size == 1 else 's'} of {sizes}"
    label(axes, f"{period}   n {truth.size:,}, {groups_of}", "predicted probability", "observed frequency")
    axes.set_yticks(ticks(*ends))
    axes.legend(loc="upper left", fontsize=7, framealpha=0.8)


def roc(axes: Axes, periods: Mapping[str, MetricInput]) -> None:
    """One curve per period with its area; a period of one class is named and has none."""
    from sklearn.metrics import roc_auc_score, roc_curve

    defined = {period: rows for period, rows in periods.items() if 0 < rows.truth.mean() < 1}
    if not defined:
        return undefined(axes, ", ".join(periods), ONE_CLASS)
    axes.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle="--", label="no skill   AUC 0.5")
    for place, (period, rows) in enumerate(periods.items()):
        size = f"n {rows.truth.size:,}"
        if period not in defined:
            axes.plot([], [], color=colour(place), label=f"{period}   {ONE_CLASS}   {size}")
            continue
        false, true, _ = roc_curve(rows.truth, rows.prediction)
        area = roc_auc_score(rows.truth, rows.prediction)
        axes.plot(false, true, color=colour(place), linewidth=1.5, label=f"{period}   AUC {area:.4f}   {size}")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    label(axes, "", "false positive rate", "true positive rate")
    axes.legend(loc="lower right", fontsize=8)
    return None


def _points(axes: Axes, truth: Any, prediction: Any, across: tuple[float, float], up: tuple[float, float]) -> None:
    if truth.size <= MANY_POINTS:
        axes.scatter(truth, prediction, s=9, alpha=0.4, color=COLOURS[0], linewidths=0)
        return
    inside = (truth >= across[0]) & (truth <= across[1]) & (prediction >= up[0]) & (prediction <= up[1])
    drawn = axes.hexbin(truth[inside], prediction[inside], gridsize=36, extent=(*across, *up), mincnt=1, bins="log",
                        cmap="Blues", linewidths=0.1)  # fmt: skip
    bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((0.68, 0.1, 0.28, 0.025)), orientation="horizontal")
    bar.ax.set_title("origins", fontsize=7, pad=2)
    bar.ax.tick_params(labelsize=6, pad=1)
    bar.ax.minorticks_off()


def _group_means(axes: Axes, truth: Any, prediction: Any) -> None:
    if truth.size < 10 * BINS:
        return
    groups = _equal_groups(prediction)
    points = [(truth[rows].mean(), prediction[rows].mean()) for rows in groups]
    axes.plot(*zip(*points, strict=True), color=COLOURS[1], marker="o", markersize=4, linewidth=1,
              label=f"means of {len(groups)} groups by forecast" if len(groups) > 1 else "mean")  # fmt: skip


def _outside(truth: Any, prediction: Any, across: tuple[float, float], up: tuple[float, float]) -> str:
    beyond = (truth < across[0]) | (truth > across[1]) | (prediction < up[0]) | (prediction > up[1])
    return f" ({int(beyond.sum()):,} not shown)" if beyond.any() else ""


def _r2(scored: MetricInput) -> str:
    """1 - SSE/SST; undefined where the truth does not vary."""
    spread = float(((scored.truth - scored.truth.mean()) ** 2).sum())
    missed = float(((scored.truth - scored.prediction) ** 2).sum())
    return f"{1 - missed / spread:.4f}" if spread > 0 else "undefined"


def _equal_groups(values: Any) -> list[Any]:
    """Row numbers in at most ten groups of about equal count by value; equal values stay together."""
    import numpy as np

    order = np.argsort(values, kind="stable")
    ranked = values[order]
    cuts = np.unique(np.searchsorted(ranked, ranked[np.arange(1, BINS) * values.size // BINS]))
    return [rows for rows in np.split(order, cuts) if rows.size]


def _wilson(share: Any, counts: Any) -> tuple[Any, Any]:
    """Ends of the 95 % score interval of a binomial share (Wilson 1927)."""
    import numpy as np

    z = 1.959963984540054
    middle = (share + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = z / (1 + z**2 / counts) * np.sqrt(share * (1 - share) / counts + z**2 / (4 * counts**2))
    return middle - half, middle + half


def _within_unit(ends: tuple[float, float]) -> tuple[float, float]:
    return max(ends[0], -0.02), min(ends[1], 1.02)


def _counts(strip: Axes, mean: Any, counts: Any, ends: tuple[float, float]) -> None:
    """Bars of the groups' counts at their probabilities, along the foot of the panel."""
    strip.bar(mean, counts, width=0.012 * (ends[1] - ends[0]), color=GREY)
    strip.set(xlim=ends, ylim=(0, counts.max() * 1.15), xticks=[], yticks=[])
    strip.set_ylabel("count", fontsize=7, color=GREY)
    strip.set_facecolor("none")
    strip.yaxis.set_label_position("right")


def _with_unit(word: str, unit: str) -> str:
    return f"{word} ({unit})" if unit else word
