"""`tftctl train` and `eval` as processes: what a run directory holds, and what its numbers are."""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import brier_score_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error
from training_world import TARGETS, document, market, once, started, table, tftctl

from tftctl.core.config.loading import read_yaml
from tftctl.core.errors import DataError, TftctlError, UsageError
from tftctl.core.times import parse_iso
from tftctl.core.workspace import Workspace
from tftctl.start.jobs import build_job, eval_job, train_job
from tftctl.store import Store
from tftctl.store.gc import collect_garbage
from tftctl.train import record
from tftctl.train.callbacks import EpochLog
from tftctl.train.checkpoint import CheckpointContent
from tftctl.train.rundir import create_run

STEPS = 12
CHECKPOINT = re.compile(r"epoch=(\d{3})-composite_score=(\d\.\d{4})-val_loss=(\d+\.\d{4})\.ckpt")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the tiny market with one training of 12 steps, and what the process said."""

    def make(root: Path) -> None:
        shutil.copytree(market(tmp_path_factory).root, root, dirs_exist_ok=True)
        override = ("-o", "max_epochs=2", "-o", "batch_size=1000")
        done = tftctl(Workspace(root), "train", "--max-steps", str(STEPS), "--accelerator", "cpu", *override, "--json")
        (root / "train.json").write_text(json.dumps({"result": document(done), "said": done.stderr}))

    return Workspace(once(tmp_path_factory, "trained", make))


@pytest.fixture
def result(trained: Workspace) -> dict[str, Any]:
    """The JSON document of the training."""
    return said_of(trained)["result"]


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory, trained: Workspace) -> dict[str, Any]:
    """The JSON document of `eval --split val`, made once."""

    def make(folder: Path) -> None:
        run = said_of(trained)["result"]["run"]
        found = document(tftctl(trained, "eval", run, "--split", "val", "--json"))
        (folder / "eval.json").write_text(json.dumps(found))

    return json.loads((once(tmp_path_factory, "evaluated", make) / "eval.json").read_text())


def said_of(trained: Workspace) -> dict[str, Any]:
    """What the training printed on both streams."""
    return json.loads((trained.root / "train.json").read_text())


def epochs_of(workspace: Workspace, run: str) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl."""
    lines = (workspace.runs / run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


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
    stages = read_yaml(root / "stages.yaml")
    assert stages == {"stage_1": {"weights": dict(zip(TARGETS, (1.0, 1.0, 0.5), strict=True)), "epochs": 2}}


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
    assert epochs_of(trained, again.run) == want
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


BAD_LINES = {
    "unknown target": (["--targets", "target_logretrun"], 2, "target_logretrun", "target_logreturn"),
    "unknown symbol": (["--symbols", "SYN04"], 3, "SYN04", "SYN03"),
    "no group long enough": (["-o", "max_encoder_length=5000"], 3, "5000", "max_encoder_length"),
    "a symbol of digits": (["--symbols", "000001"], 3, "'000001'", "SYN03"),
    "a monitored loss without its mode": (
        ["-o", "monitor=val_loss"],
        2,
        "keep the worst",
        "monitor_mode has to be min",
    ),
    "not in the configuration": (["-o", "uncertainty=maybe"], 2, "uncertainty", "learned"),
}
BAD_FILES = {
    "composite_score.yaml": ("val_target_logreturn_rmse@1h: 0.2\n", "val_target_logreturn_rmse@1h", "negative"),
    "weights_config.yaml": ("stage_1: {target_logretrun: 1.0}\n", "target_logretrun", "target_logreturn"),
    "model_config.yaml": (
        "targets: [target_logreturn]\nlosses: {target_logreturn: {name: mse, beta: 1}}\n",
        "mse",
        "show mse",
    ),
}
BAD_OPTIONS = {
    "periods=[2h]": (3, "2h", "4h"),
    "periods=[1d]": (3, "training labels of target_logreturn, 250 are needed", "more bars"),
    "reals=[rsi_7]": (2, "rsi_7", "rsi_6"),
    "reals=[target_logreturn]": (2, "target_logreturn", "remove"),
    "losses={target_logreturn: bce}": (2, "the loss 'bce' is not", "smooth_l1"),
    "output_size=[1, 1, 3]": (2, "output_size", "[1, 1, 1]"),
    "data_path=99": (3, "99", ""),
    "symbols=[SYN01]\nperiods=[1d]": (3, "SYN01 1d", "more bars"),
}


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_a_bad_option_is_an_error_with_a_hint_and_leaves_no_run(
    trained: Workspace, tmp_path: Path, options: str
) -> None:
    """DESIGN 8: without a process: the exit code, what is wrong, what there is."""
    code, named, hint = BAD_OPTIONS[options]
    workspace = linked(trained, tmp_path)
    with pytest.raises(TftctlError) as caught:
        train_job(workspace, None, options.split("\n"), "cpu", lambda _: None)
    assert caught.value.exit_code == code
    assert named in caught.value.message
    assert hint in caught.value.hint
    assert not workspace.runs.exists()


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_an_error_with_a_hint_and_leaves_no_run(trained: Workspace, tmp_path: Path, name: str) -> None:
    """DESIGN 7: what is wrong with a configuration is found before there is a run."""
    text, named, hint = BAD_FILES[name]
    workspace = linked(trained, tmp_path)
    (tmp_path / "configs").unlink()
    shutil.copytree(trained.configs, tmp_path / "configs")
    (tmp_path / "configs" / name).write_text(text)
    with pytest.raises(TftctlError) as caught:
        train_job(workspace, None, [], "cpu", lambda _: None)
    assert caught.value.exit_code == 2
    assert named in caught.value.message
    assert hint in caught.value.hint
    assert not workspace.runs.exists()


def linked(trained: Workspace, root: Path) -> Workspace:
    """The same store and configuration without runs."""
    for entry in ("configs", "store", "tftctl.toml"):
        (root / entry).symlink_to(trained.root / entry)
    return Workspace(root)


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_error_and_leaves_no_run(trained: Workspace, tmp_path: Path, name: str) -> None:
    """DESIGN 8: an exit code, one line and a hint on stderr, an error document with --json, no traceback."""
    arguments, code, named, hint = BAD_LINES[name]
    done = tftctl(linked(trained, tmp_path), "train", *arguments, "--accelerator", "cpu", "--json")
    error = document(done, code)["error"]
    assert error["code"] == code
    assert named in error["message"]
    assert hint in error["message"] + error["hint"]
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--checkpoint", "bets"], 2), (["--split", "tset"], 2)],
)
def test_a_bad_eval_line_is_one_error(
    trained: Workspace, result: dict[str, Any], arguments: list[str], code: int
) -> None:
    """The same for `eval`."""
    done = tftctl(trained, "eval", result["run"], *arguments, "--json")
    assert document(done, code)["error"]["code"] == code
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1


