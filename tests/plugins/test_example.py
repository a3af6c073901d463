"""The example plugin, really installed, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "plugins" / "tftctl-example"
PROVIDES = {
    "indicator efficiency_ratio",
    "target target_upside_atr",
    "loss laplace_nll",
    "metric tail_hit_rate",
    "source tides",
    "command example",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH into which pip has installed the example; pip fetches hatchling where it is absent."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("site")
    shared = ["--no-build-isolation"] if _has("hatchling") else []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *shared]
    subprocess.run([*command, "--target", str(folder), str(EXAMPLE)], check=True, timeout=300)
    return folder


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def tftctl(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "tftctl", *arguments]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=300)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_list_finds_it_through_its_entry_point(installed: Path) -> None:
    rows = document(tftctl(installed, "plugins", "list", "--json"))
    (row,) = [row for row in rows if row["name"] == "tftctl-example"]
    assert (row["distribution"], row["version"], row["status"]) == ("tftctl-example", "0.1.0", "ok")
    assert set(row["provides"]) == PROVIDES
    assert row["error"] is None


def test_check_passes(installed: Path) -> None:
    report = document(tftctl(installed, "plugins", "check", "tftctl-example", "--json"))
    assert report["verdict"] == "PASS"
    assert set(report["checked"]) == PROVIDES
    assert report["findings"] == []


def test_command_runs(installed: Path) -> None:
    done = tftctl(installed, "example", "bars", "--rows", "2")
    lines = done.stdout.splitlines()
    assert lines[0] == "timestamp,open,high,low,close,volume,tide"
    assert [line.split(",")[0] for line in lines[1:]] == ["1672531200000", "1672534800000"]


def test_help_names_the_command(installed: Path) -> None:
    done = tftctl(installed, "--help")
    assert done.returncode == 0
    assert re.search(r"│ example +What the example plugin has to show\.", done.stdout)


def test_it_is_not_there_unless_installed(tmp_path: Path) -> None:
    done = tftctl(tmp_path, "plugins", "check", "tftctl-example", "--json")
    assert done.returncode == 4
    assert "there is no plugin 'tftctl-example'" in json.loads(done.stdout)["error"]["message"]
