"""Two processes train as one with a batch as large (SEMANTICS M1, M2)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_world import document, epochs_of, fresh, linked, quiet, untimed

from tftctl.core.workspace import Workspace
from tftctl.start.jobs import train_job
from tftctl.train.checkpoint import load_checkpoint

OPTIONS = [
    "dropout=0", "periods=[4h]", "max_steps=4", "plot_every_n_epochs=0", "ema_decay=0.5",
    "targets=[target_binarytrend, target_logreturn, target_max_drawdown]", "pos_weight={target_binarytrend: batch}",
]  # fmt: skip


def test_two_processes_give_the_loss_of_one(trained: Workspace, tmp_path: Path) -> None:
    """Counts, sums and positives of the global batch, labels missing in part; gloo on the CPU, through the CLI."""
    workspace = linked(trained, tmp_path)
    one = train_job(workspace, None, [*OPTIONS, "batch_size=64"], "cpu", quiet)
    options = [part for option in [*OPTIONS, "batch_size=32", "devices=2"] for part in ("-o", option)]
    done = fresh(workspace, "train", "--accelerator", "cpu", "--json", *options)
    two = document(done)
    assert done.stderr.count("epoch 1/1") == 1
    runs = sorted(path.name for path in workspace.runs.iterdir())
    assert runs == sorted([one.run, two["run"]])
    for got, want in zip(*(untimed(epochs_of(workspace, run)) for run in (two["run"], one.run)), strict=True):
        assert got == {
            k: v if isinstance(v, str | None) else pytest.approx(v, rel=2e-5, abs=1e-6) for k, v in want.items()
        }


@pytest.mark.slow
def test_two_processes_go_on_with_their_own_generators(trained: Workspace, tmp_path: Path) -> None:
    """DESIGN 6: with dropout, after the first of two epochs, to the last digit."""
    workspace = linked(trained, tmp_path)
    options = ["periods=[4h]", "symbols=[SYN01]", "batch_size=100", "devices=2", "dropout=0.3", "max_epochs=2"]
    line = ["--accelerator", "cpu", "--json", *(part for option in options for part in ("-o", option))]
    whole = document(fresh(workspace, "train", *line, "-o", "plot_every_n_epochs=0"))
    (first,) = (workspace.runs / whole["run"] / "checkpoints").glob("epoch=000*")
    states = [process["rng"] for process in load_checkpoint(first).training["processes"]]
    assert len(states) == 2 and not torch.equal(states[0], states[1])
    again = document(fresh(workspace, "resume", str(first), "--accelerator", "cpu", "--json"))
    assert untimed(epochs_of(workspace, again["run"])) == untimed(epochs_of(workspace, whole["run"]))
