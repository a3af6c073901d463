"""Pictures of forecasts: what stands in them is counted again by hand, and nothing undefined is an exception."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from tftctl.train.panels import _equal_groups, _wilson
from tftctl.train.pictures import add_pictures, draw_forecasts, save_pictures
from tftctl.train.scores import Forecasts

RNG = np.random.default_rng(5)


def forecasts(kind: str, sizes: dict[str, int], name: str = "target_x") -> Forecasts:
    """Noisy forecasts of a target, per period as many as `sizes` says; the unit is a thousandth of the scale."""
    period = np.repeat(list(sizes), list(sizes.values()))
    hidden = RNG.standard_normal(period.size)
    binary = kind == "binary"
    truth = (hidden + RNG.standard_normal(period.size) > 0).astype(float) if binary else hidden
    prediction = 1 / (1 + np.exp(-hidden)) if binary else 0.5 * hidden + 0.1 * RNG.standard_normal(period.size)
    unit = 1.0 if binary else 1e-3
    zero = np.zeros(period.size, np.int64)
    return Forecasts(
        target=name, kind=kind, symbol=np.repeat("S", period.size), period=period, timestamp=zero, available_at=zero,
        label_end=zero, prediction=prediction, truth=truth, prediction_raw=prediction * unit, truth_raw=truth * unit,
        threshold=dict.fromkeys(sizes, 0.4),
    )  # fmt: skip


def texts(axes: Any) -> list[str]:
    return [item.get_text() for item in axes.texts]


def legend(axes: Any) -> list[str]:
    return [item.get_text() for item in axes.get_legend().get_texts()]


def test_every_kind_of_target_has_its_figures() -> None:
    entries = [forecasts("binary", {"1h": 50}, "target_up"), forecasts("regression", {"1h": 50, "4h": 20}, "target_r")]
    figures = draw_forecasts(entries, "run, epoch 5")
    names = ["target_up-confusion", "target_up-reliability", "target_up-roc", "target_r-scatter"]
    assert list(figures) == names
    assert [figure.get_suptitle() for figure in figures.values()] == [
        *["target_up\nrun, epoch 5"] * 3, "target_r\nrun, epoch 5",
    ]  # fmt: skip


def test_periods_stand_from_short_to_long() -> None:
    figure = draw_forecasts([forecasts("regression", {"1d": 30, "4h": 30, "15m": 30})], "")["target_x-scatter"]
    assert [axes.get_title().split()[0] for axes in figure.axes] == ["15m", "4h", "1d"]


@pytest.mark.parametrize("size", [40, 4000])
def test_a_scatter_says_r2_count_and_unit(size: int) -> None:
    """R² as the metric has it: of the standardised values, 1 - SSE/SST."""
    entry = forecasts("regression", {"1h": size})
    axes = draw_forecasts([entry], "", {"target_x": "log return"})["target_x-scatter"].axes[0]
    mean = sum(entry.truth) / size
    missed = sum((t - p) ** 2 for t, p in zip(entry.truth, entry.prediction, strict=True))
    r2 = 1 - missed / sum((t - mean) ** 2 for t in entry.truth)
    assert axes.get_title().startswith(f"1h   R² {r2:.4f}   n {size:,}")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true (log return)", "predicted (log return)")
    low, high = axes.get_xlim()
    assert axes.get_ylim() == (low, high)
    outside = sum(not low <= v <= high or not low <= p <= high
                  for v, p in zip(entry.truth_raw, entry.prediction_raw, strict=True))  # fmt: skip
    assert (f"({outside} not shown)" in axes.get_title()) == (outside > 0)


def test_outliers_do_not_squeeze_the_others() -> None:
    entry = forecasts("regression", {"1h": 1000})
    entry.truth_raw[:2] = 1e6
    axes = draw_forecasts([entry], "")["target_x-scatter"].axes[0]
    assert axes.get_xlim()[1] < 0.01
    assert "not shown" in axes.get_title()


def test_flat_forecasts_get_a_scale_of_their_own_and_say_so() -> None:
    """A network of little skill forecasts close to the mean: on equal axes that is a line."""
    entry = forecasts("regression", {"1h": 500})
    entry.prediction_raw[:] *= 1e-3
    axes = draw_forecasts([entry], "")["target_x-scatter"].axes[0]
    assert axes.get_ylabel() == "predicted (own scale)"
    assert axes.get_ylim()[1] < axes.get_xlim()[1] / 100


def test_a_confusion_matrix_is_counted_at_the_stored_threshold() -> None:
    entry = forecasts("binary", {"1h": 300, "1d": 40})
    axes = draw_forecasts([entry], "")["target_x-confusion"].axes
    for panel, period in zip(axes, ("1h", "1d"), strict=True):
        counts = {(row, column): 0 for row in (0, 1) for column in (0, 1)}
        for where, p, t in zip(entry.period, entry.prediction, entry.truth, strict=True):
            if where == period:
                counts[int(t), int(p >= 0.4)] += 1
        wanted = [
            f"{counts[row, column]}\n{counts[row, column] / (counts[row, 0] + counts[row, 1]):.1%}"
            for row in (0, 1)
            for column in (0, 1)
        ]
        assert texts(panel) == wanted
        assert "0.4" in panel.get_xlabel()


def test_the_area_under_the_curve_is_the_share_of_ordered_pairs() -> None:
    """Mann and Whitney: ROC AUC = P(forecast of a positive > that of a negative), ties half."""
    entry = forecasts("binary", {"1h": 80, "1d": 30})
    entry.prediction[:] = np.round(entry.prediction, 1)
    lines = legend(draw_forecasts([entry], "")["target_x-roc"].axes[0])
    for period, line in zip(("1h", "1d"), lines[1:], strict=True):
        here = entry.period == period
        rows = list(zip(entry.prediction[here], entry.truth[here], strict=True))
        pairs = [(p > q) + 0.5 * (p == q) for p, t in rows if t == 1 for q, u in rows if u == 0]
        assert line == f"{period}   AUC {sum(pairs) / len(pairs):.4f}   n {here.sum()}"


def test_a_reliability_curve_goes_through_frequencies_of_equal_groups() -> None:
    entry = forecasts("binary", {"1h": 200})
    axes = draw_forecasts([entry], "")["target_x-reliability"].axes[0]
    ranked = sorted(zip(entry.prediction, entry.truth, strict=True))
    groups = [ranked[start : start + 20] for start in range(0, 200, 20)]
    (curve,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert curve.get_xdata() == pytest.approx([sum(p for p, _ in group) / 20 for group in groups])
    assert curve.get_ydata() == pytest.approx([sum(t for _, t in group) / 20 for group in groups])
    assert axes.get_title() == "1h   n 200, 10 groups of 20"
    (strip,) = axes.child_axes
    assert [bar.get_height() for bar in strip.patches] == [20] * 10


@pytest.mark.parametrize("levels", [1, 2, 7, 40, 1000])
def test_groups_divide_the_rows_and_keep_equal_values_together(levels: int) -> None:
    values = RNG.integers(0, levels, 137) / levels
    groups = _equal_groups(values)
    assert sorted(np.concatenate(groups).tolist()) == list(range(137))
    assert 1 <= len(groups) <= min(10, levels)
    ends = [(values[rows].min(), values[rows].max()) for rows in groups]
    assert all(before[1] < after[0] for before, after in pairwise(ends))


def test_groups_of_different_values_are_of_equal_count() -> None:
    assert {rows.size for rows in _equal_groups(RNG.permutation(137) / 137)} == {13, 14}


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (3, 10), (50, 50), (123, 400)])
def test_intervals_are_wilsons(hits: int, count: int) -> None:
    low, high = _wilson(np.array([hits / count]), np.array([count]))
    wanted = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_a_diverged_network_is_told_in_every_panel() -> None:
    for kind in ("binary", "regression"):
        entry = forecasts(kind, {"1h": 30, "4h": 20})
        entry.prediction[:3] = [np.nan, np.inf, -np.inf]
        for name, figure in draw_forecasts([entry], "").items():
            if name.endswith("roc"):
                assert legend(figure.axes[0])[1].startswith("4h   AUC")
            else:
                assert texts(figure.axes[0]) == ["the network has diverged:\n3 of 30\nforecasts are not finite"]
                assert "4h" in figure.axes[1].get_title()
                assert not any("diverged" in text for text in texts(figure.axes[1]))


def test_all_of_a_diverged_network_can_be_saved(tmp_path: Path) -> None:
    entry = replace(forecasts("binary", {"1h": 30}), prediction=np.full(30, np.nan))
    paths = save_pictures(draw_forecasts([entry], ""), tmp_path, 0)
    assert all(path.stat().st_size > 1000 for path in paths)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_no_rows_are_a_panel_that_says_so(kind: str) -> None:
    for figure in draw_forecasts([forecasts(kind, {"1h": 0})], "").values():
        assert texts(figure.axes[0]) == ["no origin has a label here"]


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_roc_curve_and_a_matrix_with_an_empty_row(label: float, tmp_path: Path) -> None:
    entry = forecasts("binary", {"1h": 25})
    entry.truth[:] = label
    figures = draw_forecasts([entry], "")
    assert texts(figures["target_x-roc"].axes[0]) == ["all labels are of one class"]
    cells = texts(figures["target_x-confusion"].axes[0])
    assert [cell.endswith("no such label") for cell in cells] == [label == 1, label == 1, label == 0, label == 0]
    assert len(save_pictures(figures, tmp_path, 1)) == 3


def test_one_class_at_one_period_leaves_the_curves_of_the_others() -> None:
    entry = forecasts("binary", {"1h": 25, "4h": 25})
    entry.truth[:25] = 1
    lines = legend(draw_forecasts([entry], "")["target_x-roc"].axes[0])
    assert lines[1] == "1h   all labels are of one class   n 25"
    assert lines[2].startswith("4h   AUC ")


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_very_few_rows_can_be_drawn(kind: str, size: int, tmp_path: Path) -> None:
    entry = forecasts(kind, {"1h": size})
    entry.prediction[:] = entry.prediction_raw[:] = entry.truth_raw[:] = 0.0
    assert save_pictures(draw_forecasts([entry], ""), tmp_path, 2)


def test_pictures_are_files_of_the_epoch(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "pictures"
    figures = draw_forecasts([forecasts("binary", {"1h": 30}), forecasts("regression", {"1h": 30}, "target_r")], "")
    paths = save_pictures(figures, folder, 7)
    assert [path.name for path in paths] == [
        "epoch=007-target_x-confusion.png", "epoch=007-target_x-reliability.png", "epoch=007-target_x-roc.png",
        "epoch=007-target_r-scatter.png",
    ]  # fmt: skip
    assert sorted(folder.iterdir()) == sorted(paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_tensorboard_gets_the_same_pictures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        add_pictures(writer, draw_forecasts([forecasts("binary", {"1h": 30})], ""), 40)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["images"] == ["target_x/confusion", "target_x/reliability", "target_x/roc"]
    (image,) = events.Images("target_x/roc")
    assert image.step == 40
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert image.width > 400 and image.height > 400


def test_figures_do_not_stay_in_memory() -> None:
    figures = draw_forecasts([forecasts("regression", {"1h": 30})], "")
    there = weakref.ref(figures["target_x-scatter"])
    figures.clear()
    gc.collect()
    assert there() is None


def test_pyplot_and_its_windows_are_never_loaded(tmp_path: Path) -> None:
    """It keeps every figure, and looks for a display."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from tftctl.train.pictures import draw_forecasts, save_pictures\n"
        "from tftctl.train.scores import Forecasts\n"
        "p, z = np.linspace(.1, .9, 20), np.zeros(20, np.int64)\n"
        "t = z + (np.arange(20) % 3 == 0)\n"
        "made = Forecasts('target_x', 'binary', np.repeat('S', 20), np.repeat('1h', 20), z, z, z, p, t, p, t, {})\n"
        f"save_pictures(draw_forecasts([made], ''), Path({str(tmp_path)!r}), 0)\n"
        "print('LOADED', 'matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "LOADED False False" in done.stdout, done.stderr
