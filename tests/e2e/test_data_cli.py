"""`tftctl data` and `tftctl macro` as processes: documents, exit codes and streams (DESIGN 7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from forked import run

from tftctl.core.workspace import Workspace

HOUR = 3_600_000
START = 1_704_067_200_000


@pytest.fixture
def made(workspace: Workspace) -> Workspace:
    """A workspace with a configuration."""
    workspace.configs.mkdir()
    (workspace.configs / "features.yaml").write_text("periods: [1h]\n")
    return workspace


def tftctl(workspace: Workspace, *arguments: object, code: int = 0) -> tuple[Any, str]:
    """The JSON document on stdout, and stderr, of a command that ends with this code."""
    done = run(["-w", str(workspace.root), *map(str, arguments), "--json"])
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout), done.stderr


def bars_file(path: Path, *bad: str, first: int = 0, count: int = 6) -> Path:
    """Hourly bars with a hole, and bad lines at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hours = [hour for hour in range(first, first + count) if hour != 3]
    lines = [f"{START + hour * HOUR},10,12,9,11,{hour}" for hour in hours]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines, *bad]) + "\n")
    return path


def test_import_list_and_gaps(made: Workspace, tmp_path: Path) -> None:
    """A partial import is 0, and tells what it refused; listing agrees with it."""
    path = bars_file(tmp_path / "in" / "1h" / "BTCUSDT.csv", "1704153600000,10,9,12,11,1", "soon,1,1,1,1,1")
    found, errors = tftctl(made, "data", "import", path)
    (file,) = found["files"]
    assert file == file | {
        "path": str(path),
        "symbol": "BTCUSDT",
        "period": "1h",
        "rows_read": 7,
        "rows_accepted": 5,
        "rows_rejected": 2,
        "duplicates": 0,
        "reasons": {"high below low": 1, "unreadable time": 1},
    }
    assert (found["rows_accepted"], found["rows_rejected"]) == (5, 2)
    assert "2 rows refused: high below low (1), unreadable time (1)" in errors
    assert (Path(found["report"]) / "rejects.csv").read_text().count("\n") == 3
    (row,), _ = tftctl(made, "data", "list")
    assert row == row | {
        "symbol": "BTCUSDT",
        "period": "1h",
        "rows": 5,
        "first": "2024-01-01T00:00:00Z",
        "last": "2024-01-01T05:00:00Z",
        "gaps": 1,
        "missing": 1,
        "zero_volume": 1,
    }
    (gap,), _ = tftctl(made, "data", "gaps", "--symbols", "BTCUSDT")
    hole = "2024-01-01T03:00:00Z"
    assert gap == {"symbol": "BTCUSDT", "period": "1h", "from": hole, "to": hole, "missing": 1}


def test_strict_and_unusable_imports_are_exit_3(made: Workspace, tmp_path: Path) -> None:
    path = bars_file(tmp_path / "BTCUSDT_1h.csv", "soon,1,1,1,1,1")
    document, errors = tftctl(made, "data", "import", path, "--strict", code=3)
    assert document["error"]["code"] == 3
    assert "--strict takes all or nothing" in document["error"]["message"]
    assert errors.startswith("error: ")
    assert errors.count("\n") == 2
    none = tmp_path / "ETHUSDT_1h.csv"
    none.write_text("timestamp,open,high,low,close,volume\nsoon,1,1,1,1,1\n")
    document, errors = tftctl(made, "data", "import", none, code=3)
    assert (document["rows_accepted"], document["rows_rejected"]) == (0, 1)
    assert document["error"]["code"] == 3
    assert document["error"]["message"] == "nothing was accepted: unreadable time (1)"
    assert "error: nothing was accepted: unreadable time (1)" in errors
    both = bars_file(tmp_path / "in" / "1h" / "SOLUSDT.csv")
    document, _ = tftctl(made, "data", "import", both, path, "--strict", "--symbol", "SOLUSDT", code=3)
    assert document["rows_accepted"] == 5
    assert document["error"]["message"] == "--strict refused 1 of 2 files"
    assert [row["symbol"] for row in tftctl(made, "data", "list")[0]] == ["SOLUSDT"]


