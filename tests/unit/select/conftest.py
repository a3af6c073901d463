"""The tiny market, and a training of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from training_world import document, once, tftctl
from training_world import market as make

from tftctl.core.workspace import Workspace


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with features and targets, built once; nothing may write to its store."""
    return make(tmp_path_factory)


@pytest.fixture(scope="session")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the tiny market with one training of two steps."""

    def train(root: Path) -> None:
        shutil.copytree(make(tmp_path_factory).root, root, dirs_exist_ok=True)
        document(tftctl(Workspace(root), "train", "--max-steps", "2", "--accelerator", "cpu", "--json"))

    return Workspace(once(tmp_path_factory, "gated", train))
