"""`tftctl train` and `eval` as processes: what a run directory holds, and what its numbers are."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import brier_score_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error
from training_world import STEPS, TARGETS, epochs_of, linked, quiet, said_of, table, untimed

from tftctl.core.config.loading import read_yaml
from tftctl.core.times import parse_iso
from tftctl.core.workspace import Workspace
from tftctl.start.jobs import build_job, eval_job, train_job
from tftctl.store import Store
from tftctl.store.gc import collect_garbage
from tftctl.train.checkpoint import CheckpointContent
from tftctl.train.rundir import create_run

CHECKPOINT = re.compile(r"epoch=(\d{3})-composite_score=(\d\.\d{4})-val_loss=(\d+\.\d{4})\.ckpt")


def test_a_run_directory_holds_everything(trained: Workspace, result: dict[str, Any]) -> None:
    """DESIGN 6: checkpoints named by score and loss, resolved configuration, manifest, metrics, logs."""
    root = trained.runs / result["run"]
    assert re.fullmatch(r"train-\d{8}_\d{4}(-\d+)?", result["run"])
    names = sorted(path.name for path in (root / "checkpoints").iterdir())
    scored = [CHECKPOINT.fullmatch(name) for name in names if name != "last.ckpt"]
    assert all(scored) and len(scored) == 2
    assert "last.ckpt" in names
    rows = epochs_of(trained, result["run"])
    for match in scored:
        row = rows[int(match[1])]  # type: ignore[index]
        assert float(match[2]) == pytest.approx(row["val_composite_score"], abs=1e-4)  # type: ignore[index]
        assert float(match[3]) == pytest.approx(row["val_loss"], abs=1e-4)  # type: ignore[index]
    assert {path.name for path in (root / "configs").iterdir()} == {
        "model_config.yaml", "weights_config.yaml", "composite_score.yaml", "features.yaml",
    }  # fmt: skip
    assert list((root / "lightning_logs").glob("events.out.tfevents.*"))
    stage = read_yaml(root / "stages.yaml")["stage_1"]
    assert stage["weights"] == dict(zip(TARGETS, (1.0, 1.0, 0.5), strict=True))
    assert (stage["from_epoch"], stage["epochs"], stage["epochs_done"]) == (0, 2, 2)
    assert stage["best_composite_score"] == pytest.approx(max(row["val_composite_score"] for row in rows))
    assert stage["best_val_loss"] == pytest.approx(min(row["val_loss"] for row in rows))
    assert read_yaml(trained.root / "stage_logs" / f"{result['run']}.yaml") == {result["run"]: {"stage_1": stage}}


def test_the_result_names_the_best_checkpoint(trained: Workspace, result: dict[str, Any]) -> None:
    """By the composite score, relative to the workspace."""
    rows = epochs_of(trained, result["run"])
    best = max(rows, key=lambda row: row["val_composite_score"])
    assert result["val_composite_score"] == best["val_composite_score"]
    assert result["val_loss"] == best["val_loss"]
    assert (trained.root / result["best_checkpoint"]).is_file()
    assert f"epoch={best['epoch']:03d}-" in result["best_checkpoint"]
    assert (trained.root / result["last_checkpoint"]).name == "last.ckpt"
    assert result["epochs"] == len(rows) == 2


def test_metrics_are_logged_under_their_keys(trained: Workspace, result: dict[str, Any]) -> None:
    """M3, M4, M5: per epoch losses, composite score, and every metric of every (target, period) that has data."""
    for number, row in enumerate(epochs_of(trained, result["run"])):
        assert (row["epoch"], row["step"]) == (number, (number + 1) * STEPS // 2)
        for name in TARGETS:
            assert {f"train_{name}_loss", f"val_{name}_loss"} <= row.keys()
            own = ("roc_auc", "brier") if name == "target_binarytrend" else ("rmse", "mae_raw", "spearman")
            for period in ("1h", "4h"):
                assert all(math.isfinite(row[f"val_{name}_{metric}@{period}"]) for metric in own)
        assert row["val_loss"] == pytest.approx(sum(row[f"val_{name}_loss"] for name in TARGETS) / 3, rel=1e-5)
        assert row["val_loss_for_ckpt"] == row["val_loss"]
        assert row["lr"] > 0
        assert row["val_target_logreturn_rank_ic@1h"] is None  # three symbols are too few
        assert not [key for key in row if key.endswith("@1d")]
        want = 0.4 * row["val_target_binarytrend_roc_auc@1h"]
        want += 0.2 / (1 + row["val_target_logreturn_rmse@1h"]) + 0.4 / (1 + row["val_loss"])
        assert row["val_composite_score"] == pytest.approx(want, rel=1e-5)


def test_the_manifest_says_what_the_run_was_made_of(trained: Workspace, result: dict[str, Any]) -> None:
    """DESIGN 6: snapshot, versions, seed, inputs, targets, origins, and what was left out by reason (S3)."""
    manifest = json.loads((trained.runs / result["run"] / "manifest.json").read_text())
    assert (manifest["snapshot"], manifest["seed"], manifest["targets"]) == (2, 2025, list(TARGETS))
    assert manifest["arguments"][2] == "train"
    assert manifest["run"] == result["run"]
    assert (manifest["device"]["accelerator"], manifest["device"]["precision"]) == ("cpu", "32-true")
    assert 0 < manifest["origins"]["checkpoint_choosing"] < manifest["origins"]["val"]
    assert {"torch", "polars", "tftctl", "python"} <= manifest["versions"].keys()
    assert not [name for name in manifest["inputs"] if "target" in name]
    assert all(manifest["origins"][part] > 0 for part in ("train", "val", "test"))
    assert ["fewer than 250 training labels", "SYN01", "1d", 120] in manifest["left_out"]


def test_a_training_says_what_it_leaves_out(trained: Workspace) -> None:
    """S3, S5, M5: on stderr, per reason and group; the composite's missing entries once."""
    said = said_of(trained)["said"]
    lines = dict(re.findall(r"^left out \((.+)\): (.+)$", said, re.MULTILINE))
    assert all(word in lines["fewer than 250 training labels"] for word in ("1d", "120", "SYN01", "SYN02", "SYN03"))
    assert all(word in lines["filled bar"] for word in ("1h", "2", "SYN02"))
    assert {"no label", "a missing value in the window", "label reaches over a cut or its embargo"} <= lines.keys()
    assert said.count("composite score: left out, not in these data: val_target_logreturn_rmse@1d") == 1
    assert "training origins per period: 1h" in said


