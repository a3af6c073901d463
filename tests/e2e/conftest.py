"""One training of the tiny market, and one evaluation of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from training_world import STEPS, document, fresh, market, once, said_of, tftctl

from tftctl.core.workspace import Workspace


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
        found = document(fresh(trained, "eval", run, "--split", "val", "--json"))
        (folder / "eval.json").write_text(json.dumps(found))

    return json.loads((once(tmp_path_factory, "evaluated", make) / "eval.json").read_text())
