"""Trainings and evaluations that fail: one line, the right exit code, nothing lost, nothing half made."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import forked
import pytest
from training_world import document, linked, quiet, tftctl

from tftctl.cli.app import main
from tftctl.core.errors import DataError, TftctlError, UsageError
from tftctl.core.workspace import Workspace
from tftctl.start.jobs import eval_job, train_job
from tftctl.train import record
from tftctl.train.recorder import Recorder

BAD_LINES = {
    "unknown target": (["--targets", "target_logretrun"], 2, "target_logretrun", "target_logreturn"),
    "unknown symbol": (["--symbols", "SYN04"], 3, "SYN04", "SYN03"),
    "no group long enough": (["-o", "max_encoder_length=5000"], 3, "5000", "max_encoder_length"),
    "not in the configuration": (["-o", "uncertainty=maybe"], 2, "uncertainty", "learned"),
}
BAD_FILES = {
    "composite_score.yaml": ("val_target_logreturn_rmse@1h: 0.2\n", "val_target_logreturn_rmse@1h", "negative"),
    "weights_config.yaml": ("stage_1: {target_logretrun: 1.0}\n", "target_logretrun", "target_logreturn"),
    "model_config.yaml": (
        "targets: [target_logreturn]\nlosses: {target_logreturn: {name: mse, beta: 1}}\n",
        "mse",
        "its options: none",
    ),
}
BAD_OPTIONS = {
    "monitor=val_loss": (2, "keep the worst", "monitor_mode has to be min"),
    "periods=[2h]": (3, "2h", "4h"),
    "periods=[1d]": (3, "training labels of target_logreturn, 250 are needed", "more bars"),
    "reals=[rsi_7]": (2, "rsi_7", "rsi_6"),
    "reals=[target_logreturn]": (2, "target_logreturn", "remove"),
    "losses={target_logreturn: bce}": (2, "the loss 'bce' is not", "smooth_l1"),
    "output_size=[1, 1, 3]": (2, "output_size", "[1, 1, 1]"),
    "data_path=99": (3, "99", ""),
    "pos_weight={target_logreturn: batch}": (2, "pos_weight: target_logreturn is regression", "only binary targets"),
    "unseen=pooled\nsymbols=[SYN01]\nperiods=[1d]": (3, "SYN01 1d", "more bars"),
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


def test_a_symbol_of_digits_is_a_name(trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Codes of Asian exchanges: `--symbols 000001` is no number in YAML."""
    with pytest.raises(SystemExit) as ended:
        main(["-w", str(linked(trained, tmp_path).root), "train", "--symbols", "SYN01, 000001"])
    assert ended.value.code == 3
    assert "error: the fused table has no symbol '000001'" in capsys.readouterr().err


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
    made = trained.runs / result["run"]
    shutil.copytree(made, workspace.runs / "renamed", ignore=shutil.ignore_patterns("predictions"))
    other = train_job(workspace, None, ["max_steps=1", "targets=[target_logreturn]", "periods=[4h]"], "cpu", quiet)
    foreign = str(workspace.runs / other.run / "checkpoints" / "last.ckpt")
    with pytest.raises(UsageError, match=f"is a checkpoint of {other.run}, not of renamed") as caught:
        eval_job(workspace, "renamed", "val", foreign)
    assert caught.value.hint.startswith(f"tftctl eval {other.run} ")
    assert not (workspace.runs / "renamed" / "predictions").exists()
    again = eval_job(workspace, "renamed", "val", str(trained.root / result["last_checkpoint"]))
    assert again.predictions.startswith("runs/renamed/predictions/")


def test_a_snapshot_that_is_gone_is_named(trained: Workspace, result: dict[str, Any], tmp_path: Path) -> None:
    """A run that was brought from elsewhere: a store error that says what there is."""
    workspace = linked(trained, tmp_path)
    (tmp_path / "store").unlink()
    shutil.copytree(trained.runs / result["run"], workspace.runs / result["run"])
    with pytest.raises(TftctlError, match="there is no snapshot 2") as caught:
        eval_job(workspace, result["run"], "val", "best")
    assert caught.value.exit_code == 3


def test_a_full_disk_in_a_training_is_one_error_and_keeps_finished_epochs(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 1: the checkpoint of the first epoch is whole and can be evaluated."""
    workspace = linked(trained, tmp_path)
    add = Recorder.add

    def fail(self: Recorder, row: dict[str, Any]) -> None:
        if row["epoch"] == 1:
            raise OSError(28, "No space left on device", "metrics.jsonl")
        add(self, row)

    monkeypatch.setattr(Recorder, "add", fail)
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
    train = ["-w", str(workspace.root), "train", "--accelerator", "cpu"]
    said = []
    with forked.running([*train, *(part for o in options for part in ("-o", o))]) as process:
        for line in process.stderr:
            said.append(line)
            if line.startswith("epoch 1/"):
                process.signal(signal.SIGINT)
                break
        code, rest = process.end()
    said += rest
    assert code == 130, said
    assert [line for line in said if line.startswith("error: ")] == ["error: interrupted\n"]
    assert "Traceback" not in "".join(said)
    (run,) = (path.parent for path in workspace.runs.glob("*/manifest.json"))
    assert eval_job(workspace, run.name, "val", "best").origins[0]["origins"] > 0
