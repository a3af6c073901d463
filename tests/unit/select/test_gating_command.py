"""`select tft-gating`: its document and files, what they say of the labels seen, and what it refuses (DESIGN 7, A4)."""

from __future__ import annotations

import json
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from training_world import DAY

from tftctl.cli.app import main
from tftctl.core.config.model import EarlyStopping
from tftctl.core.times import iso
from tftctl.core.workspace import Workspace
from tftctl.store import Store
from tftctl.train.checkpoint import load_checkpoint, write_checkpoint

KEYS = {"selected", "evidence", "allowlist", "run", "checkpoint", "origins", "positions", "meta", "gates"}
SAID = {
    "run", "run_id", "checkpoint", "snapshot", "data_versions", "cut", "last_label_end", "chosen_by_validation", "why",
    "inputs", "origins", "seconds",
}  # fmt: skip


@pytest.fixture
def mine(gated: Workspace, tmp_path: Path) -> Workspace:
    """A copy that may be written to."""
    return Workspace(shutil.copytree(gated.root, tmp_path / "mine"))


def gating(workspace: Workspace, source: str | Path, *more: str) -> tuple[int, Any]:
    """Exit code and JSON document."""
    arguments = ["-w", str(workspace.root), "select", "tft-gating", "--ckpt", str(source), *more, "--json"]
    with redirect_stdout(StringIO()) as stdout, pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0), json.loads(stdout.getvalue())


def run_of(workspace: Workspace) -> Path:
    """The folder of the only run."""
    (manifest,) = workspace.runs.glob("*/manifest.json")
    return manifest.parent


def test_the_last_checkpoint_of_a_run_gives_three_files(mine: Workspace) -> None:
    """Keys, columns, names, sums of one, ranks; the labels seen are those of training rows."""
    run = run_of(mine)
    code, told = gating(mine, run.name)
    assert code == 0 and set(told) >= KEYS | SAID
    assert (told["selected"], told["allowlist"], told["checkpoint"]) == (
        [],
        None,
        f"runs/{run.name}/checkpoints/last.ckpt",
    )
    path = mine.root / "reports" / "feature_evidence" / "tft_gating.csv"
    assert told["evidence"] == str(path)
    frame = pl.read_csv(path)
    assert frame.columns == [
        "variables", "period", "symbol", "feature", "kind", "weight", "spread", "origins", "rank",
    ]  # fmt: skip
    keys = ["variables", "period", "symbol"]
    sums = frame.group_by(keys).agg(pl.col("weight").sum())
    assert sums["weight"].to_list() == pytest.approx([1.0] * sums.height, abs=1e-6)
    ranks = -frame.to_pandas().groupby(keys)["weight"].rank(ascending=True) + 0
    counts = frame.to_pandas().groupby(keys)["weight"].transform("count")
    assert (frame["rank"].to_pandas() == counts + 1 + ranks).all()
    kinds = dict(frame.select("feature", "kind").unique().iter_rows())
    assert (kinds["rsi_6"], kinds["missing__4h"], kinds["symbol"]) == ("real", "missing_flag", "categorical")
    every = frame.filter((pl.col("variables") == "static") & (pl.col("symbol") == "*"))
    assert every.group_by("period").agg(pl.col("origins").first())["origins"].sum() == told["origins"]
    places = pl.read_csv(told["positions"])
    assert places.columns == ["period", "position", "feature", "weight", "spread"]
    assert (places["position"].min(), places["position"].max()) == (-23, 0)
    assert set(json.loads(Path(told["meta"]).read_text())) >= SAID
    assert not told["chosen_by_validation"] and told["last_label_end"] <= told["cut"]
    top = frame.filter((pl.col("variables") == "encoder") & (pl.col("symbol") == "*")).group_by("period").head(10)
    assert {row["feature"] for row in told["gates"]} == set(top["feature"])
    assert not list(path.parent.glob(".*"))


