"""`tftctl store` as a process: exit codes, streams and JSON keys."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest
from forked import run

from tftctl.core.workspace import Workspace
from tftctl.store import Store

HOUR = 3_600_000


def tftctl(workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(["-w", str(workspace.root), "store", *arguments])


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> object:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    for number in range(5):
        with Store(workspace.store).write(f"commit {number}") as change:
            times = [HOUR * i for i in range(4)]
            change.replace("bars", "1h", pl.DataFrame({"symbol": "BTCUSDT", "timestamp": times, "close": number + 0.5}))
            change.commit()
    return workspace


def test_status_and_sql(filled: Workspace) -> None:
    status = document(tftctl(filled, "status", "--json"))
    assert status["snapshot"] == 5
    (table,) = status["tables"]
    assert (table["name"], table["rows"], len(table["data_version"])) == ("bars", 4, 24)
    query = "SELECT symbol, max(datetime) AS last, max(close) AS top FROM bars GROUP BY symbol"
    assert document(tftctl(filled, "sql", query, "--json")) == [
        {"symbol": "BTCUSDT", "last": "1970-01-01T03:00:00Z", "top": 4.5}
    ]
    plain = tftctl(
        filled, "sql", "SELECT max(datetime) AS last, 1704067200000 AS t, 42283.58 AS x, NULL AS n FROM bars"
    )
    assert plain.stdout == "last\tt\tx\tn\n1970-01-01T03:00:00Z\t1704067200000\t42283.58\t\n"


def test_a_bad_query_is_exit_2_and_one_line(filled: Workspace) -> None:
    done = tftctl(filled, "sql", "SELECT * FROM bras", "--json")
    assert document(done, code=2)["error"]["code"] == 2
    assert "bras" in done.stderr
    assert "Traceback" not in done.stderr


def test_export_refuses_to_overwrite(filled: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "bars.csv"
    made = document(tftctl(filled, "export", "bars", "--output", str(output), "--json"))
    assert made == {"output": str(output), "rows": 4, "snapshot": 5}
    assert tftctl(filled, "export", "bars", "--output", str(output)).returncode == 2
    assert tftctl(filled, "export", "bars", "--output", str(output), "--force").returncode == 0
    assert tftctl(filled, "export", "bar", "--output", str(tmp_path / "x.csv")).returncode == 3


def test_verify_and_gc(filled: Workspace) -> None:
    assert document(tftctl(filled, "verify", "--json")) == {"verdict": "PASS", "problems": [], "leftovers": []}
    planned = document(tftctl(filled, "gc", "--dry-run", "--json"))
    assert (planned["snapshots"], planned["kept"], planned["dry_run"]) == ([1, 2], [3, 4, 5], True)
    done = document(tftctl(filled, "gc", "--keep", "1", "--json"))
    assert (done["snapshots"], len(done["files"])) == ([1, 2, 3, 4], 4)
    (segment,) = (filled.store / "bars" / "period=1h").iterdir()
    segment.write_bytes(segment.read_bytes()[:-1])
    (filled.store / "_tmp" / "half.parquet").write_bytes(b"PAR1")
    failed = document(tftctl(filled, "verify", "--json"), code=3)
    assert failed["leftovers"] == ["_tmp/half.parquet"]
    assert failed["verdict"] == "FAIL"
    assert segment.name in failed["problems"][0]


def test_an_empty_store_answers_everything(workspace: Workspace) -> None:
    assert document(tftctl(workspace, "status", "--json"))["tables"] == []
    assert document(tftctl(workspace, "verify", "--json"))["verdict"] == "PASS"
    assert document(tftctl(workspace, "gc", "--json"))["files"] == []
    assert document(tftctl(workspace, "sql", "SELECT 1 AS one", "--json")) == [{"one": 1}]
    assert tftctl(workspace, "export", "bars", "--output", "x.csv").returncode == 3
    assert not workspace.store.exists()
