"""`runs list` and `runs show`: what is read from run directories made by hand."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
from run_world import TARGETS, make_run, rows_of

from tftctl.core.errors import DataError, TftctlWarning, UsageError
from tftctl.core.workspace import Workspace
from tftctl.train.rundir import Run
from tftctl.train.runs.listing import list_runs
from tftctl.train.runs.show import describe_run
from tftctl.train.runs.summary import read_summaries, size_of


@pytest.fixture
def three(workspace: Workspace) -> Workspace:
    """Runs with scores, without any, and one that has not finished an epoch."""
    make_run(workspace, "train-20260101_0000", rows_of([0.5, 0.7, 0.6], losses=[0.9, 0.8, 0.4]), age_days=30)
    make_run(
        workspace, "resume-20260201_0000", rows_of([0.55], losses=[0.2]), parent="train-20260101_0000", age_days=20
    )
    make_run(workspace, "train-20260301_0000", age_days=10)
    return workspace


def names(workspace: Workspace, sort: str = "started", **options: Any) -> list[str]:
    """Command and month of each run."""
    found = list_runs(workspace, sort, **options)
    return [run.command + run.run.split("-")[1][4:6] for run in found]


def test_scores_are_the_best_over_the_epochs(three: Workspace) -> None:
    """Each by itself; the best epoch is that of the composite score."""
    first = list_runs(three)[0]
    assert (first.run, first.command, first.epochs, first.snapshot) == ("train-20260101_0000", "train", 3, 2)
    assert (first.val_composite_score, first.val_loss, first.best_epoch) == (0.7, 0.4, 1)
    assert (first.targets, first.stages, first.parent) == (list(TARGETS), ["stage_1"], None)
    last = list_runs(three)[2]
    assert (last.epochs, last.val_composite_score, last.val_loss, last.best_epoch) == (0, None, None, None)


def test_scores_that_are_not_finite_are_no_scores(workspace: Workspace) -> None:
    rows = rows_of([None, math.nan, 0.4], losses=[math.nan, math.inf, 0.7])
    make_run(workspace, "train-1", rows)
    (run,) = list_runs(workspace)
    assert (run.epochs, run.val_composite_score, run.val_loss, run.best_epoch) == (3, 0.4, 0.7, 2)


def test_without_a_score_the_best_epoch_is_that_of_the_loss(workspace: Workspace) -> None:
    make_run(workspace, "train-1", rows_of([None, None, None], losses=[0.5, 0.3, 0.4]))
    assert list_runs(workspace)[0].best_epoch == 1


@pytest.mark.parametrize(
    ("sort", "reverse", "wanted"),
    [
        ("started", False, ["train01", "resume02", "train03"]),
        ("started", True, ["train03", "resume02", "train01"]),
        ("val_composite_score", False, ["train01", "resume02", "train03"]),
        ("val_composite_score", True, ["resume02", "train01", "train03"]),
        ("val_loss", False, ["resume02", "train01", "train03"]),
        ("val_loss", True, ["train01", "resume02", "train03"]),
        ("epochs", False, ["train03", "resume02", "train01"]),
        ("run", False, ["resume02", "train01", "train03"]),
    ],
)
def test_sorted_by_a_score_the_best_comes_first_and_nothing_last(
    three: Workspace, sort: str, reverse: bool, wanted: list[str]
) -> None:
    assert names(three, sort, reverse=reverse) == wanted


def test_filters(three: Workspace) -> None:
    assert names(three, command="resume") == ["resume02"]
    assert names(three, match="*2026030*") == ["train03"]
    assert names(three, match="TRAIN*") == []
    assert names(three, command="warm-start") == []


@pytest.mark.parametrize(
    ("options", "hint"), [({"sort": "val_los"}, "'val_loss'"), ({"command": "trian"}, "did you mean 'train'")]
)
def test_a_wrong_key_or_command_is_told_the_nearest(three: Workspace, options: dict[str, str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        list_runs(three, **options)  # type: ignore[arg-type]
    assert hint in caught.value.hint


@pytest.mark.parametrize("manifest", [None, "", "{", "[1]", "7", '{"run": "x"'])
def test_a_folder_without_a_readable_manifest_is_a_warning(three: Workspace, manifest: str | None) -> None:
    broken = three.runs / "train-broken"
    broken.mkdir()
    if manifest is not None:
        (broken / "manifest.json").write_text(manifest)
    with pytest.warns(TftctlWarning, match=r"train-broken has no readable manifest\.json"):
        assert len(list_runs(three)) == 3


def test_files_and_hidden_folders_are_no_runs(three: Workspace) -> None:
    (three.runs / "notes.txt").write_text("mine")
    (three.runs / ".removed" / "train-9").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list_runs(three)) == 3


def test_manifests_of_other_versions_are_read_as_far_as_they_go(workspace: Workspace) -> None:
    root = make_run(workspace, "train-1", rows_of([0.5]))
    (root / "manifest.json").write_text(json.dumps({"targets": None, "snapshot": "two", "parent": 3, "epochs": 9}))
    (run,) = list_runs(workspace)
    assert (run.command, run.started, run.snapshot, run.parent, run.targets, run.epochs) == ("", "", None, None, [], 1)


def test_there_need_not_be_any_runs(workspace: Workspace) -> None:
    assert read_summaries(workspace) == []


def test_the_size_is_that_of_the_files_and_not_of_what_links_lead_to(tmp_path: Path) -> None:
    root = tmp_path / "run"
    (root / "deep").mkdir(parents=True)
    (root / "a").write_bytes(b"1" * 700)
    (root / "deep" / "b").write_bytes(b"1" * 50)
    (tmp_path / "large").write_bytes(b"1" * 100_000)
    (root / "link").symlink_to(tmp_path / "large")
    (root / "folder").symlink_to(tmp_path)
    assert 750 <= size_of(root) < 2000


CHECKPOINTS = {
    "epoch=001-composite_score=0.7000-val_loss=0.8000.ckpt": 30,
    "epoch=012-composite_score=-0.2500-val_loss=12.5000.ckpt": 31,
    "epoch=013-composite_score=nan-val_loss=inf.ckpt": 32,
    "last.ckpt": 33,
}


def test_show_names_checkpoints_with_their_scores(three: Workspace) -> None:
    root = make_run(three, "train-9", rows_of([0.5]), checkpoints=CHECKPOINTS)
    kept = describe_run(three, Run(root)).checkpoints
    assert [(one.epoch, one.composite_score, one.val_loss, one.bytes) for one in kept] == [
        (1, 0.7, 0.8, 30), (12, -0.25, 12.5, 31), (13, None, None, 32), (None, None, None, 33),
    ]  # fmt: skip


def test_show_tells_what_is_not_the_default(three: Workspace) -> None:
    """The file says hidden_size 32, lr 1.5e-3 (the default) and one key of onecycle."""
    found = describe_run(three, Run(three.runs / "train-20260101_0000"))
    assert [(change.key, change.value, change.default) for change in found.changes] == [
        ("hidden_size", 32, 256), ("onecycle.pct_start", 0.1, 0.3),
    ]  # fmt: skip


def test_show_has_a_row_per_stage(workspace: Workspace) -> None:
    root = make_run(workspace, "train-1", rows_of([0.1, 0.4, 0.9, 0.3], losses=[4, 3, 2, 1], stages=2))
    (root / "stages.yaml").write_text((root / "stages.yaml").read_text() + "stage_3: {epochs: 7}\n")
    found = describe_run(workspace, Run(root)).stages
    assert [(row.stage, row.epochs, row.plan["epochs"], row.val_composite_score, row.val_loss) for row in found] == [
        ("stage_1", 2, 2, 0.4, 3), ("stage_2", 2, 2, 0.9, 1), ("stage_3", 0, 7, None, None),
    ]  # fmt: skip


def test_rows_without_a_stage_belong_to_the_only_one(workspace: Workspace) -> None:
    rows = [{key: value for key, value in row.items() if key != "stage"} for row in rows_of([0.1, 0.4])]
    root = make_run(workspace, "train-1")
    (root / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = describe_run(workspace, Run(root)).stages
    assert (row.stage, row.epochs, row.val_composite_score) == ("stage_1", 2, 0.4)


def test_the_best_row_is_that_of_the_runs_own_monitor(three: Workspace) -> None:
    root = three.runs / "train-20260101_0000"
    assert describe_run(three, Run(root)).best["epoch"] == 1
    (root / "configs" / "model_config.yaml").write_text("monitor: val_loss\nmonitor_mode: min\n")
    found = describe_run(three, Run(root))
    assert (found.monitor, found.best["epoch"], found.last["epoch"]) == ("val_loss", 2, 2)
    assert ("val_composite_score", 0.6, 0.6) in found.values()


def test_the_chain_of_parents_ends_where_one_is_gone(three: Workspace) -> None:
    root = make_run(three, "resume-9", rows_of([0.5]), parent="resume-20260201_0000")
    assert [(one.run, one.there) for one in describe_run(three, Run(root)).parents] == [
        ("resume-20260201_0000", True), ("train-20260101_0000", True),
    ]  # fmt: skip
    lost = make_run(three, "resume-10", rows_of([0.5]), parent="train-gone")
    assert [(one.run, one.there) for one in describe_run(three, Run(lost)).parents] == [("train-gone", False)]


def test_a_circle_of_parents_ends(workspace: Workspace) -> None:
    root = make_run(workspace, "a-1", parent="b-1")
    make_run(workspace, "b-1", parent="a-1")
    assert [one.run for one in describe_run(workspace, Run(root)).parents] == ["b-1", "a-1"]


def test_damaged_configuration_is_a_warning_and_a_damaged_manifest_an_error(three: Workspace) -> None:
    root = three.runs / "train-20260101_0000"
    (root / "configs" / "model_config.yaml").write_text("hidden_size: [")
    with pytest.warns(TftctlWarning, match="not valid YAML"):
        assert describe_run(three, Run(root)).changes == []
    (root / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"no readable manifest\.json"):
        describe_run(three, Run(root))
