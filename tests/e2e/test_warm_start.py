"""`warm-start` through the job: the report, the rate, frozen parts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from training_world import epochs_of, linked, quiet

from tftctl.core.errors import ConfigError, UsageError
from tftctl.core.workspace import Workspace
from tftctl.start.jobs import eval_job, resume_job, train_job, warm_start_job
from tftctl.train.checkpoint import load_checkpoint

SMALL = ["periods=[4h]", "batch_size=300", "max_epochs=1", "plot_every_n_epochs=0"]
OLD = [*SMALL, "reals=[log_return, rsi_6, signal_1]", "targets=[target_logreturn, target_binarytrend]"]


@pytest.fixture(scope="module")
def parent(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A run with two targets, three inputs and two symbols."""
    workspace = linked(trained, tmp_path_factory.mktemp("warm"))
    run = train_job(workspace, None, [*OLD, "symbols=[SYN01, SYN02]", "lr=0.01", "max_epochs=2"], "cpu", quiet).run
    return workspace, str(run)


def test_more_targets_inputs_and_symbols(parent: tuple[Workspace, str]) -> None:
    """Issue's item 8: a run with its parent, a report on stderr and in the manifest, a small rate that only falls."""
    workspace, run = parent
    said: list[str] = []
    options = [*SMALL, "targets=[target_logreturn, target_max_drawdown]", "reals=[signal_1, log_return, signal_2]",
               "lr=0.01", "max_epochs=3"]  # fmt: skip
    result = warm_start_job(workspace, run, None, options, "cpu", said.append)
    assert str(result.run).startswith("warm-start-")
    manifest = json.loads((workspace.runs / str(result.run) / "manifest.json").read_text())
    assert (manifest["command"], manifest["parent"]) == ("warm-start", run)
    report = manifest["warm_start"]
    assert report["kept"]["inputs"] == ["log_return", "signal_1"]
    assert report["new"]["inputs"] == ["signal_2"]
    assert report["dropped"]["inputs"] == ["rsi_6"]
    assert (report["new"]["targets"], report["dropped"]["targets"]) == (["target_max_drawdown"], ["target_binarytrend"])
    assert (report["kept"]["symbols"], report["new"]["symbols"]) == (["SYN01", "SYN02"], ["SYN03"])
    assert 0 < report["loaded"] < report["parameters"]
    assert f"warm start: {report['loaded']:,} of {report['parameters']:,} parameters loaded" in said
    assert any(
        "targets: 1 kept, 1 fresh (target_max_drawdown), 1 dropped (target_binarytrend)" in line for line in said
    )
    rates = [row["lr"] for row in epochs_of(workspace, str(result.run))]
    assert rates == sorted(rates, reverse=True)
    assert max(rates) < 0.001  # a tenth of lr, and no rise
    assert eval_job(workspace, str(result.run), "val", "last").origins


def test_it_begins_where_the_parent_ended(parent: tuple[Workspace, str]) -> None:
    """With the same data a step that moves nothing leaves the parent's best validation as it was."""
    workspace, run = parent
    best = min(epochs_of(workspace, run), key=lambda row: -row["val_composite_score"])
    options = [*OLD, "symbols=[SYN01, SYN02]", "max_steps=1", "warm_start.lr=1e-30"]
    result = warm_start_job(workspace, run, None, options, "cpu", quiet)
    (row,) = epochs_of(workspace, str(result.run))
    assert row["val_loss"] == pytest.approx(best["val_loss"], rel=1e-6)
    scratch = train_job(workspace, None, [*options, "lr=1e-30"], "cpu", quiet)
    assert epochs_of(workspace, str(scratch.run))[0]["val_loss"] != pytest.approx(best["val_loss"], rel=1e-3)


def test_old_parts_can_rest_until_an_epoch(parent: tuple[Workspace, str]) -> None:
    """`freeze` and `unfreeze_at_epoch`: they do not move before, and do after; the same when resumed in between."""
    workspace, run = parent
    options = [*OLD, "symbols=[SYN01, SYN02]", "max_epochs=2", "warm_start.lr=0.01", "checkpoint_every_steps=1",
               "freeze=[lstm_*]", "unfreeze_at_epoch=1", "top_k=2"]  # fmt: skip
    said: list[str] = []
    result = warm_start_job(workspace, run, None, options, "cpu", said.append)
    folder = workspace.runs / str(result.run) / "checkpoints"
    best = warm_parent(workspace, run)
    first, last = (load_checkpoint(path).state for path in (sorted(folder.glob("epoch=000*"))[0], folder / "last.ckpt"))
    for name, value in best.items():
        if "lstm_" in name and "post" not in name:
            assert torch.equal(first[name], value) and not torch.equal(last[name], value), name
    moved = "network.tft.output_layer.0.weight"
    assert not torch.equal(first[moved], best[moved])
    frozen = [line for line in said if line.endswith("are frozen from epoch 1 on")]
    assert frozen and "0 parameters are frozen from epoch 2 on" in said


def warm_parent(workspace: Workspace, run: str) -> dict[str, torch.Tensor]:
    """The state that a warm start begins with: the best checkpoint's."""
    rows = epochs_of(workspace, run)
    best = max(rows, key=lambda row: row["val_composite_score"])["epoch"]
    return load_checkpoint(next((workspace.runs / run / "checkpoints").glob(f"epoch={best:03d}*"))).state


def test_a_warm_start_can_be_resumed(parent: tuple[Workspace, str]) -> None:
    """A training like any other."""
    workspace, run = parent
    result = warm_start_job(workspace, run, None, [*OLD, "max_epochs=1"], "cpu", quiet)
    again = resume_job(workspace, str(result.run), None, ["max_epochs=2"], "cpu", quiet)
    assert [row["epoch"] for row in epochs_of(workspace, str(again.run))] == [0, 1]


def test_without_a_checkpoint_there_is_nothing_to_begin_with(parent: tuple[Workspace, str], tmp_path: Path) -> None:
    """Neither command line nor configuration names one; a bad pattern of `freeze` leaves no run."""
    workspace, run = parent
    with pytest.raises(UsageError, match=r"which run\? None is named, and warm_start_ckpt"):
        warm_start_job(workspace, None, None, OLD, "cpu", quiet)
    config = tmp_path / "model_config.yaml"
    config.write_text((workspace.configs / "model_config.yaml").read_text() + f"warm_start_ckpt: {run}\n")
    runs = sorted(workspace.runs.iterdir())
    with pytest.raises(ConfigError, match="no parameter is called like 'lsmt_"):
        warm_start_job(workspace, None, config, [*OLD, "freeze=[lsmt_*]"], "cpu", quiet)
    assert sorted(workspace.runs.iterdir()) == runs
