"""`audit leakage`, `audit all`, and what builds and trainings remember of them (DESIGN 2, 7)."""

from __future__ import annotations

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import polars as pl
import pytest

from tftctl.audit.prune.rules import ColumnRules, Rules
from tftctl.cli.app import main
from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace
from tftctl.features.verdict import audited_as_it_is, last_audits, record_audit
from tftctl.start.jobs import build_job
from tftctl.start.prune_jobs import prune_job
from tftctl.store import Store
from tftctl.store.lock import writer_lock
from tftctl.train.audited import audit_facts, audit_words, require_audited

KEYS = {"check", "column", "symbol", "period", "row", "class", "detail", "verdict"}
LEAKY = """
import numpy as np
from tftctl.api import Indicator, Output, hookimpl

def tomorrow(columns, params):
    return {"tomorrow": np.append(np.diff(np.log(columns["close"])), np.nan)}

@hookimpl
def tftctl_indicators():
    yield Indicator(name="tomorrow", summary="planted", inputs=lambda p: ("close",), outputs=(Output("tomorrow"),),
                    kernel=tomorrow)
"""


@pytest.fixture(scope="module")
def built(market: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One symbol of the market at two periods."""
    root = tmp_path_factory.mktemp("built") / "workspace"
    shutil.copytree(market.root, root, ignore=shutil.ignore_patterns("runs", "reports"))
    config = root / "configs" / "features.yaml"
    text = config.read_text().replace("[1h, 4h, 1d]", "[1h, 4h]").replace("{1h: [4h, 1d], 4h: [1d]}", "{1h: [4h]}")
    config.write_text(f"symbols: [SYN01]\n{text}")
    build_job(Workspace(root), [])
    return Workspace(root)


@pytest.fixture
def mine(built: Workspace, tmp_path: Path) -> Workspace:
    """A copy that may be written to."""
    return Workspace(shutil.copytree(built.root, tmp_path / "mine"))


def run(workspace: Workspace, *arguments: str) -> tuple[int, Any]:
    """Exit code and the JSON document of a command."""
    with redirect_stdout(StringIO()) as stdout, pytest.raises(SystemExit) as ended:
        main(["-w", str(workspace.root), *arguments, "--json"])
    return int(ended.value.code or 0), json.loads(stdout.getvalue())


def test_a_sound_store_passes_and_keeps_the_verdict(mine: Workspace, tmp_path: Path) -> None:
    """The document's keys, JUnit with a case per column, the snapshot that keeps it, and no second one of a build."""
    junit = tmp_path / "leaks.xml"
    code, document = run(mine, "audit", "leakage", "--junit", str(junit))
    assert (code, document["verdict"], document["findings"]) == (0, "PASS", [])
    assert {"snapshot", "checked", "cuts", "groups", "single_rows", "verdicts", "report", "recorded"} <= set(document)
    assert set(document["verdicts"].values()) == {"PASS"} and "rsi_6__4h" in document["verdicts"]
    assert json.loads(Path(document["report"]).read_text())["verdict"] == "PASS"
    suite = xml.parse(junit).getroot()
    assert suite.attrib["failures"] == "0" and int(suite.attrib["tests"]) >= len(document["verdicts"])
    store = Store(mine.store)
    with store.read() as snapshot:
        assert document["recorded"] == snapshot.number == document["snapshot"] + 1
        assert last_audits(snapshot).audits["leakage"].snapshot == document["snapshot"]
        assert audited_as_it_is(snapshot)
        number = snapshot.number
    build_job(mine, [])
    with store.read() as snapshot:
        assert snapshot.number == number and audited_as_it_is(snapshot)
        assert record_audit(store, snapshot, "leakage", "PASS") == number
        assert record_audit(store, snapshot, "leakage", "NOT PROVEN") == number + 1


def test_a_leak_fails_and_no_training_uses_it_unasked(mine: Workspace, tmp_path: Path) -> None:
    """Exit code 5 and the finding; `train` refuses before torch loads, and says so; allowed, the run is stamped.

    Without the column it is refused as well, until there is another audit; mended, it is unaudited for both.
    """
    (mine.root / "leaky.py").write_text(LEAKY)
    (mine.root / "tftctl.toml").write_text('plugins = ["leaky.py"]\n')
    config = mine.root / "configs" / "features.yaml"
    config.write_text(config.read_text().replace("log_return, {", "log_return, tomorrow, {"))
    assert run(mine, "features", "build")[0] == 0
    code, document = run(mine, "audit", "leakage")
    assert (code, document["verdict"], document["verdicts"]["tomorrow"]) == (5, "FAIL", "FAIL")
    (finding,) = document["findings"]
    assert set(finding) == KEYS
    assert (finding["column"], finding["class"], finding["symbol"]) == ("tomorrow", "label among the features", "SYN01")
    code, refused = run(mine, "train", "--fast-dev-run")
    assert code == 3
    assert "failed audit leakage" in refused["error"]["message"] and "--allow-unaudited" in refused["error"]["hint"]
    with Store(mine.store).read() as snapshot:
        said: list[str] = []
        require_audited(snapshot, allow_unaudited=True, say=said.append)
        assert len(said) == 1 and "failed audit leakage" in said[0]
        facts = audit_facts(snapshot, allow_unaudited=True)
    assert (facts["verdict"], facts["current"], facts["allow_unaudited"]) == ("FAIL", True, True)
    _prune_the_leak(Workspace(shutil.copytree(mine.root, tmp_path / "pruned")))
    config.write_text(config.read_text().replace("tomorrow, ", ""))
    assert run(mine, "features", "build")[0] == 0
    with Store(mine.store).read() as snapshot:
        said = []
        require_audited(snapshot, allow_unaudited=False, say=said.append)
        mended = audit_facts(snapshot, allow_unaudited=False)
    assert len(said) == 1 and "is unaudited" in said[0]
    assert (mended["verdict"], mended["current"], audit_words(mended)) == (None, False, "unaudited")
    assert audit_words(facts) == "leakage FAIL; --allow-unaudited"


def _prune_the_leak(failed: Workspace) -> None:
    prune_job(failed, Rules(columns=ColumnRules(drop=("tomorrow",))))
    code, refused = run(failed, "train", "--fast-dev-run")
    assert (code, "failed audit leakage" in refused["error"]["message"]) == (3, True)
    assert "only another audit does: tftctl audit leakage" in refused["error"]["hint"]


def test_training_warns_where_nothing_or_something_else_was_audited(mine: Workspace) -> None:
    """Unaudited; audited; audited before rows came; not all proven."""

    def said() -> str:
        lines: list[str] = []
        with Store(mine.store).read() as snapshot:
            require_audited(snapshot, allow_unaudited=False, say=lines.append)
        return "".join(lines)

    store = Store(mine.store)
    assert "is unaudited" in said() and "tftctl audit leakage" in said()
    with store.read() as snapshot:
        record_audit(store, snapshot, "leakage", "PASS")
    assert said() == ""
    with store.write("fewer rows") as txn:
        rows = txn.base.scan("fused", "4h").collect()
        txn.replace("fused", "4h", rows.head(rows.height - 1))
        txn.commit()
    assert "rows are others than those audited in snapshot" in said()
    with store.read() as snapshot:
        record_audit(store, snapshot, "leakage", "NOT PROVEN")
    assert "NOT PROVEN" in said()
    with store.read() as snapshot:
        record_audit(store, snapshot, "time", "FAIL")
        with pytest.raises(DataError, match="failed audit time"):
            require_audited(store.read(), allow_unaudited=False, say=lambda line: None)


def test_a_verdict_of_other_rows_is_not_kept(mine: Workspace) -> None:
    """A build between the audit's reading and its end."""
    store = Store(mine.store)
    with store.read() as snapshot:
        with store.write("fewer rows") as txn:
            rows = txn.base.scan("fused", "4h").collect()
            txn.replace("fused", "4h", rows.tail(rows.height - 1))
            txn.commit()
        assert record_audit(store, snapshot, "leakage", "PASS") is None
    with store.read() as snapshot:
        assert last_audits(snapshot).audits == {}


def test_all_audits_in_one_report(mine: Workspace, tmp_path: Path) -> None:
    """Time of every table, leakage, splits: one document, one JUnit file, both verdicts kept."""
    junit = tmp_path / "all.xml"
    code, document = run(mine, "audit", "all", "--junit", str(junit))
    assert (code, document["verdict"]) == (0, "PASS"), document["findings"]
    assert document["verdicts"] == {"time": "PASS", "leakage": "PASS", "splits": "PASS"}
    assert {"groups", "longest_gaps"} <= set(document["time"]) and "cuts" in document["splits"]
    names = {case.attrib["classname"].split()[0] for case in xml.parse(junit).getroot()}
    assert {"bars", "fused", "leakage", "splits"} <= names
    with Store(mine.store).read() as snapshot:
        assert {name: said.verdict for name, said in last_audits(snapshot).audits.items()} == {
            "time": "PASS", "leakage": "PASS",
        }  # fmt: skip


def test_a_bad_file_says_nothing_of_the_tables(mine: Workspace, tmp_path: Path) -> None:
    """Nor do files that cannot be read; tables that fail beside them do."""
    dirty, torn = tmp_path / "SYN01_1h.csv", tmp_path / "torn.csv"
    row = "2020-01-01T00:00:00Z,1,1,1,{},1"
    dirty.write_text("\n".join(["timestamp,open,high,low,close,volume", row.format(1), row.format(2), ""]))
    torn.write_bytes(b"\x00\xff")
    command = ["audit", "time", "fused", "targets", str(dirty), str(torn)]
    code, document = run(mine, *command)
    failed = {(finding["symbol"], finding["check"]) for finding in document["findings"] if finding["verdict"] == "FAIL"}
    assert code == 5 and ("SYN01", "duplicates") in failed and (None, "readable") in failed
    assert _kept(mine) == {"time": "PASS"}
    with Store(mine.store).write("complete before it opens") as txn:
        rows = txn.base.scan("fused", "4h").collect()
        early = pl.when(pl.col("bar_index") == 50).then(pl.col("timestamp") - 1).otherwise("available_at")
        txn.replace("fused", "4h", rows.with_columns(early.alias("available_at")))
        txn.commit()
    assert run(mine, *command)[0] == 5
    assert _kept(mine) == {"time": "FAIL"}


def _kept(workspace: Workspace) -> dict[str, str]:
    with Store(workspace.store).read() as snapshot:
        return {name: said.verdict for name, said in last_audits(snapshot).audits.items()}


def test_what_was_found_outlives_a_locked_store(
    mine: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another writer holds the lock all the while: the reports are there, and why no snapshot keeps the verdicts."""
    monkeypatch.setitem(Store.__init__.__kwdefaults__, "wait_seconds", 0.1)
    with writer_lock(mine.store):
        code, document = run(mine, "audit", "all")
    assert (code, document["verdict"], document["recorded"]) == (0, "PASS", None)
    assert "is being written by process" in document["not_recorded"]
    assert f"warning: the verdict is kept nowhere: {document['not_recorded']}" in capsys.readouterr().err
    written = json.loads(Path(document["report"]).read_text())
    assert written["verdicts"] == {"time": "PASS", "leakage": "PASS", "splits": "PASS"}
    assert _kept(mine) == {}


def test_what_was_found_outlives_a_store_that_cannot_be_written(mine: Workspace) -> None:
    """Told in the last line; a run whose forecasts cannot be made again proves nothing and loses nothing."""
    (mine.store / "_lock").unlink()
    (mine.store / "_lock").mkdir()
    (mine.runs / "train-20260101_0000").mkdir(parents=True)
    (mine.runs / "train-20260101_0000" / "manifest.json").write_text("{}")
    arguments = ["-w", str(mine.root), "audit", "leakage", "--run", "train-20260101_0000"]
    with redirect_stderr(StringIO()) as told, redirect_stdout(StringIO()) as found, pytest.raises(SystemExit) as ended:
        main(arguments)
    last = told.getvalue().splitlines()[-1]
    assert ended.value.code == 0 and last.startswith("NOT PROVEN (kept nowhere: cannot write the store: ")
    assert "the tables have changed" not in last and "cannot be forecast" in found.getvalue()
    document = json.loads(Path(last.partition("report: ")[2]).read_text())
    assert document["verdicts"] == {"leakage": "PASS", "forecasts": "NOT PROVEN"}
    assert set(document["leakage"]["verdicts"].values()) == {"PASS"}


def test_strict_makes_not_proven_fail(mine: Workspace) -> None:
    """Labels that nobody can train on are a reason; 0 without --strict, 5 with it."""
    (mine.root / "configs" / "model_config.yaml").write_text("max_encoder_length: 5000\n")
    code, document = run(mine, "audit", "all")
    assert (code, document["verdict"], document["verdicts"]["splits"]) == (0, "NOT PROVEN", "NOT PROVEN")
    assert run(mine, "audit", "all", "--strict")[0] == 5


def test_there_must_be_features(workspace: Workspace) -> None:
    """One line, exit code 3, what to do."""
    code, document = run(workspace, "audit", "leakage")
    assert code == 3
    assert document["error"]["hint"] == "make them: tftctl features build"