def test_a_run_that_is_not_there_names_those_that_are(trained: Workspace, result: dict[str, Any]) -> None:
    """The hint lists runs."""
    with pytest.raises(UsageError) as caught:
        eval_job(trained, "train-19990101_0000", "val", "best")
    assert result["run"] in caught.value.hint


def test_a_checkpoint_that_is_cut_off_is_named(trained: Workspace, result: dict[str, Any], tmp_path: Path) -> None:
    """DESIGN 6: a data error, not a traceback of torch."""
    whole = (trained.root / result["last_checkpoint"]).read_bytes()
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"broken\.ckpt") as caught:
        eval_job(trained, result["run"], "val", str(broken))
    assert "cut off" in caught.value.hint


def test_a_checkpoint_of_another_run_is_refused_and_a_moved_run_is_not(
    trained: Workspace, result: dict[str, Any], tmp_path: Path
) -> None:
    """Its predictions would lie in the wrong run; the name of a folder is no part of a run."""
    workspace = linked(trained, tmp_path)
    shutil.copytree(trained.runs / result["run"], workspace.runs / "renamed")
    other = train_job(workspace, None, ["max_steps=1", "targets=[target_logreturn]", "periods=[4h]"], "cpu", quiet)
    foreign = str(workspace.runs / other.run / "checkpoints" / "last.ckpt")
    with pytest.raises(UsageError, match=f"is a checkpoint of {other.run}, not of renamed") as caught:
        eval_job(workspace, "renamed", "val", foreign)
    assert caught.value.hint.startswith(f"tftctl eval {other.run} ")
    assert not (workspace.runs / "renamed" / "predictions").exists()
    again = eval_job(workspace, "renamed", "val", str(trained.root / result["last_checkpoint"]))
    assert again.predictions.startswith("runs/renamed/predictions/")


