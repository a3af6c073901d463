"""The plugins for GARCH and TA-Lib, really installed: found by their entry points, and used by a build."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
NAMES = ("tftctl-garch", "tftctl-talib")
FEATURES = """
periods: [1h]
indicators:
  - rsi
  - talib_rsi
  - talib_cdldoji
  - {name: talib_macd, fastperiod: 5}
  - {name: garch_volatility, fit_window: 300, refit_every: 200, min_fit: 150}
targets: [target_logreturn]
context: {}
context_features: []
normalise: {}
"""
COLUMNS = (
    "talib_rsi",
    "talib_cdldoji",
    "talib_macd_macdsignal_5_26_9",
    "garch_volatility_next_300_200_150",
    "garch_residual_300_200_150",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH into which pip has installed both; pip fetches hatchling where it is absent."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("site")
    shared = [] if find_spec("hatchling") is None else ["--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *shared]
    sources = [str(PLUGINS / name) for name in NAMES]
    subprocess.run([*command, "--target", str(folder), *sources], check=True, timeout=300)
    return folder


def tftctl(installed: Path, *arguments: str) -> Any:
    """The JSON document of a command that succeeds and has nothing to complain of."""
    paths = [str(installed), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "tftctl", *arguments, "--json"]
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return json.loads(done.stdout)


def test_found_through_their_entry_points(installed: Path) -> None:
    rows = {row["name"]: row for row in tftctl(installed, "plugins", "list")}
    for name in NAMES:
        assert (rows[name]["distribution"], rows[name]["version"]) == (name, "0.1.0")
        assert (rows[name]["status"], rows[name]["error"]) == ("ok", None)
    provided = set(rows["tftctl-garch"]["provides"])
    assert provided == {f"indicator {model}_volatility" for model in ("garch", "egarch", "aparch")}
    assert len(rows["tftctl-talib"]["provides"]) == 192


def hourly_bars(size: int) -> str:
    """A CSV file of a random walk."""
    rng = np.random.default_rng(4)
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal(size)))
    opened = np.concatenate(([50.0], close[:-1]))
    rows = zip(opened, np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998, close, strict=True)
    lines = [
        f"{1_672_531_200_000 + at * 3_600_000},{','.join(f'{price:.6f}' for price in prices)},{10 + at % 7}"
        for at, prices in enumerate(rows)
    ]
    return "\n".join(["timestamp,open,high,low,close,volume", *lines])


def test_a_build_uses_them(installed: Path, tmp_path: Path) -> None:
    """TA-Lib's RSI is the built-in's, volatility begins where the first fit may, and nothing warns."""
    market = tmp_path / "market"
    tftctl(installed, "init", str(market))
    (market / "configs" / "features.yaml").write_text(FEATURES)
    (tmp_path / "AAA.csv").write_text(hourly_bars(700))
    tftctl(installed, "-w", str(market), "data", "import", str(tmp_path / "AAA.csv"), "--period", "1h")
    tftctl(installed, "-w", str(market), "features", "build")
    counts = ", ".join(f"count({column}) AS {column}" for column in COLUMNS)
    query = f"SELECT count(*) AS bars, {counts}, max(abs(rsi - talib_rsi)) AS apart FROM features"
    (row,) = tftctl(installed, "-w", str(market), "store", "sql", query)
    assert (row["bars"], row["apart"]) == (700, 0)
    assert [row[column] for column in COLUMNS] == [700 - 14, 700 - 10, 700 - 33, 700 - 150, 700 - 150]
