"""A training and its selection of inputs, through the command line (SEMANTICS A4)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_world import DAY, document, prepare, tftctl

from tftctl.core.times import iso
from tftctl.core.workspace import Workspace
from tftctl.data.allowlist import Provenance, write_allowlist
from tftctl.features.verdict import data_mark
from tftctl.store import Store

SMALL = (
    "--periods", "4h", "--max-epochs", "1", "--max-steps", "1", "--accelerator", "cpu",
    "-o", "batch_size=256", "-o", "plot_every_n_epochs=0",
)  # fmt: skip
NAMES = ["rsi_6", "log_return", "signal_1"]
OWN = ("-o", "max_epochs=2", "-o", "periods=[4h]", "-o", "batch_size=256", "-o", "max_steps=1")
OVERLAP = "--allow-selection-overlap"


@pytest.fixture
def mine(trained: Workspace, tmp_path: Path) -> Workspace:
    """The tiny market with a configuration of its own and without runs."""
    for entry in ("store", "tftctl.toml"):
        (tmp_path / entry).symlink_to(trained.root / entry)
    shutil.copytree(trained.root / "configs", tmp_path / "configs")
    return Workspace(tmp_path)


def selected(workspace: Workspace, after: int) -> Provenance:
    """An allowlist whose last label ends so many milliseconds after the cut of a training at 4h."""
    spec = prepare(workspace, "periods=[4h]").spec
    with Store(workspace.store).read() as snapshot:
        made = Provenance(
            "tftctl select run-pipeline --topk 3", snapshot.number, data_mark(snapshot), spec.train_end,
            spec.train_end + after, tuple(target.name for target in spec.targets), ("4h",), spec.train_end + DAY,
        )  # fmt: skip
    write_allowlist(workspace.configs / "selected_features.txt", NAMES, made)
    return made


def refused(done: Any, *texts: str) -> None:
    """Exit code 3 and one line."""
    error = document(done, 3)["error"]
    assert error["code"] == 3 and "\n" not in error["message"]
    for text in texts:
        assert text in f"{error['message']} | {error['hint']}"


def runs_of(workspace: Workspace) -> Sequence[str]:
    """Names of what lies in runs/."""
    return sorted(path.name for path in workspace.runs.iterdir()) if workspace.runs.exists() else []


def manifest_of(workspace: Workspace, run: str) -> dict[str, Any]:
    """The manifest of a run."""
    return json.loads((workspace.runs / run / "manifest.json").read_text())


def test_a_selection_inside_the_cut_is_used_and_kept(mine: Workspace) -> None:
    """Inputs, manifest, `runs show`; evaluation says that nothing overlaps; a resumed run has the same selection."""
    made = selected(mine, 0)
    done = tftctl(mine, "train", *SMALL, "--json")
    run = document(done)["run"]
    assert "selected_features" not in done.stderr
    manifest = manifest_of(mine, run)
    kept = manifest["selection"]
    assert sorted(manifest["inputs"]) == sorted(kept["features"]) == sorted(NAMES)
    assert (kept["command"], kept["last_label_end"]) == (made.command, iso(made.last_label_end))
    assert (kept["current"], kept["edited"], kept["allow_selection_overlap"]) == (True, False, False)
    shown = tftctl(mine, "runs", "show", run)
    assert "3 features; by tftctl select run-pipeline" in " ".join(shown.stdout.split())
    assert document(tftctl(mine, "eval", run, "--json"))["selection_overlap"] is False
    write_allowlist(mine.configs / "selected_features.txt", ["rsi_6"], replace(made, snapshot=99))
    resumed = document(tftctl(mine, "resume", run, "-o", "max_epochs=2", "--json"))["run"]
    assert manifest_of(mine, resumed)["selection"] == kept
    whole = tftctl(mine, "resume", run, "--config", str(mine.configs / "model_config.yaml"), *OWN, "--json")
    assert (
        "selected_features.txt and reals add none and drop log_return, signal_1"
        in document(whole, 2)["error"]["message"]
    )


def test_a_selection_that_read_past_the_cut_is_refused_before_torch_loads(mine: Workspace) -> None:
    """No run; the search for a rate, which scores nothing, is no training."""
    selected(mine, 1)
    program = (
        "import sys; from tftctl.cli.app import main; sys.argv = ['tftctl', *sys.argv[1:]]\n"
        "try: code = main()\nexcept SystemExit as end: code = end.code\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules; raise SystemExit(code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "-w", str(mine.root), "train", *SMALL, "--json"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    refused(done, "past the end of training", "run-pipeline", OVERLAP)
    assert runs_of(mine) == []


def test_an_overlap_is_stamped_into_the_run_and_into_its_evaluation(mine: Workspace, trained: Workspace) -> None:
    """Allowed for training, it is asked for again by `eval`; warm starts are held to the same."""
    made = selected(mine, DAY)
    done = tftctl(mine, "train", *SMALL, OVERLAP, "--json")
    run = document(done)["run"]
    assert "scores after that are not independent of it" in done.stderr
    kept = manifest_of(mine, run)["selection"]
    assert kept["allow_selection_overlap"] is True and kept["last_label_end"] == iso(made.last_label_end)
    refused(tftctl(mine, "eval", run, "--json"), run, "has read labels until", OVERLAP)
    assert not (mine.runs / run / "predictions").exists()
    seen = tftctl(mine, "eval", run, OVERLAP, "--json")
    assert document(seen)["selection_overlap"] is True
    assert "selected on labels after its training cut" in seen.stderr
    refused(tftctl(mine, "warm-start", run, *SMALL, "--json"), "past the end of training", OVERLAP)
    assert runs_of(mine) == [run]
    warm = document(tftctl(mine, "warm-start", run, *SMALL, OVERLAP, "--json"))["run"]
    assert manifest_of(mine, warm)["selection"] == kept
    resumed = document(tftctl(mine, "resume", run, "-o", "max_epochs=2", "--json"))["run"]
    assert manifest_of(mine, resumed)["selection"] == kept
    refused(tftctl(mine, "eval", resumed, "--json"), OVERLAP)


def test_a_list_changed_by_hand_and_a_damaged_one(mine: Workspace) -> None:
    """The first is said, once, and kept; the second stops a training before it begins."""
    selected(mine, 0)
    path = mine.configs / "selected_features.txt"
    whole = path.read_text()
    path.write_text(whole + "signal_2\n")
    done = tftctl(mine, "train", *SMALL, "--json")
    assert done.stderr.count("edited by hand since") == 1
    run = document(done)["run"]
    kept = manifest_of(mine, run)["selection"]
    assert kept["edited"] is True and kept["features"] == [*NAMES, "signal_2"]
    path.write_text("".join(line for line in whole.splitlines(keepends=True) if "last_label_end" not in line))
    refused(tftctl(mine, "train", *SMALL, "--json"), "header is damaged", "last_label_end")
    refused(tftctl(mine, "prune", "--dry-run", "--constant", "--json"), "header is damaged")
    assert runs_of(mine) == [run]


def test_other_targets_than_those_selected_for_are_said(mine: Workspace) -> None:
    """And a list made by hand is used without a word."""
    selected(mine, 0)
    done = tftctl(mine, "train", *SMALL, "--targets", "target_logreturn", "--fast-dev-run", "--json")
    assert "selected for other targets: also for target_binarytrend, target_max_drawdown" in done.stderr
    (mine.configs / "selected_features.txt").write_text("# mine\nrsi_6\n")
    done = tftctl(mine, "train", *SMALL, "--json")
    assert "selected_features" not in done.stderr
    kept = manifest_of(mine, document(done)["run"])["selection"]
    assert (kept["features"], kept["command"], kept["current"]) == (["rsi_6"], None, None)
