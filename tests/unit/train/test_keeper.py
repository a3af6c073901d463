"""Which checkpoints stay."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from tftctl.core.config.model import ModelConfig
from tftctl.train.checkpoint import share_file
from tftctl.train.keeper import Keeper


def files(folder: Path) -> dict[str, str]:
    """Name -> content."""
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def write(path: Path, text: str) -> None:
    """A new file under a name, as checkpoints are written; other names of the old one keep it."""
    path.unlink(missing_ok=True)
    path.write_text(text)


def kept_after(folder: Path, scores: list[float], **options: Any) -> Keeper:
    """Train on paper: each epoch writes its number."""
    keeper = Keeper(folder, ModelConfig(**options))
    for epoch, score in enumerate(scores):
        keeper.end_epoch(
            epoch,
            {"val_composite_score": score, "val_loss": 1 - score},
            lambda path, epoch=epoch: write(path, f"{epoch}"),  # type: ignore[misc]
        )
    return keeper


def test_the_best_and_the_last_stay(tmp_path: Path) -> None:
    """DESIGN 6: top_k by the monitored value, whatever came between, and last.ckpt."""
    kept_after(tmp_path, [0.5, 0.9, 0.1, 0.7, 0.8, 0.2], top_k=3)
    assert files(tmp_path) == {
        "epoch=001-composite_score=0.9000-val_loss=0.1000.ckpt": "1",
        "epoch=003-composite_score=0.7000-val_loss=0.3000.ckpt": "3",
        "epoch=004-composite_score=0.8000-val_loss=0.2000.ckpt": "4",
        "last.ckpt": "5",
    }


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"top_k": 1}, ["2", "4"]),
        ({"top_k": 1, "monitor": "val_loss", "monitor_mode": "min"}, ["2", "4"]),
        ({"top_k": 0}, ["4"]),
        ({"top_k": 2, "save_last": False}, ["1", "2"]),
        ({"top_k": 2, "save_last": False, "checkpoint_every_steps": 5}, ["1", "2", "4"]),
        ({"top_k": 9}, ["0", "1", "2", "3", "4", "4"]),
    ],
)
def test_what_the_configuration_keeps(tmp_path: Path, options: dict[str, Any], want: list[str]) -> None:
    """The earlier of equal ones; `last` is the newest in any case."""
    kept_after(tmp_path, [0.1, 0.6, 0.7, 0.6, 0.2], **options)
    assert sorted(files(tmp_path).values()) == want


def test_an_undefined_value_is_the_worst(tmp_path: Path) -> None:
    """A diverged network's checkpoint is kept only while nothing better is there."""
    keeper = kept_after(tmp_path, [math.nan, math.nan], top_k=1)
    assert list(files(tmp_path)) == ["epoch=000-composite_score=nan-val_loss=nan.ckpt", "last.ckpt"]
    keeper.end_epoch(2, {"val_composite_score": 0.0, "val_loss": 5.0}, lambda path: write(path, "2"))
    assert list(files(tmp_path)) == ["epoch=002-composite_score=0.0000-val_loss=5.0000.ckpt", "last.ckpt"]


def test_a_resumed_run_has_its_parents_best(tmp_path: Path) -> None:
    """They lie in its own folder, and what it removes stays in the parent's."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    before = kept_after(old, [0.5, 0.9], top_k=2)
    keeper = Keeper(new, ModelConfig(top_k=2), before.kept)
    keeper.inherit(old)
    assert sorted(files(new)) == sorted(set(files(old)) - {"last.ckpt"})
    keeper.end_epoch(2, {"val_composite_score": 0.7, "val_loss": 0.3}, lambda path: write(path, "2"))
    assert sorted(files(new).values()) == ["1", "2", "2"]
    assert sorted(files(old).values()) == ["0", "1", "1"]


def test_a_file_system_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same content under both names, and nothing else."""

    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    source = tmp_path / "a"
    source.write_text("x")
    share_file(source, tmp_path / "b")
    assert files(tmp_path) == {"a": "x", "b": "x"}
