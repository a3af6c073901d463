"""`resume`: a training that was interrupted goes on to the last digit, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from training_world import document, epochs_of, linked, quiet, tftctl, untimed

from tftctl.core.errors import ConfigError, DataError, TftctlError, UsageError
from tftctl.core.progress import TrainingStatus
from tftctl.core.workspace import Workspace
from tftctl.start.jobs import eval_job, resume_job, train_job
from tftctl.train.checkpoint import load_checkpoint

# two stages, dropout, learned variances, averaged weights, accumulation: everything that has a state
PLAN = """\
together: {weights: {target_logreturn: 1.0, target_binarytrend: 1.0}, epochs: 2}
focus: {weights: {target_binarytrend: 2.0}, epochs: 1, lr: 2e-3, freeze: ["lstm_encoder"], batch_size: 32}
"""
OPTIONS = [
    "max_epochs=3", "max_steps=12", "batch_size=64", "accumulate_grad_batches=2", "periods=[4h]", "ema_decay=0.8",
    "checkpoint_every_steps=1", "plot_every_n_epochs=0", "balance=groups", "top_k=2",
]  # fmt: skip


class Died(Exception):
    """A training that ended without notice."""


def dies_at(epoch: int, step: int) -> Any:
    """A watcher that ends the process's training after a step."""

    def watch(status: TrainingStatus) -> None:
        if (status.phase, status.epoch, status.done) == ("train", epoch, step):
            raise Died

    return watch


