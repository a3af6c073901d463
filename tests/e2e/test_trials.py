"""`--fast-dev-run`, `--overfit-batches`, `--lr-find`: trials of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_world import epochs_of, linked, quiet

from tftctl.core.errors import ConfigError
from tftctl.core.workspace import Workspace
from tftctl.start.jobs import find_rate_job, resume_job, train_job

OPTIONS = ["periods=[4h]", "batch_size=64", "targets=[target_logreturn, target_binarytrend]"]


@pytest.fixture
def workspace(trained: Workspace, tmp_path: Path) -> Workspace:
    """The trained market without its runs."""
    return linked(trained, tmp_path)


def test_a_trial_goes_all_the_way_and_keeps_nothing(workspace: Workspace) -> None:
    """One step, one look at validation, checkpoint and pictures included; no run, no stage log."""
    seen: list[Any] = []
    result = train_job(workspace, None, OPTIONS, "cpu", quiet, seen.append, trial=True)
    assert (result.run, result.best_checkpoint, result.last_checkpoint, result.epochs) == (None, None, None, 1)
    assert [(status.phase, status.done, status.total) for status in seen if status.phase != "validation"] == [
        ("train", 1, 1), ("epoch", 1, 1),
    ]  # fmt: skip
    assert not workspace.runs.exists()
    assert not (workspace.root / "stage_logs").exists()


def test_a_few_batches_can_be_learned_by_heart(workspace: Workspace) -> None:
    """Training and validation are the same windows, so that the loss must fall far below that of the data."""
    options = [*OPTIONS, "max_epochs=25", "max_encoder_length=6", "lr=0.03", "dropout=0", "plot_every_n_epochs=0",
               "monitor=val_loss", "monitor_mode=min", "hidden_size=16", "batch_size=16"]  # fmt: skip
    result = train_job(workspace, None, options, "cpu", quiet, overfit_batches=1)
    rows = epochs_of(workspace, str(result.run))
    assert rows[-1]["step"] == 25
    assert rows[-1]["val_loss"] < 0.5 * rows[0]["val_loss"]
    again = resume_job(workspace, str(result.run), None, ["max_epochs=26"], "cpu", quiet)
    assert epochs_of(workspace, str(again.run))[25]["step"] == 26


def test_a_rate_is_found_and_nothing_is_trained(workspace: Workspace) -> None:
    """A picture in reports/, a suggestion where the loss falls, no run."""
    found = find_rate_job(workspace, None, [*OPTIONS, "batch_size=16", "max_encoder_length=6"], "cpu", quiet)
    assert found.suggestion is not None and 1e-5 < found.suggestion < 1
    assert found.rates == sorted(found.rates)
    assert (workspace.root / found.picture).read_bytes().startswith(b"\x89PNG")
    assert len(found.curve()) >= 15
    assert not workspace.runs.exists()


def test_fewer_origins_than_portions_of_a_batch_are_refused(workspace: Workspace) -> None:
    """There would be no step."""
    with pytest.raises(ConfigError, match="training origins are fewer than the 99999 portions of a batch"):
        train_job(workspace, None, [*OPTIONS, "accumulate_grad_batches=99999"], "cpu", quiet)
    assert not workspace.runs.exists()