def test_a_choice_by_validation_has_seen_its_labels(mine: Workspace) -> None:
    """A scored checkpoint, one of another name, and early stopping: the bound is the end of the choosing part."""
    checkpoints = run_of(mine) / "checkpoints"
    loaded = load_checkpoint(checkpoints / "last.ckpt")
    (scored, *_) = checkpoints.glob("*composite_score*")
    copy = shutil.copyfile(scored, mine.root / "mine.ckpt")
    config = loaded.content.config.model_copy(update={"early_stopping": EarlyStopping(patience=3)})
    stopped = mine.root / "other" / "last.ckpt"
    stopped.parent.mkdir()
    content = loaded.content.model_copy(update={"config": config})
    write_checkpoint(stopped, content, loaded.state, loaded.training)
    for path, word in ((scored, "val_composite_score"), (copy, "mine.ckpt"), (stopped, "early stopping")):
        code, told = gating(mine, path, "--out", "gates.csv")
        assert code == 0 and told["chosen_by_validation"] and word in told["why"]
        assert told["cut"] < told["last_label_end"]
        assert (mine.root / "gates_positions.csv").is_file() and (mine.root / "gates.json").is_file()


def test_a_warm_start_has_seen_what_its_ancestor_saw(mine: Workspace) -> None:
    """The ancestor's later cut; its start where the ancestor is gone, whose choice nobody knows."""
    parent = run_of(mine)
    child = mine.runs / "renamed"
    shutil.copytree(parent, child)
    manifest = json.loads((parent / "manifest.json").read_text())
    family = {"id": "child", "lineage": [manifest["id"]], "checkpoint": "last.ckpt", "parent": parent.name}
    (child / "manifest.json").write_text(json.dumps({**manifest, **family}))
    loaded = load_checkpoint(parent / "checkpoints" / "last.ckpt")
    named = loaded.content.model_copy(update={"run": "warm-start-20260101_0000", "run_id": "child"})
    write_checkpoint(child / "checkpoints" / "last.ckpt", named, loaded.state, loaded.training)
    later = loaded.content.spec.model_copy(update={"train_end": loaded.content.spec.train_end + 5 * DAY})
    content = loaded.content.model_copy(update={"spec": later})
    write_checkpoint(parent / "checkpoints" / "last.ckpt", content, loaded.state, loaded.training)
    code, told = gating(mine, "renamed")
    assert (code, told["chosen_by_validation"], told["last_label_end"]) == (0, False, iso(later.train_end))
    shutil.rmtree(parent)
    code, told = gating(mine, "renamed")
    assert (code, told["chosen_by_validation"], told["last_label_end"]) == (0, True, manifest["started"])
    assert "is gone" in told["why"]


def test_features_that_are_gone_are_named(mine: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The checkpoint's snapshot is gone: a later one with all inputs is used and said; one without them is refused."""
    run = run_of(mine)
    checkpoint = run / "checkpoints" / "last.ckpt"
    loaded = load_checkpoint(checkpoint)
    spec = loaded.content.spec.model_copy(update={"snapshot": 99})
    write_checkpoint(checkpoint, loaded.content.model_copy(update={"spec": spec}), loaded.state, loaded.training)
    code, told = gating(mine, run.name)
    assert code == 0 and "snapshot 99 is gone" in capsys.readouterr().err
    assert told["snapshot"] == Store(mine.store).current()
    with Store(mine.store).write("without a column") as txn:
        meta = txn.base.meta("fused")
        columns = {name: entry for name, entry in meta["columns"].items() if name != "rsi_6"}
        txn.set_meta("fused", {**meta, "columns": columns})
        txn.commit()
    before = Path(told["evidence"]).read_bytes()
    code, refused = gating(mine, run.name)
    assert code == 3 and ": rsi_6" in refused["error"]["message"] and "1 of" in refused["error"]["message"]
    assert "tftctl features build" in refused["error"]["hint"] and "tftctl train" in refused["error"]["hint"]
    assert Path(told["evidence"]).read_bytes() == before


def test_what_is_no_checkpoint_is_refused(mine: Workspace) -> None:
    """An unknown run, a damaged file, an --out that is no CSV file, one that cannot be made."""
    torn = mine.root / "torn.ckpt"
    torn.write_bytes(b"PK\x03\x04")
    (mine.root / "file").write_text("")
    run = run_of(mine).name
    assert gating(mine, "train-nowhere")[0] == 2
    assert gating(mine, torn)[0] == 3
    assert gating(mine, run, "--out", "gates.json")[0] == 2
    assert gating(mine, run, "--out", "file/gates.csv")[0] == 3