def test_usage_errors_are_exit_2(made: Workspace, tmp_path: Path) -> None:
    path = bars_file(tmp_path / "BTCUSDT_1h.csv")
    for arguments in (("--period", "1 parsec"), ("--period", "1M"), ("--prefer", "both"), ("--as-of", "soon"),
                      ("--as-of", "2099-01-01"), ("--timezone", "Mars/Base"), ("--calendar", "MARS"),
                      ("--symbol", "a?b"), ("--extra", "openInterest")):  # fmt: skip
        document, errors = tftctl(made, "data", "import", path, *arguments, code=2)
        assert document["error"]["code"] == 2, arguments
        assert {"code", "message", "hint"} <= set(document["error"])
        assert len(errors.strip().splitlines()) <= 2


def test_convert_and_an_untrusted_pickle(made: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "bars.pkl"
    found, _ = tftctl(made, "data", "convert", bars_file(tmp_path / "BTCUSDT_1h.csv"), output)
    assert found == {"output": str(output), "rows": 5}
    assert len(pd.read_pickle(output)) == 5
    document, errors = tftctl(made, "data", "import", output, "--symbol", "BTCUSDT", "--period", "1h", code=3)
    assert "--trust-pickle" in document["error"]["hint"]
    assert "--trust-pickle" in errors
    options = ("--symbol", "BTCUSDT", "--period", "1h", "--trust-pickle")
    assert tftctl(made, "data", "import", output, *options)[0]["rows_accepted"] == 5


def test_macro_import_and_list(made: Workspace, tmp_path: Path) -> None:
    document, _ = tftctl(
        made, "macro", "import", tmp_path, "--frequency", "1mo", "--stamp", "end", "--lag", "0d", code=3
    )
    assert document["error"]["message"].endswith("is a folder")
    path = tmp_path / "m2.csv"
    path.write_text("date,value\n2024-01-01,1\n2024-02-01,\n2024-03-01,3\n")
    document, _ = tftctl(made, "macro", "import", path, code=2)
    assert "--frequency" in document["error"]["hint"]
    declared = ("--frequency", "1mo", "--stamp", "start", "--lag", "28d", "--revised")
    found, _ = tftctl(made, "macro", "import", path, *declared)
    assert (found["rows_accepted"], found["rows_rejected"]) == (2, 1)
    (row,), _ = tftctl(made, "macro", "list")
    assert (row["series"], row["revised"], row["available_at"]) == ("m2", True, "2024-04-29T00:00:00Z")


def test_adopting_and_factors(made: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    stamps = [START + i * HOUR for i in range(6)]
    pl.DataFrame(
        {"symbol": "BTCUSDT", "period": "1h", "timestamp": stamps, "rsi": 1.0, "target_up": 1.0}
    ).write_parquet(path)
    found, _ = tftctl(made, "data", "import", path, "--as", "fused", "--horizon", "2")
    assert (found["rows"], found["labels_removed"], found["audit"]) == (6, 2, "unaudited")
    factors = tmp_path / "aapl.csv"
    factors.write_text("19980102,0.8,0.5,1\n20500101,1,1,0\n")
    assert tftctl(made, "data", "import", factors, "--as", "factors")[0] == {
        "symbols": {"AAPL": 2},
        "rows": 2,
        "without_bars": ["AAPL"],
    }


def test_samples(made: Workspace) -> None:
    found, _ = tftctl(made, "data", "sample", "synthetic", "-o", "symbols=2", "-o", "days=20")
    assert {"symbols", "periods", "rows", "planted"} <= set(found)
    assert len(found["symbols"]) == 2
    assert found["planted"]
    document, _ = tftctl(made, "data", "sample", "nothing", code=2)
    assert "synthetic" in document["error"]["hint"]