def test_a_checkpoint_loads_without_unpickling_code(trained: Workspace, result: dict[str, Any]) -> None:
    """S5, DESIGN 6: `weights_only=True`; scales, vocabularies, base rates and cuts are in it."""
    for name in ("best_checkpoint", "last_checkpoint"):
        found = torch.load(trained.root / result[name], map_location="cpu", weights_only=True)
        content = CheckpointContent.model_validate_json(found["tftctl"])
        assert content.spec.symbols == ["SYN01", "SYN02", "SYN03"]
        assert content.spec.periods == ["1h", "4h"]
        assert len(content.spec.groups) == 6
        assert content.config.hidden_size == 8
        assert set(content.spec.targets[0].base_rate) == {"1h", "4h"}
        assert "loss.pos_weight" in found["state_dict"]
        assert all(torch.isfinite(value).all() for value in found["state_dict"].values())


def test_the_same_seed_gives_the_same_metrics(trained: Workspace, result: dict[str, Any]) -> None:
    """Every number of every epoch, in another process; another seed gives others."""
    options = [f"max_steps={STEPS}", "max_epochs=2", "batch_size=1000"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        again = train_job(trained, None, options, "cpu", lambda _: None)
        other = train_job(trained, None, [*options, "seed=7", "max_epochs=1", "max_steps=1"], "cpu", lambda _: None)
    finally:
        torch.set_num_threads(threads)
    want = epochs_of(trained, result["run"])
    assert untimed(epochs_of(trained, again.run)) == untimed(want)
    assert epochs_of(trained, other.run)[0]["val_loss"] != want[0]["val_loss"]


def test_eval_has_the_network_and_both_baselines(evaluated: dict[str, Any]) -> None:
    """M7: scored per target, period and metric at the same origins."""
    metrics = evaluated["metrics"]
    assert {row["model"] for row in metrics} == {"tft", "mean", "persistence"}
    places = {
        model: {(row["target"], row["period"], row["metric"]) for row in metrics if row["model"] == model}
        for model in ("tft", "mean", "persistence")
    }
    assert places["tft"] == places["mean"] == places["persistence"]
    assert {target for target, _, _ in places["tft"]} == set(TARGETS)
    assert {period for _, period, _ in places["tft"]} == {"1h", "4h"}
    assert (evaluated["split"], evaluated["test_evaluations"], evaluated["snapshot"]) == ("val", 0, 2)
    assert len(evaluated["origins"]) == 6
    assert all(row["origins"] > 0 and row["left_out"] == 0 for row in evaluated["origins"])


def test_the_metrics_of_a_training_are_those_of_evals_predictions_that_choose(
    trained: Workspace, result: dict[str, Any], evaluated: dict[str, Any]
) -> None:
    """M4, S6: the checkpoint rebuilds network, windows and scales; scikit-learn and SciPy find what was logged."""
    best = max(epochs_of(trained, result["run"]), key=lambda row: row["val_composite_score"])
    found = choosing_predictions(trained, evaluated)
    for (target, period), rows in found.group_by("target", "period"):
        truth, forecast = rows["truth"].to_numpy(), rows["prediction"].to_numpy()
        if target == "target_binarytrend":
            want = {"roc_auc": roc_auc_score(truth, forecast), "brier": brier_score_loss(truth, forecast)}
        else:
            want = {
                "rmse_raw": root_mean_squared_error(truth, forecast),
                "mae_raw": mean_absolute_error(truth, forecast),
                "spearman": spearmanr(truth, forecast).statistic,
            }
        for metric, value in want.items():
            assert best[f"val_{target}_{metric}@{period}"] == pytest.approx(value, rel=1e-4, abs=1e-6)
    assert found["target"].n_unique() == 3
    assert found.height < pl.read_parquet(trained.root / evaluated["predictions"]).height


def choosing_predictions(trained: Workspace, evaluated: dict[str, Any]) -> pl.DataFrame:
    """Predictions of origins all of whose labels end by the instant that divides validation."""
    end = parse_iso(evaluated["chosen_until"])
    ends = pl.max_horizontal(f"label_end__{name}" for name in TARGETS)
    frames = [
        table(trained, "targets", symbol, period).filter(ends <= end).select("symbol", "period", "timestamp")
        for symbol in ("SYN01", "SYN02", "SYN03")
        for period in ("1h", "4h")
    ]
    predictions = pl.read_parquet(trained.root / evaluated["predictions"])
    return predictions.join(pl.concat(frames), on=["symbol", "period", "timestamp"], how="semi")


def test_predictions_stand_beside_the_stored_labels(trained: Workspace, evaluated: dict[str, Any]) -> None:
    """S1, M4, M7: truth is the targets table by the origin's key, persistence the label of row t-h."""
    found = pl.read_parquet(trained.root / evaluated["predictions"])
    assert found.equals(found.sort("target", "period", "symbol", "timestamp"))
    horizon = {
        ("target_max_drawdown", "1h"): 24, ("target_max_drawdown", "4h"): 6,
        **{(name, period): 1 for name in TARGETS[:2] for period in ("1h", "4h")},
    }  # fmt: skip
    checked = 0
    for (target, period, symbol), rows in found.group_by("target", "period", "symbol"):
        stored = table(trained, "targets", str(symbol), str(period)).select(
            "timestamp", pl.col(str(target)).cast(pl.Float64).alias("label"), f"label_end__{target}"
        )
        ago = pl.col("label").shift(horizon[str(target), str(period)]).alias("before")
        joined = rows.join(stored.with_columns(ago), on="timestamp", how="left", maintain_order="left")
        assert joined["truth"].to_list() == joined["label"].to_list()
        assert joined["label_end"].to_list() == joined[f"label_end__{target}"].to_list()
        assert joined["persistence"].to_list() == joined["before"].to_list()
        assert joined["mean"].n_unique() == 1
        checked += rows.height
    assert checked == found.height > 4000
    probability = found.filter(target="target_binarytrend")["prediction"]
    assert probability.is_between(0, 1).all()
    csv = trained.root / evaluated["predictions"].replace(".parquet", ".csv")
    assert pl.read_csv(csv).height == found.height


def test_the_document_of_an_evaluation_lies_beside_its_predictions(
    trained: Workspace, evaluated: dict[str, Any]
) -> None:
    """The same as on stdout."""
    saved = (trained.root / evaluated["predictions"]).with_name("evaluation.json")
    assert json.loads(saved.read_text()) == evaluated


def test_every_look_at_the_test_part_is_counted(trained: Workspace, result: dict[str, Any], tmp_path: Path) -> None:
    """S6: shown with every evaluation; the mean of several checkpoints is told by each."""
    workspace = linked(trained, tmp_path)
    shutil.copytree(trained.runs / result["run"], workspace.runs / result["run"])
    first = eval_job(workspace, result["run"], "test", "top-k")
    second = eval_job(workspace, result["run"], "test", "last")
    assert (first.test_evaluations, second.test_evaluations) == (1, 2)
    assert len({row["checkpoint"] for row in first.checkpoints}) == 2
    assert (first.split, second.checkpoint.rsplit("/")[-1]) == ("test", "last.ckpt")
    assert eval_job(workspace, result["run"], "val", "last").test_evaluations == 2


def test_a_declared_symbol_without_rows_can_be_evaluated(trained: Workspace) -> None:
    """S5: `categories` allows a value without training rows, in training and afterwards."""
    options = ["max_steps=1", "max_epochs=1", "targets=[target_logreturn]", "periods=[4h]"]
    run = train_job(trained, None, [*options, "categories.symbol=[SYN09]"], "cpu", lambda _: None)
    found = eval_job(trained, run.run, "val", "last")
    assert [(row["target"], row["period"]) for row in found.origins] == [("target_logreturn", "4h")]


def test_a_run_is_evaluated_on_its_own_snapshot_whatever_came_after(trained: Workspace, tmp_path: Path) -> None:
    """P3, DESIGN 1: features rebuilt since, and gc: the run's snapshot is kept, and gives the same predictions."""
    workspace = Workspace(shutil.copytree(trained.root, tmp_path / "ws", ignore=shutil.ignore_patterns("runs")))
    options = ["max_steps=1", "targets=[target_logreturn]", "periods=[4h]"]
    run = train_job(workspace, None, options, "cpu", quiet)
    before = eval_job(workspace, run.run, "val", "last")
    wanted = pl.read_parquet(workspace.root / before.predictions)
    features = workspace.configs / "features.yaml"
    text = features.read_text()
    for period in (9, 12):
        features.write_text(text.replace("period: 6", f"period: {period}").replace("rsi_6", f"rsi_{period}"))
        newest = build_job(workspace).snapshot
    removed = collect_garbage(Store(workspace.store), workspace.runs, keep=1)
    assert removed.kept == (before.snapshot, newest)
    assert removed.snapshots
    after = eval_job(workspace, run.run, "val", "last")
    assert after.snapshot == before.snapshot
    assert pl.read_parquet(workspace.root / after.predictions).equals(wanted)


def test_a_loader_in_another_process_changes_no_number(trained: Workspace, result: dict[str, Any]) -> None:
    """DESIGN 1: num_workers is no part of the result."""
    options = ["max_steps=3", "max_epochs=1", "targets=[target_logreturn]", "periods=[4h]"]
    rows = [
        epochs_of(trained, train_job(trained, None, [*options, f"num_workers={number}"], "cpu", quiet).run)
        for number in (0, 1)
    ]
    assert untimed(rows[0]) == untimed(rows[1])


def test_runs_of_one_minute_do_not_meet(tmp_path: Path) -> None:
    """DESIGN 6: a run directory is never overwritten."""
    workspace = Workspace(tmp_path)
    runs = [create_run(workspace, "train") for _ in range(3)]
    assert len({run.root for run in runs}) == 3
    assert all(re.fullmatch(r"train-\d{8}_\d{4}(-\d+)?", run.name) for run in runs)


CORNERS = {
    "only binary": ["targets=[target_binarytrend]"],
    "only regression": ["targets=[target_max_drawdown]", "uncertainty=off"],
    "one of each": ["symbols=[SYN02]", "periods=[4h]", "reals=[log_return]", "targets=[target_binarytrend]"],
    "batches of one": ["batch_size=1", "targets=[target_logreturn]"],
    "a batch larger than the data": ["batch_size=100000", "symbols=[SYN01]"],
    "one bar": ["max_encoder_length=1"],
    "no dropout, two layers": ["dropout=0", "lstm_layers=2"],
    "no known inputs": ["reals=[log_return, rsi_6, rsi_6__4h]"],
    "no checkpoints by score": ["top_k=0"],
    "a training loss chooses": ["monitor=train_target_logreturn_loss", "monitor_mode=min"],
    "a cosine, averaged, accumulated, balanced": [
        "schedule=cosine",
        "ema_decay=0.5",
        "accumulate_grad_batches=2",
        "balance=periods",
        "batch_size=50",
    ],
}


@pytest.mark.parametrize("name", CORNERS)
def test_corners_of_the_configuration_train_and_evaluate(trained: Workspace, tmp_path: Path, name: str) -> None:
    """Issue's bad input that is none: each gives finite losses and scores at the origins that it has."""
    workspace = linked(trained, tmp_path)
    options = ["periods=[4h]", "max_steps=1", "hidden_size=4", "attention_head_size=1", *CORNERS[name]]
    result = train_job(workspace, None, options, "cpu", quiet)
    assert result.val_loss is not None and math.isfinite(result.val_loss)
    assert (result.best_checkpoint is None) == (name == "no checkpoints by score")
    found = eval_job(workspace, result.run, "test", "last")
    asked = [option for option in options if option.startswith("targets")] or [f"targets=[{', '.join(TARGETS)}]"]
    assert {row["target"] for row in found.origins} == set(asked[-1][9:-1].split(", "))
    assert all(row["origins"] > 0 for row in found.origins)
    frame = pl.read_parquet(workspace.root / found.predictions)
    assert frame["prediction"].is_finite().all()
    assert frame["truth"].is_finite().all()
