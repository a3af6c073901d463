"""`tftctl runs` as a process, on run directories made by hand."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_world import make_run, rows_of
from training_world import document, tftctl

from tftctl.core.workspace import Workspace

HEAVY = (
    "torch", "lightning", "polars", "duckdb", "pyarrow", "pandas", "sklearn", "numba", "matplotlib", "tensorboard",
    "numpy",
)  # fmt: skip
KEYS = {"run", "command", "started", "epochs", "val_composite_score", "val_loss", "snapshot"}


@pytest.fixture
def runs(workspace: Workspace) -> Workspace:
    make_run(workspace, "train-20260101_0000", rows_of([0.5, 0.7], losses=[0.9, 0.8]), age_days=40)
    make_run(workspace, "train-20260201_0000", rows_of([0.6, 0.4], losses=[0.5, 0.6]), age_days=30)
    return workspace


def test_list_prints_the_documented_keys(runs: Workspace) -> None:
    found = document(tftctl(runs, "runs", "list", "--json"))
    assert [(run["run"], run["val_composite_score"], run["val_loss"], run["epochs"]) for run in found] == [
        ("train-20260101_0000", 0.7, 0.8, 2), ("train-20260201_0000", 0.6, 0.5, 2),
    ]  # fmt: skip
    assert all(run.keys() >= KEYS for run in found)
    table = tftctl(runs, "runs", "list", "--sort", "val_loss").stdout.splitlines()
    assert [line.split("\t")[0] for line in table] == ["run", "train-20260201_0000", "train-20260101_0000"]


@pytest.mark.parametrize("arguments", [["runs", "list"], ["runs", "list", "--sort", "bytes", "--json"]])
def test_listing_imports_nothing_heavy(runs: Workspace, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom tftctl.cli.app import main\n"
        f"try:\n    main(['-w', {str(runs.root)!r}, *{arguments!r}])\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr
    assert "train-20260201_0000" in done.stdout


def test_a_damaged_run_is_a_warning_beside_the_others(runs: Workspace) -> None:
    (runs.runs / "train-20260201_0000" / "manifest.json").write_text('{"run": ')
    with (runs.runs / "train-20260101_0000" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "val_lo')
    done = tftctl(runs, "runs", "list", "--json")
    assert [run["epochs"] for run in document(done)] == [2]
    assert done.stderr.startswith("warning: ")
    assert "train-20260201_0000 has no readable manifest.json" in done.stderr


def test_a_workspace_without_runs_has_an_empty_list(workspace: Workspace) -> None:
    assert document(tftctl(workspace, "runs", "list", "--json")) == []
    done = tftctl(workspace, "runs", "show")
    assert (done.returncode, "there are no runs yet" in done.stderr) == (2, True)


def test_show_as_document_and_as_tables(runs: Workspace) -> None:
    found = document(tftctl(runs, "runs", "show", "train-20260101_0000", "--json"))
    assert found.keys() >= KEYS
    assert (found["best"]["epoch"], found["last"]["epoch"], found["facts"]["seed"]) == (1, 1, 2025)
    assert found["changes"][0] == {"key": "hidden_size", "value": 32, "default": 256}
    shown = tftctl(runs, "runs", "show", "train-20260101_0000").stdout
    assert "hidden_size\t32\t256" in shown
    assert "last.ckpt\t\t\t\t1000" in shown
    assert "val_loss\t0.8\t0.8" in shown


def test_compare_draws_and_prints(runs: Workspace) -> None:
    names = ["train-20260101_0000", "train-20260201_0000"]
    picture = runs.root / "curves.png"
    found = document(tftctl(runs, "runs", "compare", *names, "--keys", "val_loss", "--output", str(picture), "--json"))
    assert [(row["run"], row["best"], row["last"]) for row in found["values"]] == [
        (names[0], pytest.approx(0.8), pytest.approx(0.8)), (names[1], pytest.approx(0.5), pytest.approx(0.6)),
    ]  # fmt: skip
    assert found["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    done = tftctl(runs, "runs", "compare", *names)
    assert f"picture: {runs.reports / 'runs' / 'compare-'}" in done.stderr
    assert done.stdout.splitlines()[0].split("\t")[:3] == ["key", "run", "best"]


def test_plot_weights_writes_beside_the_reports(runs: Workspace) -> None:
    done = tftctl(runs, "runs", "plot-weights", "train-20260101_0000")
    assert done.returncode == 0, done.stderr
    assert (runs.reports / "runs" / "train-20260101_0000-weights.png").read_bytes().startswith(b"\x89PNG")
    assert done.stdout.splitlines()[1].startswith("target_logreturn\t1.0\t1.0\t1.0\t0.9")


def test_clean_shows_refuses_and_removes(runs: Workspace) -> None:
    planned = document(tftctl(runs, "runs", "clean", "--older-than", "35d", "--dry-run", "--json"))
    assert ([run["run"] for run in planned["removed"]], planned["dry_run"]) == (["train-20260101_0000"], True)
    assert planned["bytes"] == planned["removed"][0]["bytes"] > 1000
    for extra in ([], ["--json"]):
        refused = tftctl(runs, "runs", "clean", "--older-than", "35d", *extra)
        assert refused.returncode == 2
        assert "--yes" in refused.stderr
    assert len(list(runs.runs.iterdir())) == 2
    done = document(tftctl(runs, "runs", "clean", "--older-than", "35d", "--yes", "--json"))
    assert done == planned | {"dry_run": False}
    assert [path.name for path in runs.runs.iterdir()] == ["train-20260201_0000"]


def test_clean_says_what_it_keeps(runs: Workspace) -> None:
    make_run(runs, "resume-20260301_0000", rows_of([0.9]), parent="train-20260101_0000")
    done = tftctl(runs, "runs", "clean", "--match", "train-*", "--yes")
    assert done.returncode == 0, done.stderr
    assert "kept train-20260101_0000: resume-20260301_0000 came from it and stays" in done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["run", "train-20260201_0000"]
    assert "removed 1 run, " in done.stderr


@pytest.mark.parametrize(("answer", "left"), [("y", 1), ("n", 2), ("", 2)])
def test_clean_asks_on_a_terminal(runs: Workspace, answer: str, left: int) -> None:
    code, shown = on_terminal([*"runs clean --older-than 35d".split()], runs, answer + "\n")
    assert "Remove 1 run, " in shown
    assert "train-20260101_0000" in shown
    assert ("nothing was removed" in shown) == (answer != "y")
    assert (code, len(list(runs.runs.iterdir()))) == (0 if answer == "y" else 1, left)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "train-20260101_000"], "did you mean 'train-20260101_0000'"),
        (["plot-weights", "trian"], "there is no run 'trian'"),
        (["compare", "train-20260101_0000"], "two different runs"),
        (["compare", "train-20260101_0000", "train-20260201_0000", "--keys", "val_los"], "did you mean 'val_loss'"),
        (["list", "--sort", "scor"], "--sort scor"),
        (["clean"], "--match GLOB"),
        (["clean", "--older-than", "soon"], "like 45m, 12h, 30d or 8w"),
        (["clean", "--before", "soon"], "like 2026-11-26"),
        (["clean", "--keep-best", "0"], "--keep-best"),
    ],
)
def test_what_cannot_be_is_exit_2_and_one_message(runs: Workspace, arguments: list[str], words: str) -> None:
    done = tftctl(runs, "runs", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_a_run_without_curves_is_exit_3(runs: Workspace) -> None:
    make_run(runs, "train-20260301_0000")
    done = tftctl(runs, "runs", "compare", "train-20260101_0000", "train-20260301_0000", "--json")
    assert done.returncode == 3
    assert "holds no curves" in json.loads(done.stdout)["error"]["message"]


def on_terminal(arguments: list[str], workspace: Workspace, typed: str) -> tuple[int, str]:
    """Run the command with a pseudo-terminal as its three streams, type, and return exit code and what is shown."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tftctl", "-w", str(workspace.root), *arguments],
        stdin=follower, stdout=follower, stderr=follower, env={**os.environ, "TERM": "dumb"}, cwd=Path.cwd(),
    )  # fmt: skip
    os.close(follower)
    shown, deadline, asked = b"", time.monotonic() + 60, False
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                shown += os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
        if b"?" in shown and not asked:
            os.write(leader, typed.encode())
            asked = True
    os.close(leader)
    return process.wait(timeout=30), shown.decode()
