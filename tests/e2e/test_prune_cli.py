"""`tftctl prune` as a process: JSON keys, tables, exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from training_world import document, market, tftctl

from tftctl.core.workspace import Workspace
from tftctl.store import Store


@pytest.fixture
def copied(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Workspace:
    """The tiny market, to write to."""
    root = tmp_path / "market"
    shutil.copytree(market(tmp_path_factory).root, root)
    return Workspace(root)


def test_prune_train_and_rebuild(copied: Workspace, tmp_path: Path) -> None:
    """A trial, the same for good, a look with SQL, a training on it, and the table as it was."""
    base = Store(copied.store).current()
    (tmp_path / "gone.txt").write_text("signal_5\n")
    asked = ("--columns", "--drop-file", str(tmp_path / "gone.txt"), "--require", "rsi_6", "--min-ratio", "1h=1")
    trial = document(tftctl(copied, "prune", *asked, "--dry-run", "--json"))
    assert (trial["snapshot"], trial["committed"], trial["report"]) == (base, False, None)
    made = document(tftctl(copied, "prune", *asked, "--json"))
    assert {"snapshot", "columns_dropped", "rows_dropped", "coverage"} <= set(made)
    assert made["snapshot"] == Store(copied.store).current() == base + 1
    for key in ("columns_dropped", "rows_dropped", "coverage"):
        assert made[key] == trial[key]
    (entry,) = [e for e in made["columns_dropped"] if e["column"] == "signal_5"]
    assert {"column", "reason", "value", "kept"} <= set(entry)
    assert {"symbol", "period", "reason", "rows"} == set(made["rows_dropped"][0])
    assert {"before", "after"} == set(made["coverage"]["1h"])
    assert made["audit"]["verdict"] in ("PASS", "NOT PROVEN")
    left = sum(sides["after"]["rows"] for sides in made["coverage"].values())
    assert document(tftctl(copied, "store", "sql", "select count(*) as n from fused", "--json")) == [{"n": left}]
    tried = tftctl(copied, "train", "--fast-dev-run", "--accelerator", "cpu", "--json")
    assert document(tried)["epochs"] == 1
    built = document(tftctl(copied, "features", "build", "--json"))
    assert (built["snapshot"], built["rows"]) == (base + 2, sum(s["before"]["rows"] for s in made["coverage"].values()))


def test_what_a_person_sees(copied: Workspace) -> None:
    """Three tables on stdout, what it means on stderr; a bad call is one line and exit code 2."""
    done = tftctl(copied, "prune", "--drop", "signal_1,signal_2", "--pin", "rsi_6")
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()[:3]] == [
        ["column", "reason"], ["signal_1", "named"], ["signal_2", "named"]
    ]  # fmt: skip
    assert "the next features build makes the whole table again" in done.stderr
    for asked, words in (
        ((), "No rule is named"),
        (("--max-missing", "2"), "--max-missing 2 is out of range"),
        (("--drop", "signal_1"), "no column 'signal_1'"),
        (("--rows", "1h=some"), "--rows 1h=some"),
        (("--min-k", "0"), "--min-k 0"),
    ):
        refused = tftctl(copied, "prune", *asked)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert words in refused.stderr and "Traceback" not in refused.stderr