@pytest.fixture(scope="module")
def whole(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """An uninterrupted training on one thread."""
    workspace = linked(trained, tmp_path_factory.mktemp("whole"))
    (workspace.root / "plan.yaml").write_text(PLAN)
    return workspace, train(workspace).run or ""


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """The last digit depends on how sums are divided over threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(workspace: Workspace, watch: Any = lambda _: None, *more: str) -> Any:
    """The training of this file."""
    plan = workspace.root / "plan.yaml"
    return train_job(workspace, None, [*OPTIONS, *more], "cpu", quiet, watch, plan=plan)


def newest(workspace: Workspace) -> str:
    """The run that was begun last."""
    return max(workspace.runs.glob("train-*"), key=lambda path: path.stat().st_mtime_ns).name


@pytest.mark.parametrize(("epoch", "step"), [(0, 3), pytest.param(1, 1, marks=pytest.mark.slow), (2, 2)])
def test_an_interrupted_training_goes_on_to_the_last_digit(whole: tuple[Workspace, str], epoch: int, step: int) -> None:
    """DESIGN 6: in the middle of an epoch, of each stage: every number of every epoch, weights, and best scores."""
    workspace, run = whole
    with pytest.raises(Died):
        train(workspace, dies_at(epoch, step))
    before = newest(workspace)
    result = resume_job(workspace, before, None, [], "cpu", quiet)
    assert untimed(epochs_of(workspace, result.run)) == untimed(epochs_of(workspace, run))
    last = [load_checkpoint(workspace.runs / name / "checkpoints" / "last.ckpt") for name in (run, result.run)]
    for name, value in last[0].state.items():
        assert torch.equal(value, last[1].state[name]), name
    assert last[0].content.progress == last[1].content.progress
    kept = [sorted(p.name for p in (workspace.runs / n / "checkpoints").iterdir()) for n in (run, result.run)]
    assert kept[0] == kept[1]
    manifest = json.loads((workspace.runs / result.run / "manifest.json").read_text())
    assert (manifest["parent"], manifest["checkpoint"]) == (before, "last.ckpt")
    assert result.epochs == 3


def test_a_finished_epoch_is_gone_on_from(whole: tuple[Workspace, str]) -> None:
    """From the checkpoint of an epoch by its path; the parent's rows come first, later ones are not copied."""
    workspace, run = whole
    first = sorted((workspace.runs / run / "checkpoints").glob("epoch=*"))[0]
    began = load_checkpoint(first).content.progress.epoch
    result = resume_job(workspace, str(first), None, [], "cpu", quiet)
    assert 1 <= began <= 3
    assert untimed(epochs_of(workspace, result.run)) == untimed(epochs_of(workspace, run))


def test_a_killed_process_goes_on_from_its_last_checkpoint(whole: tuple[Workspace, str]) -> None:
    """kill -9 in the middle of an epoch: the curve is that of the uninterrupted run, and no file is half written."""
    workspace, run = whole
    options = [part for option in OPTIONS for part in ("-o", option)]
    plan = str(workspace.root / "plan.yaml")
    there = {path.name for path in workspace.runs.iterdir()}
    line = ["-w", str(workspace.root), "train", "--accelerator", "cpu", "--stage-plan", plan, *options]
    with forked.running(line) as process:
        deadline = time.monotonic() + 120
        last: list[Path] = []
        while not last and time.monotonic() < deadline and process.is_alive():
            made = [path for path in workspace.runs.iterdir() if path.name not in there]
            last = [
                path / "checkpoints" / "last.ckpt" for path in made if (path / "checkpoints" / "last.ckpt").exists()
            ]
            time.sleep(0.02)
        process.signal(signal.SIGKILL)
        assert process.end()[0] == -signal.SIGKILL
    killed = last[0].parent.parent.name
    position = load_checkpoint(last[0]).content.progress
    assert 0 < position.global_step < 12
    done = tftctl(workspace, "resume", killed, "--accelerator", "cpu", "--json")
    result = document(done)
    assert untimed(epochs_of(workspace, result["run"])) == untimed(epochs_of(workspace, run))
    assert f"resuming {killed} at epoch {position.epoch + 1} of 3, step {position.step}" in done.stderr
    assert "next: " not in done.stdout


def test_the_best_of_a_resumed_run_can_be_evaluated(whole: tuple[Workspace, str]) -> None:
    """Its checkpoints may have been written before the interruption, by the parent."""
    workspace, run = whole
    with pytest.raises(Died):
        train(workspace, dies_at(2, 1))
    result = resume_job(workspace, newest(workspace), None, [], "cpu", quiet)
    found, want = (eval_job(workspace, name, "val", "top-k") for name in (result.run, run))
    assert [row["value"] for row in found.metrics] == pytest.approx([row["value"] for row in want.metrics], nan_ok=True)


def test_a_training_can_be_continued_beyond_its_end(whole: tuple[Workspace, str]) -> None:
    """`-o max_epochs`: at the rate where the schedule ended, with a warning that says which value wins."""
    workspace, run = whole
    said: list[str] = []
    with pytest.raises(UsageError, match=f"{run} has finished its 3 epochs") as caught:
        resume_job(workspace, run, None, [], "cpu", quiet)
    assert f"tftctl resume {run} -o max_epochs=6" in caught.value.hint
    result = resume_job(workspace, run, None, ["max_epochs=4"], "cpu", said.append)
    rows = epochs_of(workspace, result.run)
    assert untimed(rows[:3]) == untimed(epochs_of(workspace, run))
    assert (rows[3]["epoch"], rows[3]["stage"], rows[3]["lr"]) == (3, "focus", rows[2]["lr"])
    assert any("max_epochs 4 wins over the checkpoint's 3" in line for line in said)


def test_another_schedule_is_told_and_the_checkpoints_wins(whole: tuple[Workspace, str]) -> None:
    """The curve is the uninterrupted one all the same."""
    workspace, run = whole
    with pytest.raises(Died):
        train(workspace, dies_at(1, 2))
    said: list[str] = []
    result = resume_job(workspace, newest(workspace), None, ["lr=0.5", "batch_size=7"], "cpu", said.append)
    (line,) = [line for line in said if line.startswith("warning")]
    assert "lr (0.0015, not 0.5)" in line and "batch_size (64, not 7)" in line and "its values win" in line
    assert untimed(epochs_of(workspace, result.run)) == untimed(epochs_of(workspace, run))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["hidden_size=16"], "hidden_size (8, not 16)"),
        (["periods=[1h]"], "periods"),
        (["targets=[target_logreturn]", "dropout=0.5"], "targets"),
        (["val_ratio=0.2"], "val_ratio (0.15, not 0.2)"),
        (["data_path=1"], "data_path (null, not 1)"),
    ],
)
def test_other_data_or_another_network_is_refused_with_the_differences(
    whole: tuple[Workspace, str], options: list[str], named: str
) -> None:
    """Issue's item 7: an error that lists them, before there is a run."""
    workspace, run = whole
    runs = sorted(workspace.runs.iterdir())
    with pytest.raises(ConfigError) as caught:
        resume_job(workspace, run, None, options, "cpu", quiet)
    assert named in caught.value.message
    assert "dropout" not in options[-1] or "dropout (0.1, not 0.5)" in caught.value.message
    assert "warm-start" in caught.value.hint
    assert sorted(workspace.runs.iterdir()) == runs


