"""Feature selection from the command line: its steps, its report, what it refuses, and that it can be killed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import forked
import polars as pl
import pytest
from training_world import MODEL, document, market, once, tftctl

from tftctl.cli.app import main
from tftctl.core.workspace import Workspace
from tftctl.data.allowlist import read_allowlist
from tftctl.store import Store

SELECTION = """\
targets: [target_binarytrend, target_logreturn]
periods: [1h, 4h]
seed: 7
trees: {trees: 20, leaves: 7, learning_rate: 0.2, column_share: 0.6}
folds: {val_ratio: 0.34, folds: 2, train_rows: 1000, test_rows: 800}
repeats: 1
topk: 6
optimize: {trials: 6, train_rows: 600, test_rows: 500, nested_ratio: 0.2}
rolling: {folds: 2, test_ratio: 0.15, random_sets: 2, selection_folds: 1, repeats: 1, train_rows: 600, test_rows: 500}
"""
EVIDENCE = Path("reports/feature_evidence")
ALLOWLIST = Path("configs/selected_features.txt")
KEEP = "--keep-below"  # six features with the small budgets, whether they are evidence or not
TINY = ("--periods", "4h", "--max-epochs", "1", "--max-steps", "1", "--accelerator", "cpu", "-o", "batch_size=256")
CELL = {
    "target", "period", "skill", "threshold_z", "above", "rows", "folds", "train_rows", "train_rows_read", "test_rows",
    "test_rows_read",
}  # fmt: skip
CORE = {"selected", "topk", "pool", "counts", "agreement", "without_gate"}
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


def prepare(root: Path, source: Path) -> Workspace:
    """The tiny market at 1h and 4h, with small budgets and without runs."""
    for entry in ("store", "tftctl.toml"):
        (root / entry).symlink_to(source / entry)
    shutil.copytree(source / "configs", root / "configs")
    (root / "configs" / "selection.yaml").write_text(SELECTION)
    (root / "configs" / "model_config.yaml").write_text(MODEL + "periods: [1h, 4h]\n")
    return Workspace(root)


def worked(
    tmp_path_factory: pytest.TempPathFactory, name: str, work: Callable[[Workspace], Mapping[str, Any]]
) -> Workspace:
    """A workspace in which something was done once for all test processes; what it said is in said.json."""

    def make(root: Path) -> None:
        workspace = prepare(root, market(tmp_path_factory).root)
        (root / "said.json").write_text(json.dumps(work(workspace)))

    return Workspace(once(tmp_path_factory, name, make))


def said(workspace: Workspace) -> dict[str, Any]:
    return json.loads((workspace.root / "said.json").read_text())


def select(workspace: Workspace, *arguments: str) -> Any:
    """The JSON document of a select command that is a process."""
    return document(tftctl(workspace, "select", *arguments, "--json"))


@pytest.fixture(scope="session")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Every step by itself, each reading what the one before has left; the allowlists after two of them."""

    def work(workspace: Workspace) -> Mapping[str, Any]:
        told = {
            "tree-perm": select(workspace, "tree-perm"),
            "aggregate-core": select(workspace, "aggregate-core", KEEP),
        }
        told["core list"] = (workspace.root / ALLOWLIST).read_text()
        told["optimize-subset"] = select(workspace, "optimize-subset")
        told["rolling-validate"] = select(workspace, "rolling-validate", KEEP)
        return told

    return worked(tmp_path_factory, "stepped", work)


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
    assert set(told) == REPORT | {"evidence_folder", "report"}
    assert [stage["name"] for stage in told["stages"]] == STAGES
    report = json.loads((piped.root / EVIDENCE / "report.json").read_text())
    assert report == {key: told[key] for key in REPORT}
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


def test_a_finished_pipeline_only_reads_and_takes_gates_in(
    piped: Workspace, trained: Workspace, tmp_path: Path
) -> None:
    """Run again it says the same, all of it fresh; with a network's gates only what they change is made again."""
    workspace = prepare(tmp_path, piped.root)
    for folder in ("reports", "runs"):
        shutil.copytree(piped.root / folder, tmp_path / folder)
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
    assert steady(again) == {key: value for key, value in steady(whole).items() if key in REPORT}
    assert {stage["name"]: stage["fresh"] for stage in again["stages"]} == {
        "tree-perm": True, "aggregate-core": False, "optimize-subset": False, "rolling-validate": True,
    }  # fmt: skip
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


