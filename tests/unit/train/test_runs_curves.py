"""`runs compare` from event files and `runs plot-weights` from metrics.jsonl."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from run_world import TARGETS, Row, make_run, rows_of, write_events

from tftctl.core.errors import DataError, UsageError
from tftctl.core.workspace import Workspace
from tftctl.start.run_jobs import compare_job
from tftctl.train.rundir import Run
from tftctl.train.runs.compare import direction_of
from tftctl.train.runs.events import read_curves
from tftctl.train.runs.weights import plot_weights

DIRECTIONS = {"auc": "higher", "roc_auc": "higher", "rmse": "lower", "r2": "higher"}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def two(workspace: Workspace) -> Workspace:
    make_run(workspace, "train-1", rows_of([0.5, 0.7, 0.7, 0.6], losses=[4.0, 1.0, 2.0, 3.0]))
    make_run(workspace, "train-2", rows_of([0.25, 0.125], losses=[1.0, 2.0]))
    return workspace


def test_best_and_last_values_come_from_the_event_files(two: Workspace) -> None:
    """The event file alone is read: metrics.jsonl is not there any more."""
    for name in ("train-1", "train-2"):
        (two.runs / name / "metrics.jsonl").unlink()
    found = compare_job(two, ["train-1", "train-2"])
    assert found.runs == ["train-1", "train-2"]
    rows = {(row.key, row.run): row for row in found.values}
    score, loss = rows["val_composite_score", "train-1"], rows["val_loss", "train-1"]
    assert (score.best, score.best_step, score.last_step, score.points) == (pytest.approx(0.7), 20, 40, 4)
    assert (loss.best, loss.best_step, loss.last) == (1.0, 20, 3.0)
    assert (rows["val_loss", "train-2"].best, rows["val_loss", "train-2"].last) == (1.0, 2.0)
    assert (rows["lr", "train-1"].best, rows["lr", "train-1"].best_step) == (None, None)
    assert list(dict.fromkeys(row.key for row in found.values)) == [
        "train_loss", "val_loss", "val_composite_score", "lr",
    ]  # fmt: skip
    assert found.picture.read_bytes().startswith(PNG)
    assert found.picture.parent == two.reports / "runs"
    assert found.picture.name.startswith("compare-")


def test_keys_are_globs(two: Workspace, tmp_path: Path) -> None:
    found = compare_job(two, ["train-1", "train-2"], "val_*, weight_*trend", tmp_path / "out" / "mine.png")
    keys = {row.key for row in found.values}
    assert keys == {"val_loss", "val_composite_score", "weight_target_binarytrend"}
    assert found.picture == tmp_path / "out" / "mine.png"
    assert found.picture.read_bytes().startswith(PNG)


def test_a_key_that_no_run_has_is_told_the_nearest(two: Workspace) -> None:
    with pytest.raises(UsageError, match="val_lss") as caught:
        compare_job(two, ["train-1", "train-2"], "val_lss")
    assert "did you mean 'val_loss'" in caught.value.hint


def test_a_run_lacking_a_key_is_no_hindrance(two: Workspace) -> None:
    make_run(two, "train-3", [row | {"val_target_x_r2@1h": 0.01} for row in rows_of([0.5])])
    found = compare_job(two, ["train-1", "train-3"], "val_target_x_r2@1h")
    assert [(row.run, row.best) for row in found.values] == [("train-3", pytest.approx(0.01))]


def test_a_metric_that_is_best_at_its_nominal_value_has_no_best_end(two: Workspace) -> None:
    rows = [
        row | {"val_target_x_coverage@1h": share} for row, share in zip(rows_of([0.5] * 3), (0.6, 0.8, 1), strict=True)
    ]
    make_run(two, "train-3", rows)
    (row,) = compare_job(two, ["train-1", "train-3"], "val_target_x_coverage@1h").values
    assert (row.best, row.best_step, row.last) == (None, None, 1)


@pytest.mark.parametrize("names", [["train-1"], ["train-1", "train-1"]])
def test_one_run_is_nothing_to_compare(two: Workspace, names: list[str]) -> None:
    with pytest.raises(UsageError, match="two different runs"):
        compare_job(two, names)
    with pytest.raises(UsageError, match="two different runs"):
        compare_job(two, [*names, str(two.runs / "train-1")])


def test_folders_of_other_trainings_can_be_compared(two: Workspace, tmp_path: Path) -> None:
    """What Lightning writes elsewhere: lightning_logs/version_0 with other names in it."""
    rows: list[Row] = [{"step": step, "loss_epoch": 1.0 / (step + 1), "acc": 0.5} for step in range(3)]
    for name in ("a", "b"):
        write_events(tmp_path / name / "lightning_logs" / "version_0", rows)
    found = compare_job(two, [str(tmp_path / "a"), str(tmp_path / "b" / "lightning_logs" / "version_0")])
    assert found.runs == ["a", "b/lightning_logs/version_0"]
    assert {row.key for row in found.values} == {"acc", "loss_epoch", "step"}
    mixed = compare_job(two, ["train-1", str(tmp_path / "a")], "*loss*")
    assert {row.run for row in mixed.values} == {"train-1", "a"}


def test_several_trainings_below_one_folder_are_asked_apart(two: Workspace, tmp_path: Path) -> None:
    for number in range(2):
        write_events(tmp_path / "logs" / f"version_{number}", rows_of([0.5]))
    with pytest.raises(UsageError, match="2 trainings") as caught:
        read_curves(two, str(tmp_path / "logs"))
    assert "version_0, version_1" in caught.value.hint


def test_a_folder_without_event_files_and_a_name_without_a_run(two: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no event files"):
        read_curves(two, str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="there is no run 'trian-1'") as caught:
        read_curves(two, "trian-1")
    assert "did you mean 'train-1'" in caught.value.hint


def event_file(root: Path) -> Path:
    (path,) = (root / "lightning_logs").iterdir()
    return path


def test_an_event_file_that_was_cut_gives_what_is_whole(two: Workspace) -> None:
    path = event_file(two.runs / "train-1")
    whole = path.read_bytes()
    seen = set()
    for share in range(1, 20):
        path.write_bytes(whole[: len(whole) * share // 20])
        try:
            seen.add(len(read_curves(two, "train-1").scalars["val_loss"]))
        except DataError as error:
            assert "holds no curves" in error.message
            seen.add(0)
    assert seen == {0, 1, 2, 3}


def test_an_event_file_of_noise_is_an_error(two: Workspace) -> None:
    event_file(two.runs / "train-1").write_bytes(b"no event at all" * 50)
    with pytest.raises(DataError, match="holds no curves"):
        compare_job(two, ["train-1", "train-2"])


def test_values_that_are_not_finite_are_left_out(workspace: Workspace) -> None:
    make_run(workspace, "train-1", rows_of([None, 0.5, math.inf], losses=[math.nan, 2.0, 1.0]))
    curves = read_curves(workspace, "train-1").scalars
    assert curves["val_composite_score"] == [(20, 0.5)]
    assert curves["val_loss"] == [(20, 2.0), (30, 1.0)]


def test_two_event_files_of_one_run_are_one_curve(workspace: Workspace) -> None:
    """A run that was stopped and went on in its own folder."""
    rows = rows_of([0.5, 0.6, 0.7, 0.8])
    root = make_run(workspace, "train-1", rows[:2])
    event_file(root).rename(root / "lightning_logs" / "events.out.tfevents.1.first")
    write_events(root / "lightning_logs", rows[2:])
    assert [step for step, _ in read_curves(workspace, "train-1").scalars["val_loss"]] == [10, 20, 30, 40]


@pytest.mark.parametrize("name", ["curves.pdf", "curves", "folder.png"])
def test_a_picture_is_a_png_file(two: Workspace, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="PNG"):
        compare_job(two, ["train-1", "train-2"], None, tmp_path / name)


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("val_composite_score", "higher"), ("val_loss", "lower"), ("val_loss_for_ckpt", "lower"),
        ("train_target_x_loss", "lower"), ("val_target_x_roc_auc@1h", "higher"), ("val_target_x_rmse@4h", "lower"),
        ("val_target_rmse_r2@1d", "higher"), ("lr", None), ("windows_per_second", None), ("step", None),
    ],
)  # fmt: skip
def test_which_end_is_better(key: str, wanted: str | None) -> None:
    assert direction_of(key, DIRECTIONS) == wanted


def test_learned_weights_are_w_times_exp_of_minus_s(workspace: Workspace) -> None:
    """M1."""
    rows = rows_of([0.5] * 6, stages=2)
    root = make_run(workspace, "train-1", rows)
    found = plot_weights(workspace, Run(root))
    assert [line.target for line in found.targets] == list(TARGETS)
    second = found.targets[1]
    assert second.manual == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    wanted = [row["weight_target_binarytrend"] * math.e ** -row["log_var_target_binarytrend"] for row in rows]
    assert second.effective == pytest.approx(wanted)
    assert [(start.stage, start.epoch) for start in found.stages] == [("stage_1", 0), ("stage_2", 3)]
    assert found.epochs == list(range(6))
    assert found.picture == workspace.reports / "runs" / "train-1-weights.png"
    assert found.picture.read_bytes().startswith(PNG)


def test_weights_where_targets_come_and_go_and_nothing_is_learned(workspace: Workspace) -> None:
    rows: list[Row] = [
        {"epoch": 0, "stage": "a", "weight_target_x": 1.0},
        {"epoch": 1, "stage": "b", "weight_target_x": 0.5, "weight_target_y": 2.0, "log_var_target_y": None},
        {"epoch": 2, "stage": "a", "weight_target_y": 2.0, "log_var_target_y": 0.0, "weight_decay": 1e-5},
    ]
    root = make_run(workspace, "train-1")
    (root / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"epoch": 3, "weig')
    found = plot_weights(workspace, Run(root))
    lines = {line.target: (line.manual, line.effective) for line in found.targets}
    assert lines == {
        "target_x": ([1.0, 0.5, None], [1.0, 0.5, None]),
        "target_y": ([None, 2.0, 2.0], [None, None, 2.0]),
    }
    assert [(start.stage, start.epoch) for start in found.stages] == [("a", 0), ("b", 1), ("a", 2)]


def test_a_run_without_logged_weights_says_so(workspace: Workspace) -> None:
    bare = make_run(workspace, "train-1")
    with pytest.raises(DataError, match="no finished epoch"):
        plot_weights(workspace, Run(bare))
    (bare / "metrics.jsonl").write_text('{"epoch": 0, "val_loss": 1.0}\n')
    with pytest.raises(DataError, match="has no weights in it"):
        plot_weights(workspace, Run(bare))
