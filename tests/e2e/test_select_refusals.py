"""What the select commands refuse, in one line, with nothing written or lost; and selections that find nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
import selected_world
from selected_world import ALLOWLIST, EVIDENCE, SELECTION, prepare
from training_world import document, market, tftctl

from tftctl.cli.app import main
from tftctl.core.workspace import Workspace
from tftctl.store import Store


@pytest.fixture(scope="session")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Every step by itself."""
    return selected_world.stepped(tmp_path_factory)


@pytest.fixture
def mine(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Workspace:
    """A workspace of the test's own where nothing was selected yet."""
    return prepare(tmp_path, market(tmp_path_factory).root)


def here(workspace: Workspace, code: int, *arguments: str) -> str:
    """What a select command in this process prints on stdout; it ends with this code."""
    with redirect_stdout(StringIO()) as stdout, pytest.raises(SystemExit) as ended:
        main(["-w", str(workspace.root), "select", *arguments])
    assert (ended.value.code or 0) == code, stdout.getvalue()
    return stdout.getvalue()


def test_nothing_is_selected_where_nothing_is_evidence(mine: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The list that was there stays; the report says why there is no other."""
    (mine.root / ALLOWLIST).write_text("rsi_6\n")
    text = here(mine, 0, "run-pipeline", "--periods", "4h", "--ban", "*", "--json")
    told = json.loads(text)
    assert told["selected"] == [] and told["core"]["counts"] == {"banned": told["pool"]}
    assert (told["optimize"], told["rolling"], told["allowlist"]) == (None, None, None)
    assert (mine.root / ALLOWLIST).read_text() == "rsi_6\n"
    said = capsys.readouterr().err
    assert "there is nothing to search or to validate" in said and f"{ALLOWLIST} stays as it was" in said
    assert (mine.root / told["report"]).is_file()
    text = here(mine, 0, "aggregate-core", "--ban", "*", "--json")
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
    done = tftctl(mine, "select", "run-pipeline", *longer, "--skip-unfit", "--keep-below")
    left = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert done.returncode == 0 and sum("before the walk-forward block" in line for line in left) == 2, done.stderr
    assert sum(line.startswith("left out: target_") for line in left) == 2
    assert "tree-perm: 2 cells, " in done.stderr


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