def here(workspace: Workspace, code: int, *arguments: str) -> str:
    """What a select command in this process prints on stdout; it ends with this code."""
    with redirect_stdout(StringIO()) as stdout, pytest.raises(SystemExit) as ended:
        main(["-w", str(workspace.root), "select", *arguments])
    assert (ended.value.code or 0) == code, stdout.getvalue()
    return stdout.getvalue()


def test_nothing_is_selected_where_nothing_is_evidence(mine: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The list that was there stays; the report says why there is no other."""
    (mine.root / ALLOWLIST).write_text("rsi_6\n")
    text = here(mine, 0, "run-pipeline", "--periods", "4h", "-o", "level=1e-9", "--json")
    told = json.loads(text)
    assert told["selected"] == [] and told["core"]["counts"] == {"below the threshold": told["pool"]}
    assert (told["optimize"], told["rolling"], told["allowlist"]) == (None, None, None)
    assert (mine.root / ALLOWLIST).read_text() == "rsi_6\n"
    said = capsys.readouterr().err
    assert "there is nothing to search or to validate" in said and f"{ALLOWLIST} stays as it was" in said
    assert (mine.root / told["report"]).is_file()
    text = here(mine, 0, "aggregate-core", "-o", "level=1e-9", "--json")
    told = json.loads(text)
    assert (told["selected"], told["allowlist"]) == ([], None)
    assert "--keep-below takes the best ones" in capsys.readouterr().err
    assert (mine.root / ALLOWLIST).read_text() == "rsi_6\n"
    assert "selects no feature: there is nothing to search" in refusal(mine, 3, "optimize-subset")


def state_of(root: Path) -> dict[str, str]:
    """Digest of every file of a workspace but those of the store."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("configs", "reports", "runs")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def refusal(workspace: Workspace, code: int, *arguments: str) -> str:
    """Message (one line per problem) and hint of a select command in this process; nothing was written or lost."""
    before = state_of(workspace.root)
    error = json.loads(here(workspace, code, *arguments, "--json"))["error"]
    assert error["code"] == code
    assert "\n" not in error["message"].replace("\n" + str(workspace.root), "") + error["hint"]  # a line per problem
    assert state_of(workspace.root) == before
    return f"{error['message']} | {error['hint']}"


@pytest.mark.parametrize(
    ("code", "command", "parts"),
    [
        (3, "tree-perm --targets target_logretrn", ["no target 'target_logretrn'", "did you mean 'target_logreturn'?"]),
        (3, "tree-perm --periods 2h", ["no period '2h'", "1h, 4h"]),
        (3, "run-pipeline --targets target_logretrn", ["no target 'target_logretrn'"]),
        (3, "rolling-validate --periods 2h", ["no period '2h'"]),
        (2, "aggregate-core --stage stage_9", ["--stage stage_9", "stage_1"]),
        (2, "run-pipeline --stage stage_9", ["--stage stage_9", "stage_1"]),
        (2, "aggregate-core --pin sgnal_1", ["'sgnal_1' is no feature", "did you mean 'signal_1'?"]),
        (2, "run-pipeline --pin sgnal_1", ["'sgnal_1' is no feature", "did you mean 'signal_1'?"]),
        (2, "rolling-validate --ban sgnal_1", ["'sgnal_1' is no feature", "did you mean 'signal_1'?"]),
        (2, "aggregate-core --topk 99", ["topk 99: the pool has 15 features", "at most 15"]),
        (2, "run-pipeline --topk 99", ["topk 99: the pool has 15 features", "at most 15"]),
        (2, "aggregate-core --tft-bonus 0.2", ["--tft-bonus", "--tft-file"]),
        (2, "run-pipeline --tft-bonus 0.2", ["--tft-bonus", "--ckpt"]),
        (3, "aggregate-core --in nowhere", ["nowhere has no evidence", "tftctl select tree-perm --out"]),
        (3, "aggregate-core --tft-file no.csv", ["no.csv does not exist", "tftctl select tft-gating --ckpt"]),
        (3, f"aggregate-core --tft-file {EVIDENCE}/aggregated_core.csv", ["has no column 'variables'", "tft-gating"]),
        (3, "optimize-subset --in no.csv", ["no.json does not exist", "tftctl select aggregate-core"]),
        (2, "run-pipeline --ckpt train-nowhere", ["train-nowhere"]),
        (2, "run-pipeline -o optimize.trial=3", ["optimize.trial", "did you mean 'trials'?"]),
        (2, "tree-perm -o model.val_rato=0.3", ["val_rato", "did you mean 'val_ratio'?"]),
        (2, "tree-perm -o folds.val_ratio=0.7", ["folds.val_ratio", "0.7", "0.5"]),
        (2, "tree-perm --val-mode days --val-days 0", ["--val-days"]),
        (3, "tree-perm --val-mode days --val-days 60", ["needs at least 120 days", "60 days"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(stepped: Workspace, code: int, command: str, parts: list[str]) -> None:
    text = refusal(stepped, code, *command.split())
    for part in parts:
        assert part in text


def test_a_wrong_key_of_the_file_is_said_with_the_nearest(mine: Workspace) -> None:
    path = mine.configs / "selection.yaml"
    path.write_text(SELECTION.replace("leaves:", "leafs:").replace("topk: 6", "topk: none"))
    text = refusal(mine, 2, "run-pipeline")
    assert str(path) in text and "leafs" in text and "did you mean 'leaves'?" in text
    assert "topk" in text  # all problems at once


def test_evidence_that_was_stopped_is_no_evidence(stepped: Workspace, mine: Workspace) -> None:
    shutil.copytree(stepped.root / EVIDENCE / "tree_perm", mine.root / EVIDENCE / "tree_perm")
    (mine.root / EVIDENCE / "tree_perm" / "index.json").unlink()
    assert "is not complete: tree-perm was stopped" in refusal(mine, 3, "aggregate-core")


def test_a_period_with_too_few_rows_says_how_many_and_is_left_out_by_name(mine: Workspace) -> None:
    longer = ("-o", "model.periods=[4h, 1d]", "--periods", "4h,1d")
    text = refusal(mine, 3, "tree-perm", *longer)
    assert "target_binarytrend at 1d" in text and "it needs 200" in text and "--skip-unfit" in text
    assert "(and 1 more of 4 cannot be judged)" in text
    done = tftctl(mine, "select", "tree-perm", *longer, "--skip-unfit", "--json")
    told = document(done)
    assert [(cell["period"], cell["target"]) for cell in told["unfit"]] == [
        ("1d", "target_binarytrend"), ("1d", "target_logreturn"),
    ]  # fmt: skip
    assert {cell["period"] for cell in told["cells"]} == {"4h"}
    assert done.stderr.count("left out: target_") == 2
    text = here(mine, 0, "tree-perm", *longer, "--skip-unfit", "--preview", "2")
    lines = [line.split("\t") for line in text.splitlines()]
    assert lines[0][:4] == ["period", "target", "feature", "importance"]
    assert [line[:2] for line in lines[1:]] == [["4h", "target_binarytrend"]] * 2 + [["4h", "target_logreturn"]] * 2


def test_a_target_of_one_class_is_refused(mine: Workspace) -> None:
    """In a store of its own, where every bar rises."""
    source = (mine.root / "store").resolve()
    (mine.root / "store").unlink()
    shutil.copytree(source, mine.root / "store")
    store = Store(mine.root / "store")
    with store.write("only rising bars") as txn:
        rows = txn.base.scan("targets", "4h").collect(engine="in-memory")
        rising = pl.when(pl.col("target_binarytrend").is_not_null()).then(1.0).cast(rows.schema["target_binarytrend"])
        txn.replace("targets", "4h", rows.with_columns(rising.alias("target_binarytrend")))
        txn.commit()
    text = refusal(mine, 3, "run-pipeline")
    assert "target_binarytrend at 4h, test fold 1" in text and "training rows have only class 1" in text
    assert "--targets, or --skip-unfit" in text and "(and" not in text