def quiet(_: str) -> None:
    """Says nothing."""


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


def test_a_snapshot_that_is_gone_is_named(trained: Workspace, result: dict[str, Any], tmp_path: Path) -> None:
    """A run that was brought from elsewhere: a store error that says what there is."""
    workspace = linked(trained, tmp_path)
    (tmp_path / "store").unlink()
    shutil.copytree(trained.runs / result["run"], workspace.runs / result["run"])
    with pytest.raises(TftctlError, match="there is no snapshot 2") as caught:
        eval_job(workspace, result["run"], "val", "best")
    assert caught.value.exit_code == 3


def test_a_loader_in_another_process_changes_no_number(trained: Workspace, result: dict[str, Any]) -> None:
    """DESIGN 1: num_workers is no part of the result."""
    options = ["max_steps=3", "max_epochs=1", "targets=[target_logreturn]", "periods=[4h]"]
    rows = [
        epochs_of(trained, train_job(trained, None, [*options, f"num_workers={number}"], "cpu", quiet).run)
        for number in (0, 1)
    ]
    assert rows[0] == rows[1]


def test_a_full_disk_in_a_training_is_one_error_and_keeps_finished_epochs(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 1: the checkpoint of the first epoch is whole and can be evaluated."""
    workspace = linked(trained, tmp_path)
    logged = EpochLog.on_train_epoch_end

    def fail(self: EpochLog, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            raise OSError(28, "No space left on device", "metrics.jsonl")
        logged(self, trainer, module)

    monkeypatch.setattr(EpochLog, "on_train_epoch_end", fail)
    options = ["max_epochs=3", "batch_size=5000", "targets=[target_logreturn]", "periods=[4h]", "top_k=1"]
    with pytest.raises(DataError, match=r"metrics\.jsonl: No space left on device") as caught:
        train_job(workspace, None, options, "cpu", quiet)
    assert "finished epochs" in caught.value.hint
    (run,) = (path.parent for path in workspace.runs.glob("*/manifest.json"))
    assert eval_job(workspace, run.name, "val", "best").origins[0]["origins"] > 0


def test_a_run_that_cannot_be_described_is_taken_back(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 1: no run directory without a manifest."""

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device", "manifest.json")

    monkeypatch.setattr(record, "write_manifest", fail)
    workspace = linked(trained, tmp_path)
    with pytest.raises(OSError, match="No space left"):
        train_job(workspace, None, ["targets=[target_logreturn]", "periods=[4h]"], "cpu", quiet)
    assert list(workspace.runs.iterdir()) == []


def test_ctrl_c_keeps_the_checkpoints_of_finished_epochs(trained: Workspace, tmp_path: Path) -> None:
    """DESIGN 7: exit code 130, one line, and a run that can be evaluated."""
    workspace = linked(trained, tmp_path)
    options = ("max_epochs=1000", "batch_size=200", "periods=[4h]", "targets=[target_logreturn]")
    process = started(workspace, "train", "--accelerator", "cpu", *(part for o in options for part in ("-o", o)))
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if line.startswith("epoch 1/"):
            process.send_signal(signal.SIGINT)
            break
    said += process.stderr.readlines()
    assert process.wait(60) == 130, said
    assert [line for line in said if line.startswith("error: ")] == ["error: interrupted\n"]
    assert "Traceback" not in "".join(said)
    (run,) = (path.parent for path in workspace.runs.glob("*/manifest.json"))
    assert eval_job(workspace, run.name, "val", "best").origins[0]["origins"] > 0


def test_runs_of_one_minute_do_not_meet(tmp_path: Path) -> None:
    """DESIGN 6: a run directory is never overwritten."""
    workspace = Workspace(tmp_path)
    runs = [create_run(workspace, "train") for _ in range(3)]
    assert len({run.root for run in runs}) == 3
    assert all(re.fullmatch(r"train-\d{8}_\d{4}(-\d+)?", run.name) for run in runs)
