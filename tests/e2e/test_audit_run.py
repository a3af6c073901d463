"""`tftctl audit leakage --run` and `audit all --run`: a trained run beside the tables that it learned from (A3)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from training_world import tftctl

from tftctl.core.workspace import Workspace


@pytest.fixture
def copied(trained: Workspace, tmp_path: Path) -> Workspace:
    """The trained market, with a store that may be written to."""
    return Workspace(shutil.copytree(trained.root, tmp_path / "copied"))


def test_a_run_is_audited_with_its_tables(copied: Workspace, result: dict[str, Any]) -> None:
    """Time, columns, splits and forecasts in one document."""
    done = tftctl(copied, "audit", "all", "--run", result["run"], "--jobs", "1", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["verdict"]) == (0, "PASS"), document["findings"]
    assert document["verdicts"] == dict.fromkeys(("time", "leakage", "splits", "forecasts"), "PASS")
    assert document["forecasts"]["cuts"] and any("1e20" in text for text in document["checked"])


def test_a_run_that_is_not_there_is_told_before_anything_is_computed(copied: Workspace) -> None:
    """Exit code 2, with the name that was asked for."""
    done = tftctl(copied, "audit", "leakage", "--run", "nobody", "--json")
    assert done.returncode == 2
    assert "nobody" in json.loads(done.stdout)["error"]["message"]