def test_resume_ckpt_of_the_configuration_is_compared_with_the_run(
    whole: tuple[Workspace, str], tmp_path: Path
) -> None:
    """`tftctl resume` without a name: the workspace's configuration says what to resume, and is held against it."""
    workspace, run = whole
    config = tmp_path / "model_config.yaml"
    config.write_text(
        (workspace.configs / "model_config.yaml").read_text() + f"resume_ckpt: runs/{run}/checkpoints/last.ckpt\n"
    )
    with pytest.raises(ConfigError, match="periods"):
        resume_job(workspace, None, config, [], "cpu", quiet)
    with pytest.raises(UsageError, match=r"which run\? None is named"):
        resume_job(workspace, None, None, [], "cpu", quiet)


def test_other_rows_under_the_same_snapshot_are_refused(whole: tuple[Workspace, str], tmp_path: Path) -> None:
    """A run that was brought to another store: the data version differs (P4)."""
    workspace, run = whole
    path = workspace.runs / run / "checkpoints" / "last.ckpt"
    loaded = torch.load(path, weights_only=True)
    content = json.loads(loaded["tftctl"])
    content["data_versions"]["targets"] = "another"
    loaded["tftctl"] = json.dumps(content)
    other = workspace.runs / "train-other"
    shutil.copytree(workspace.runs / run, other)
    torch.save(loaded, other / "checkpoints" / "last.ckpt")
    with pytest.raises(DataError, match="has another targets table than"):
        resume_job(workspace, "train-other", None, ["max_epochs=4"], "cpu", quiet)
    shutil.rmtree(other)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a checkpoint", "cannot be read as a checkpoint"), (b"", "cannot be read as a checkpoint")],
)
def test_what_is_no_checkpoint_is_refused(
    whole: tuple[Workspace, str], tmp_path: Path, content: bytes, message: str
) -> None:
    """Issue's bad input: one line, exit code 3, no traceback of torch."""
    workspace, _ = whole
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        resume_job(workspace, str(path), None, [], "cpu", quiet)


def test_a_checkpoint_of_another_version_is_refused(whole: tuple[Workspace, str], tmp_path: Path) -> None:
    """It says so, and does not guess."""
    workspace, run = whole
    loaded = torch.load(workspace.runs / run / "checkpoints" / "last.ckpt", weights_only=True)
    content = json.loads(loaded["tftctl"])
    content["format"] = 1
    torch.save({**loaded, "tftctl": json.dumps(content)}, tmp_path / "old.ckpt")
    with pytest.raises(DataError, match="checkpoint of another version"):
        resume_job(workspace, str(tmp_path / "old.ckpt"), None, [], "cpu", quiet)


def test_a_run_without_a_checkpoint_says_what_to_do(whole: tuple[Workspace, str]) -> None:
    """It was stopped before the first."""
    workspace, _ = whole
    with pytest.raises(Died):
        train(workspace, dies_at(0, 1), "checkpoint_every_steps=null")
    with pytest.raises(DataError, match="has no checkpoint") as caught:
        resume_job(workspace, newest(workspace), None, [], "cpu", quiet)
    assert "checkpoint_every_steps" in caught.value.hint


def test_too_little_memory_says_what_to_lower_and_keeps_the_last_checkpoint(whole: tuple[Workspace, str]) -> None:
    """Issue's bad input: torch's own words become one line."""
    workspace, run = whole

    def watch(status: TrainingStatus) -> None:
        if status.epoch == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    with pytest.raises(TftctlError, match="out of memory") as caught:
        train(workspace, watch)
    assert caught.value.exit_code == 1
    assert "lower batch_size (now 64), then hidden_size or max_encoder_length" in caught.value.hint
    result = resume_job(workspace, newest(workspace), None, [], "cpu", quiet)
    assert untimed(epochs_of(workspace, result.run)) == untimed(epochs_of(workspace, run))


def test_early_stopping_ends_a_training_and_is_told(whole: tuple[Workspace, str]) -> None:
    """After `patience` epochs without a better value; resuming such a run needs a word."""
    workspace, _ = whole
    said: list[str] = []
    options = ["max_epochs=6", "batch_size=1000", "periods=[4h]", "early_stopping={patience: 1, min_delta: 10}"]
    result = train_job(workspace, None, options, "cpu", said.append)
    assert result.epochs == 2
    assert "stopped early: val_composite_score has not become better for 1 epochs" in said
    with pytest.raises(UsageError, match="stopped early at epoch 2"):
        resume_job(workspace, result.run, None, [], "cpu", quiet)
