"""Feature selection from the command line: its steps, its report, and that it can be killed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import forked
import polars as pl
import pytest
import selected_world
from selected_world import ALLOWLIST, EVIDENCE, KEEP, prepare, said, select, worked
from training_world import document, market, tftctl

from tftctl.core.workspace import Workspace
from tftctl.data.allowlist import read_allowlist

TINY = ("--periods", "4h", "--max-epochs", "1", "--max-steps", "1", "--accelerator", "cpu", "-o", "batch_size=256")
CELL = {
    "target", "period", "skill", "threshold_z", "above", "rows", "folds", "train_rows", "train_rows_read", "test_rows",
    "test_rows_read",
}  # fmt: skip
CORE = {"selected", "topk", "level", "level_over", "pool", "counts", "agreement", "without_gate"}
SEARCH = {
    "method", "pool", "selected", "size", "objective", "skill", "pool_skill", "trials", "stopped_by", "seconds",
    "history", "nested", "unfit", "study",
}  # fmt: skip
ROLLING = {"folds", "unfit", "gains", "stability", "trials", "deflated"}
REPORT = {
    "command", "made_at", "snapshot", "data", "cut", "until", "last_label_end", "stage", "targets", "periods", "pool",
    "seconds", "stages", "evidence", "unfit", "absent", "core", "gates", "optimize", "rolling", "selected", "allowlist",
}  # fmt: skip
STAGES = ["tree-perm", "aggregate-core", "optimize-subset", "rolling-validate"]


@pytest.fixture(scope="session")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Every step by itself."""
    return selected_world.stepped(tmp_path_factory)


