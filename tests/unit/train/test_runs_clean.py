"""`runs clean`: what goes, what stays and why, and that nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_world import make_older, make_run, rows_of

from tftctl.core.errors import DataError, UsageError
from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace
from tftctl.store.lease import take_lease
from tftctl.train.rundir import find_run
from tftctl.train.runs import clean
from tftctl.train.runs.clean import plan_cleaning, remove_runs
from tftctl.train.runs.criteria import criteria, duration_ms
from tftctl.train.runs.summary import size_of

SCORES = {"train-a": 0.5, "train-b": 0.9, "train-c": None, "train-d": 0.7}
ALL = criteria("*", None, None, None)


@pytest.fixture
def four(workspace: Workspace) -> Workspace:
    """Runs of 40, 30, 20 and 10 days ago with different scores; the third has none."""
    for place, (name, score) in enumerate(SCORES.items()):
        make_run(workspace, name, rows_of([score]), age_days=40 - 10 * place)
    return workspace


def going(workspace: Workspace, *args: str | int | None, force: bool = False) -> list[str]:
    match, before, older_than, keep_best = args  # type: ignore[misc]
    wanted = criteria(match, before, older_than, keep_best)  # type: ignore[arg-type]
    return [run.run[-1] for run in plan_cleaning(workspace, wanted, force=force).removed]


def reasons(workspace: Workspace, *, force: bool = False) -> dict[str, str]:
    return {stays.run: stays.reason for stays in plan_cleaning(workspace, ALL, force=force).kept}


def test_every_criterion_narrows(four: Workspace) -> None:
    assert going(four, "*", None, None, None) == ["a", "b", "c", "d"]
    assert going(four, "train-[ab]", None, None, None) == ["a", "b"]
    assert going(four, None, None, "25d", None) == ["a", "b"]
    assert going(four, None, iso(now_ms() - 15 * 86_400_000), None, None) == ["a", "b", "c"]
    assert going(four, None, iso(now_ms() - 15 * 86_400_000), "35d", None) == ["a"]
    assert going(four, "*-[bcd]", None, "15d", None) == ["b", "c"]


def test_the_best_of_those_that_would_go_stay(four: Workspace) -> None:
    """By composite score; a run without one is the worst."""
    assert going(four, None, None, None, 1) == ["a", "c", "d"]
    assert going(four, None, None, None, 3) == ["c"]
    assert going(four, "*-[acd]", None, None, 1) == ["a", "c"]
    assert going(four, None, None, None, 9) == []
    assert reasons(four) == {}
    plan = plan_cleaning(four, criteria(None, None, None, 2))
    assert {stays.run: stays.reason for stays in plan.kept} == dict.fromkeys(
        ("train-b", "train-d"), "among the best 2"
    )  # fmt: skip


def test_without_scores_the_loss_and_then_the_newest_is_better(workspace: Workspace) -> None:
    for name, loss, age in (("run-a", 0.5, 9), ("run-b", 0.4, 9), ("run-c", 0.5, 3)):
        make_run(workspace, name, rows_of([None], losses=[loss]), age_days=age)
    assert going(workspace, None, None, None, 1) == ["a", "c"]
    assert going(workspace, None, None, None, 2) == ["a"]


def test_removing_takes_the_runs_and_nothing_else(four: Workspace) -> None:
    sizes = {path.name: size_of(path) for path in four.runs.iterdir()}
    (four.runs / "notes.txt").write_text("mine")
    wanted = criteria("*-[ac]", None, None, None)
    done = remove_runs(four, plan_cleaning(four, wanted), wanted)
    assert [(run.run, run.bytes) for run in done.removed] == [(name, sizes[name]) for name in ("train-a", "train-c")]
    assert done.bytes == sizes["train-a"] + sizes["train-c"]
    assert sorted(path.name for path in four.runs.iterdir()) == ["notes.txt", "train-b", "train-d"]
    assert size_of(four.runs / "train-b") == sizes["train-b"]


def test_planning_changes_nothing(four: Workspace) -> None:
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in four.root.rglob("*"))
    plan_cleaning(four, ALL)
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in four.root.rglob("*")) == before


def test_what_a_kept_run_came_from_stays(workspace: Workspace) -> None:
    """a <- b <- c, and c is the best: the whole chain stays, d goes."""
    for name, parent, score in (
        ("run-a", None, 0.1),
        ("run-b", "run-a", 0.2),
        ("run-c", "run-b", 0.9),
        ("run-d", None, 0.3),
    ):
        make_run(workspace, name, rows_of([score]), parent=parent)
    plan = plan_cleaning(workspace, criteria(None, None, None, 1))
    assert [run.run for run in plan.removed] == ["run-d"]
    assert {stays.run: stays.reason for stays in plan.kept} == {
        "run-a": "run-b came from it and stays",
        "run-b": "run-c came from it and stays",
        "run-c": "among the best 1",
    }
    assert going(workspace, "run-[ab]", None, None, None) == []
    assert going(workspace, "run-[bc]", None, None, None) == ["b", "c"]
    assert going(workspace, "*", None, None, None) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("what", ["manifest.json", "metrics.jsonl", "checkpoints/last.ckpt", "lightning_logs"])
def test_a_run_that_is_being_written_stays(four: Workspace, what: str) -> None:
    path = four.runs / "train-a" / what
    path = next(path.iterdir()) if path.is_dir() else path
    os.utime(path, (time.time() - 120,) * 2)
    assert reasons(four) == {"train-a": "written to 2 minutes ago; --force removes it all the same"}
    assert reasons(four, force=True) == {}
    os.utime(path, (time.time() - 11 * 60,) * 2)
    assert reasons(four) == {}


def test_a_run_whose_epochs_are_long_stays_while_its_snapshot_is_read(four: Workspace) -> None:
    """P3: a training leases its snapshot. One whose planned epochs are all there has ended."""
    (four.runs / "train-b" / "stages.yaml").write_text("stage_1: {epochs: 5}\n")
    make_older(four.runs / "train-b", 30)
    four.store.mkdir()
    other, lease = take_lease(four.store, 1), take_lease(four.store, 2)
    assert other and lease
    try:
        why = f"process {os.getpid()} reads its snapshot and may be its training; --force removes it all the same"
        assert reasons(four) == {"train-b": why}
        assert reasons(four, force=True) == {}
    finally:
        lease.release()
        other.release()
    assert reasons(four) == {}


def test_a_run_that_the_configuration_names_stays(four: Workspace) -> None:
    make_run(four, "train-a-2", rows_of([0.1]))
    four.configs.mkdir()
    (four.configs / "model_config.yaml").write_text("warm_start_ckpt: runs/train-a/checkpoints/last.ckpt\n")
    assert reasons(four) == {"train-a": "configs/model_config.yaml names it"}


def test_links_are_neither_followed_nor_removed(four: Workspace, tmp_path: Path) -> None:
    elsewhere = Workspace(tmp_path / "elsewhere")
    real = make_run(elsewhere, "train-z", rows_of([0.1]))
    (four.runs / "train-z").symlink_to(real)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("x" * 1000)
    (four.runs / "train-a" / "checkpoints" / "link").symlink_to(precious)
    make_older(four.runs / "train-a", 40)
    plan = plan_cleaning(four, ALL)
    assert [stays.run for stays in plan.kept] == ["train-z"]
    assert plan.kept[0].reason == f"a link to {real}; remove it by hand"
    remove_runs(four, plan, ALL, force=True)
    assert [path.name for path in four.runs.iterdir()] == ["train-z"]
    assert (precious / "thesis.txt").read_text() == "x" * 1000
    assert (real / "manifest.json").is_file()


def test_a_link_in_the_place_where_runs_are_put_aside_is_refused(four: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (four.runs / clean.REMOVED).symlink_to(outside)
    with pytest.raises(DataError, match="is a link"):
        remove_runs(four, plan_cleaning(four, ALL), ALL)
    assert len(list(four.runs.glob("train-*"))) == 4
    assert not list(outside.iterdir())


def test_a_folder_that_is_no_run_is_never_removed(four: Workspace) -> None:
    (four.runs / "train-e").mkdir()
    (four.runs / "train-e" / "results.csv").write_text("1")
    with pytest.warns(UserWarning, match="train-e has no readable"):
        remove_runs(four, plan_cleaning(four, ALL), ALL)
    assert [path.name for path in four.runs.iterdir()] == ["train-e"]


def test_a_run_that_does_not_say_when_it_started_is_not_old(four: Workspace) -> None:
    manifest = four.runs / "train-a" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"started": "long ago"}))
    make_older(four.runs / "train-a", 40)
    assert going(four, None, None, "1d", None) == ["b", "c", "d"]
    assert going(four, "*-a", None, None, None) == ["a"]


def test_what_changed_since_the_plan_is_looked_at_again(four: Workspace) -> None:
    """While the user thinks about the question a training may go on from a run, or begin."""
    plan = plan_cleaning(four, ALL)
    make_run(four, "resume-e", parent="train-a", age_days=0)
    os.utime(four.runs / "train-b" / "metrics.jsonl")
    done = remove_runs(four, plan, ALL)
    assert [run.run for run in done.removed] == ["train-c", "train-d"]
    assert sorted(path.name for path in four.runs.iterdir()) == ["resume-e", "train-a", "train-b"]


def test_a_killed_removal_leaves_no_half_run(four: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is hidden from every reader, and the next removal ends it."""
    code = (
        "import os, shutil, sys\n"
        "from pathlib import Path\n"
        "from tftctl.core.workspace import Workspace\n"
        "from tftctl.train.runs import clean\n"
        "from tftctl.train.runs.criteria import criteria\n"
        "clean.shutil.rmtree = lambda path: os._exit(9)\n"
        f"workspace, wanted = Workspace(Path({str(four.root)!r})), criteria('*-[ab]', None, None, None)\n"
        "clean.remove_runs(workspace, clean.plan_cleaning(workspace, wanted), wanted)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 9
    rest = sorted(path.name[:7] for path in (four.runs / clean.REMOVED).iterdir())
    assert rest == ["train-a", "train-b"]
    assert sorted(path.parent.name for path in four.runs.glob("*/manifest.json")) == ["train-c", "train-d"]
    assert find_run(four, None).name in ("train-c", "train-d")
    none = criteria("nothing", None, None, None)
    remove_runs(four, plan_cleaning(four, none), none)
    assert sorted(path.name for path in four.runs.iterdir()) == ["train-c", "train-d"]


def test_a_run_on_a_file_system_that_refuses_is_an_error(four: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DataError, match="train-a cannot be removed: Permission denied"):
        remove_runs(four, plan_cleaning(four, ALL), ALL)
    monkeypatch.undo()
    shutil.rmtree(four.runs / clean.REMOVED)
    assert len(list(four.runs.iterdir())) == 4


@pytest.mark.parametrize(
    ("text", "seconds"), [("45m", 2700), ("12h", 43_200), ("30d", 2_592_000), ("8w", 4_838_400), ("1 d", 86_400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration_ms(text) == seconds * 1000


@pytest.mark.parametrize("text", ["30", "d", "-3d", "3.5d", "3mo", "3y", "", "99999999999d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        criteria(None, None, text, None)


@pytest.mark.parametrize("text", ["2026-13-01", "yesterday", "26/11/2026", ""])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(UsageError, match="not a date"):
        criteria(None, text, None, None)


def test_something_has_to_be_asked_for() -> None:
    with pytest.raises(UsageError, match="needs to be told which"):
        criteria(None, None, None, None)


def test_a_checkpoint_that_goes_away_meanwhile_means_that_the_run_is_written_to(
    four: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training keeps only its best checkpoints."""
    gone = four.runs / "train-a" / "checkpoints" / "epoch=001.ckpt"
    monkeypatch.setattr(
        clean, "_written", lambda root: [root / "manifest.json", *([gone] if root.name == "train-a" else [])]
    )
    assert reasons(four) == {"train-a": "written to a moment ago; --force removes it all the same"}
