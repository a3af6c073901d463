"""Which checkpoints are meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tftctl.core.errors import DataError, UsageError
from tftctl.evaluate.choice import choose_checkpoints, rank_checkpoints
from tftctl.train.rundir import Run

SCORES = {0: (0.51, 1.9), 1: (0.62, 1.2), 2: (0.62, 1.1), 5: (float("nan"), float("nan"))}


def run_of(root: Path, config: str = "monitor: val_composite_score") -> Run:
    """A run directory with empty checkpoints of four epochs, the last of a network that diverged."""
    (root / "checkpoints").mkdir(parents=True)
    (root / "configs").mkdir()
    (root / "configs" / "model_config.yaml").write_text(config + "\n")
    run = Run(root)
    lines = []
    for epoch, (score, loss) in SCORES.items():
        (run.checkpoints / f"epoch={epoch:03d}-composite_score={score:.4f}-val_loss={loss:.4f}.ckpt").touch()
        values = {"val_composite_score": score, "val_loss": loss}
        lines.append(json.dumps({"epoch": epoch, **{k: v if v == v else None for k, v in values.items()}}))
    run.metrics.write_text("\n".join(lines) + "\n")
    (run.checkpoints / "last.ckpt").touch()
    return run


def epochs(paths: tuple[Path, ...] | list[Path]) -> list[int]:
    """Epochs in checkpoints' names."""
    return [int(path.name[6:9]) for path in paths]


def test_best_is_by_the_monitored_value_the_earlier_of_equal_ones(tmp_path: Path) -> None:
    """DESIGN 6: not by the rounded number in the name; a diverged network comes last, and is not forgotten."""
    run = run_of(tmp_path / "a")
    assert epochs(rank_checkpoints(run)) == [1, 2, 0, 5]
    assert epochs(choose_checkpoints(run, "best").paths) == [1]
    assert epochs(choose_checkpoints(run, "top-k").paths) == [1, 2, 0, 5]
    by_loss = run_of(tmp_path / "b", "monitor: val_loss\nmonitor_mode: min")
    assert epochs(rank_checkpoints(by_loss)) == [2, 1, 0, 5]


def test_a_checkpoint_is_a_word_a_name_or_a_path(tmp_path: Path) -> None:
    """`last`, a file anywhere, a name in checkpoints/ with or without its suffix."""
    run = run_of(tmp_path / "run")
    name = "epoch=000-composite_score=0.5100-val_loss=1.9000"
    assert choose_checkpoints(run, "last").paths == (run.checkpoints / "last.ckpt",)
    for given in (name, f"{name}.ckpt", str(run.checkpoints / f"{name}.ckpt")):
        choice = choose_checkpoints(run, given)
        assert (choice.label, epochs(choice.paths)) == (name, [0])


def test_a_checkpoint_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """Words first; a run without any says why."""
    run = run_of(tmp_path / "run")
    with pytest.raises(UsageError, match="has no checkpoint 'bets'") as caught:
        choose_checkpoints(run, "bets")
    assert "did you mean 'best'?" in caught.value.hint
    (run.checkpoints / "last.ckpt").unlink()
    with pytest.raises(UsageError, match="save_last: false"):
        choose_checkpoints(run, "last")
    for path in run.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="has no checkpoint"):
        choose_checkpoints(run, "best")
    (run.checkpoints / "last.ckpt").touch()
    with pytest.raises(UsageError, match="top_k: 0"):
        choose_checkpoints(run, "best")