@pytest.fixture(scope="session")
def piped(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One undisturbed pipeline."""
    return worked(
        tmp_path_factory, "piped", lambda workspace: {"run-pipeline": select(workspace, "run-pipeline", KEEP)}
    )


@pytest.fixture
def mine(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Workspace:
    """A workspace of the test's own where nothing was selected yet."""
    return prepare(tmp_path, market(tmp_path_factory).root)


def test_every_step_prints_its_document(stepped: Workspace) -> None:
    """Keys of DESIGN 7 and those beside them; files are where they say."""
    told = said(stepped)
    trees, core, found, rolling = (told[name] for name in STAGES)
    assert set(trees) == {
        "selected", "evidence", "allowlist", "cells", "unfit", "fresh", "last_label_end", "seconds",
    }  # fmt: skip
    assert (trees["selected"], trees["allowlist"], trees["fresh"]) == ([], None, 0)
    assert [(cell["period"], cell["target"]) for cell in trees["cells"]] == [
        (period, target) for period in ("4h", "1h") for target in ("target_binarytrend", "target_logreturn")
    ]
    assert all(set(cell) == CELL and cell["folds"] == 2 for cell in trees["cells"])
    assert len(list((stepped.root / trees["evidence"]).glob("*.parquet"))) == 4
    assert set(core) == CORE | {"stage", "evidence", "allowlist"}
    assert (core["topk"], len(core["selected"]), core["pool"], core["stage"]) == (6, 6, 15, "stage_1")
    summary = pl.read_csv(stepped.root / core["evidence"])
    assert summary.filter(pl.col("selected"))["feature"].to_list() == core["selected"]
    assert set(found) == SEARCH | {"evidence", "allowlist"}
    assert set(found["selected"]) <= set(core["selected"]) and found["pool"] == 6
    assert (stepped.root / found["evidence"]).is_file() and found["trials"] == 6
    assert set(rolling) == ROLLING | {"selected", "evidence", "allowlist"}
    assert rolling["selected"] == rolling["folds"][-1]["selected"] and rolling["allowlist"] is None
    kept = json.loads((stepped.root / rolling["evidence"]).read_text())
    assert kept == {key: rolling[key] for key in ROLLING}
    # every command before, and this one: one trial each of both targets but for the search's six
    assert rolling["trials"] == {"target_binarytrend": 9, "target_logreturn": 9}


def test_lists_say_what_they_were_made_from(stepped: Workspace, tmp_path: Path) -> None:
    """The core set's, then the search's in its place; `cut` is the training's, no label ends after it."""
    told = said(stepped)
    (tmp_path / "core.txt").write_text(told["core list"])
    for path, name in ((tmp_path / "core.txt", "aggregate-core"), (stepped.root / ALLOWLIST, "optimize-subset")):
        found = read_allowlist(path)
        assert found is not None and found.provenance is not None and not found.edited
        assert list(found.names) == told[name]["selected"]
        made = found.provenance
        assert made.command == f"tftctl select {name}"
        assert (made.targets, made.periods) == (("target_binarytrend", "target_logreturn"), ("1h", "4h"))
        assert made.last_label_end <= made.cut
        assert made.facts["stage"] == "stage_1"


def test_a_pipeline_leaves_its_report(piped: Workspace) -> None:
    told = said(piped)["run-pipeline"]
    assert set(told) == REPORT | {"cells", "report"}
    assert [stage["name"] for stage in told["stages"]] == STAGES
    report = json.loads((piped.root / EVIDENCE / "report.json").read_text())
    assert report == {key: told[key] for key in REPORT} | {"evidence": told["cells"]}
    assert set(told["core"]) == CORE and set(told["optimize"]) == SEARCH and set(told["rolling"]) == ROLLING
    assert told["gates"] is None and told["unfit"] == []
    assert told["report"] == str(EVIDENCE / "report.html")
    page = (piped.root / EVIDENCE / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and all(name in page for name in told["selected"])
    found = read_allowlist(piped.root / told["allowlist"])
    assert found is not None and found.provenance is not None
    assert list(found.names) == told["selected"] and set(found.names) <= set(told["core"]["selected"])
    assert found.provenance.command == "tftctl select run-pipeline"
    assert told["until"] < told["last_label_end"] <= told["cut"]
    for cell in json.loads((piped.root / EVIDENCE / "tree_perm" / "index.json").read_text())["cells"]:
        facts = json.loads(
            (piped.root / EVIDENCE / "tree_perm" / f"{cell['period']}-{cell['target']}.json").read_text()
        )
        assert facts["last_label_end"] <= told["until"]  # the nested fold is unseen


def test_training_reads_the_list_and_refuses_an_earlier_cut(piped: Workspace, tmp_path: Path) -> None:
    workspace = prepare(tmp_path, piped.root)
    done = document(tftctl(workspace, "train", *TINY, "--json"))
    manifest = json.loads((workspace.runs / done["run"] / "manifest.json").read_text())
    told = said(piped)["run-pipeline"]
    assert sorted(manifest["inputs"]) == sorted(told["selected"]) == sorted(manifest["selection"]["features"])
    assert manifest["selection"]["last_label_end"] == told["last_label_end"]
    assert manifest["selection"]["command"] == "tftctl select run-pipeline"
    refused = tftctl(workspace, "train", *TINY, "-o", "val_ratio=0.4", "--json")
    error = document(refused, 3)["error"]
    assert "past the end of training" in error["message"] and "--allow-selection-overlap" in error["hint"]
    assert [path.name for path in workspace.runs.iterdir()] == [done["run"]]


def steady(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without what clocks, places and the number of attempts decide."""
    left = {key: value for key, value in report.items() if key not in ("seconds", "made_at", "stages")}
    left["optimize"] = {key: value for key, value in report["optimize"].items() if key not in ("seconds", "study")}
    return left


def kill_when(workspace: Workspace, reached: Callable[[Path], bool]) -> None:
    """Begin the pipeline, and SIGKILL it as soon as something is there."""
    arguments = ["-w", str(workspace.root), "select", "run-pipeline", KEEP, "--jobs", "1", "--json"]
    with forked.running(arguments) as process:
        until = time.monotonic() + 120
        while not reached(workspace.root / EVIDENCE):
            assert process.is_alive(), list(process.stderr)
            assert time.monotonic() < until, "it does not come to that"
            time.sleep(0.002)
        process.signal(9)
        assert process.end()[0] == -9


def trials_in(study: Path) -> int:
    """Sets that a search has scored so far."""
    if not study.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{study}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT COUNT(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # its tables are being made


def test_a_pipeline_killed_at_every_stage_ends_as_an_undisturbed_one(piped: Workspace, mine: Workspace) -> None:
    """After the first cell, while it searches, while it walks forward: then once more, to the end."""
    kill_when(mine, lambda folder: any((folder / "tree_perm").glob("*.json")))
    assert not (mine.root / EVIDENCE / "tree_perm" / "index.json").exists()
    kill_when(mine, lambda folder: trials_in(folder / "optimize_subset.sqlite3") >= 2)
    kill_when(mine, lambda folder: any((folder / "rolling_validate").glob("*/*/*.json")))
    assert not (mine.root / ALLOWLIST).exists() and not (mine.root / EVIDENCE / "report.json").exists()
    told = select(mine, "run-pipeline", KEEP)
    whole = said(piped)["run-pipeline"]
    assert steady(told) == steady(whole)
    fresh = {stage["name"]: stage["fresh"] for stage in told["stages"]}
    assert fresh["tree-perm"] and not fresh["rolling-validate"]
    lists = [read_allowlist(workspace.root / ALLOWLIST) for workspace in (mine, piped)]
    assert lists[0] is not None and lists[1] is not None and lists[0].names == lists[1].names


def finished(piped: Workspace, root: Path) -> Workspace:
    """A copy of the undisturbed pipeline that may go on."""
    workspace = prepare(root, piped.root)
    for folder in ("reports", "runs"):
        shutil.copytree(piped.root / folder, root / folder)
    return workspace


def test_a_finished_pipeline_only_reads(piped: Workspace, tmp_path: Path) -> None:
    """Run again it says the same, all of it fresh."""
    workspace = finished(piped, tmp_path)
    done = tftctl(workspace, "select", "run-pipeline", KEEP)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / EVIDENCE / "report.json").read_text())
    whole = said(piped)["run-pipeline"]
    for name in again["selected"]:
        assert f"\t{name}\t" in done.stdout
    assert f"{len(again['selected'])} of 15 features selected in" in done.stderr
    assert f"report: {EVIDENCE}/report.html; allowlist: {ALLOWLIST}" in done.stderr
    assert "rows of folds were sampled for 2 cells" in done.stderr
    assert "after 9 trials: gain over all" in done.stderr
    before = {key: value for key, value in steady(whole).items() if key in REPORT} | {"evidence": whole["cells"]}
    assert steady(again) == before
    assert {stage["name"]: stage["fresh"] for stage in again["stages"]} == {
        "tree-perm": True, "aggregate-core": False, "optimize-subset": False, "rolling-validate": True,
    }  # fmt: skip


@pytest.mark.slow
def test_a_finished_pipeline_takes_gates_in(piped: Workspace, trained: Workspace, tmp_path: Path) -> None:
    """With a network's gates only what they change is made again."""
    workspace = finished(piped, tmp_path)
    checkpoint = next(trained.runs.glob("train-*/checkpoints/last.ckpt"))
    gated = select(workspace, "run-pipeline", KEEP, "--ckpt", str(checkpoint))
    assert [stage["name"] for stage in gated["stages"]] == [STAGES[0], "tft-gating", *STAGES[1:]]
    assert gated["stages"][0]["fresh"] and not gated["stages"][1]["fresh"]
    assert gated["gates"]["chosen_by_validation"] is False and gated["gates"]["origins"] > 0
    assert set(gated["core"]["agreement"]) == {"all", "1h", "4h"}
    summary = pl.read_csv(workspace.root / EVIDENCE / "aggregated_core.csv")
    assert summary["gate"].null_count() == 0 and gated["core"]["without_gate"] == []
    best = summary.sort("gate")["gate"].to_list()
    assert best[0] >= 0 and best[-1] > 0.5
    assert (summary["score"] - summary["trees"] - 0.15 * summary["gate"]).abs().max() < 1e-9
