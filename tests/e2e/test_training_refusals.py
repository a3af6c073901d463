"""What a training refuses leaves no run behind; and what resuming, overfitting and a trial do at their edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_world import epochs_of, linked, quiet, untimed
from typer.testing import CliRunner

from tftctl.cli.app import app
from tftctl.core.config.loading import read_yaml
from tftctl.core.errors import ConfigError, TftctlError, UsageError
from tftctl.core.workspace import Workspace
from tftctl.start.jobs import find_rate_job, resume_job, train_job
from tftctl.train.checkpoint import load_checkpoint

SMALL = ["periods=[4h]", "batch_size=256", "plot_every_n_epochs=0", "max_epochs=2", "max_steps=2"]
PLAN = """\
first: {weights: {target_logreturn: 1.0}, epochs: 1}
second: {weights: {target_logreturn: 1.0}, epochs: 1, freeze: [lstm_encodr]}
"""


@pytest.fixture
def workspace(trained: Workspace, tmp_path: Path) -> Workspace:
    """A workspace without runs."""
    return linked(trained, tmp_path)


def train(workspace: Workspace, *options: str, **asked: Any) -> Any:
    """A training of a few steps."""
    return train_job(workspace, None, [*SMALL, *options], "cpu", quiet, **asked)


def left(workspace: Workspace) -> list[str]:
    """What lies in the workspace besides what was linked there."""
    found = [path for path in workspace.root.rglob("*") if not path.is_symlink() and path.suffix != ".yaml"]
    return [str(path.relative_to(workspace.root)) for path in found]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("freeze=[lstm_encodr]", "no parameter is called like 'lstm_encodr'"),
        ("freeze=['*']", "leave nothing to train"),
        ("pos_weight={target_binarytrnd: off}", "the store has no target 'target_binarytrnd'"),
        ("devices=200", "fewer than the 200 processes"),
        ("pos_weight={target_logreturn: off}", "pos_weight: target_logreturn is regression"),
    ],
)
def test_a_configuration_that_cannot_be_leaves_no_run(workspace: Workspace, option: str, message: str) -> None:
    """Whatever is wrong with it is found before there is a run directory."""
    with pytest.raises(ConfigError, match=message):
        train(workspace, option)
    assert left(workspace) == []


def test_what_a_later_stage_freezes_is_looked_at_first(workspace: Workspace) -> None:
    """Not hours later, when that stage begins."""
    (workspace.root / "plan.yaml").write_text(PLAN)
    with pytest.raises(ConfigError, match="no parameter is called like 'lstm_encodr'") as caught:
        train(workspace, plan=workspace.root / "plan.yaml")
    assert "lstm_encoder" in caught.value.hint
    assert left(workspace) == []


@pytest.mark.parametrize("text", ["- a\n", "a: [1,\n"])
def test_a_damaged_log_of_stages_is_told_before_there_is_a_run(workspace: Workspace, text: str) -> None:
    """`--log-name` names a file that several runs share, and that anyone may have edited."""
    log = workspace.root / "stage_logs" / "shared.yaml"
    log.parent.mkdir()
    log.write_text(text)
    with pytest.raises(TftctlError, match=r"shared\.yaml"):
        train(workspace, log_name="shared")
    assert not workspace.runs.exists()
    assert log.read_text() == text


@pytest.mark.parametrize("name", ["../outside", "a/b"])
def test_a_log_of_stages_lies_in_its_folder(workspace: Workspace, name: str) -> None:
    """A name is no path out of stage_logs/."""
    with pytest.raises(UsageError, match="without a folder"):
        train(workspace, log_name=name)
    assert left(workspace) == []


def test_a_training_that_stopped_early_goes_on_as_its_hint_says(workspace: Workspace) -> None:
    """Without early stopping: to the end, the curve beginning with that of the stopped run."""
    options = ["max_steps=null", "symbols=[SYN01]", "max_epochs=3", "early_stopping={patience: 1, min_delta: 10}"]
    stopped = train(workspace, *options)
    assert stopped.epochs == 2
    whole = train(workspace, *options[:-1])
    result = resume_job(workspace, stopped.run, None, ["early_stopping=null"], "cpu", quiet)
    assert result.epochs == 3
    assert untimed(epochs_of(workspace, result.run)) == untimed(epochs_of(workspace, whole.run))


def test_steps_of_an_overfitted_training_are_counted_on_its_few_batches(workspace: Workspace) -> None:
    """`max_steps` is within reach of its epochs; a resumed one knows its length too."""
    result = train(workspace, "batch_size=64", "max_epochs=5", "max_steps=4", overfit_batches=1)
    rows = epochs_of(workspace, result.run)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    longer = resume_job(workspace, result.run, None, ["max_epochs=6"], "cpu", quiet)
    assert [row["step"] for row in epochs_of(workspace, longer.run)] == [1, 2, 3, 4, 5, 6]
    content = load_checkpoint(workspace.root / (longer.last_checkpoint or "")).content
    assert content.course.steps == 6


def test_a_trial_looks_at_the_plan_and_leaves_nothing(workspace: Workspace) -> None:
    """A stage that does not exist is told; the stage that it begins at is the one that is tried."""
    said: list[str] = []
    (workspace.root / "plan.yaml").write_text(PLAN.replace("encodr", "encoder"))
    with pytest.raises(ConfigError, match="--stage third: there is no such stage"):
        train(workspace, plan=workspace.root / "plan.yaml", stage="third", trial=True)
    result = train_job(
        workspace, None, SMALL, "cpu", said.append, plan=workspace.root / "plan.yaml", stage="second", trial=True
    )
    assert (result.run, result.epochs) == (None, 1)
    assert any("parameters are frozen from epoch 1 on" in line for line in said)
    assert not any("runs/" in line for line in said)
    assert left(workspace) == []


def test_processes_that_would_wait_for_frozen_parts_are_refused(workspace: Workspace) -> None:
    """`strategy: ddp` says itself that every parameter has a gradient; auto knows better."""
    with pytest.raises(ConfigError, match="strategy: ddp waits for gradients of frozen parts"):
        train(workspace, "devices=2", "strategy=ddp", "freeze=[lstm_encoder]")
    assert left(workspace) == []


def test_a_resumed_training_goes_on_in_its_log_of_stages(workspace: Workspace) -> None:
    """`--log-name` of the training that is gone on with."""
    first = train(workspace, "max_epochs=1", log_name="shared")
    resumed = resume_job(workspace, first.run, None, ["max_epochs=2"], "cpu", quiet)
    entries = read_yaml(workspace.root / "stage_logs" / "shared.yaml")
    assert {run: entry["stage_1"]["epochs_done"] for run, entry in entries.items()} == {first.run: 1, resumed.run: 2}


def test_a_search_for_a_rate_leaves_a_picture_only(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains what would be trained, on one process whatever `devices` says."""
    monkeypatch.setattr("tftctl.train.rate.TRIALS", 6)
    found = find_rate_job(workspace, None, [*SMALL, "devices=2", "freeze=[lstm_encoder]"], "cpu", quiet)
    assert found.rates[0] == pytest.approx(1e-7)
    assert len(found.losses) == len(found.rates) <= 6
    assert left(workspace) == ["reports", "reports/lr_find", found.picture]
    with pytest.raises(ConfigError, match="no parameter is called like 'lstm_encodr'"):
        find_rate_job(workspace, None, [*SMALL, "freeze=[lstm_encodr]"], "cpu", quiet)


def test_a_search_for_a_rate_refuses_what_it_would_ignore(workspace: Workspace) -> None:
    """No option is accepted and then not used."""
    arguments = ["-w", str(workspace.root), "train", "--lr-find", "--fast-dev-run", "--stage", "second"]
    refused = CliRunner().invoke(app, arguments).exception
    assert isinstance(refused, UsageError)
    assert refused.message == "--lr-find does not go with --stage, --fast-dev-run"
