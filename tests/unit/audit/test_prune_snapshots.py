"""A pruned table is a new snapshot that everything else can read; the next build makes the whole one again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pruning_world import CONFIG, make_store, pruned, table, tried
from training_world import prepare

from tftctl.audit.prune.rules import ColumnRules, RowRules, Rules
from tftctl.audit.prune.writing import first_origin
from tftctl.audit.splits import audit_splits
from tftctl.core.errors import ConfigError, DataError
from tftctl.core.workspace import Workspace
from tftctl.features.health import measure_health
from tftctl.features.verdict import data_mark, last_audits, record_audit
from tftctl.ingest.adopt import AdoptOptions, adopt_fused
from tftctl.plugins import load_registry
from tftctl.start.jobs import build_job, describe_job, plan_job
from tftctl.start.prune_jobs import prune_job
from tftctl.store import Store
from tftctl.store.verify import verify
from tftctl.train.audited import audit_facts, require_audited

RULES = Rules(
    columns=ColumnRules(drop=("signal_2", "log_return__1d"), duplicates="sign", max_correlation=0.98),
    rows=RowRules(require=("rsi_6", "log_return__4h", "rsi_6__1d")),
)


@pytest.fixture(scope="module")
def thinned(tmp_path_factory: pytest.TempPathFactory, market: Workspace) -> Workspace:
    """The market with a pruned table as its newest snapshot."""
    root = tmp_path_factory.mktemp("pruned") / "market"
    shutil.copytree(market.root, root)
    workspace = Workspace(root)
    found = prune_job(workspace, RULES)
    assert found.number == Store(workspace.store).current() == Store(market.store).current() + 1
    return workspace


def test_older_snapshots_stay(thinned: Workspace, market: Workspace) -> None:
    """Every row and column of the snapshot before, and a store without problems."""
    store, whole = Store(thinned.store), Store(market.store)
    for name in ("fused", "targets", "features", "bars"):
        before, again = table(whole, name), table(store, name, whole.current())
        assert all(before[period].equals(again[period]) for period in before)
    found = verify(store)
    assert (found.verdict, found.problems, found.leftovers) == ("PASS", (), ())
    assert {"signal_2", "log_return__1d"}.isdisjoint(table(store)["1h"].columns)
    assert table(store)["1h"].height < table(whole)["1h"].height


def test_the_table_says_how_it_came_about(thinned: Workspace, market: Workspace) -> None:
    """Origin, base, rules, columns with reasons, rows by group, cut, last label read, audit; columns that are left."""
    with Store(thinned.store).read() as snapshot:
        meta, columns = snapshot.meta("fused"), snapshot.columns("fused")
    record = meta["pruned"]
    assert (meta["origin"], record["origin_before"]) == ("pruned", "built")
    assert record["from_snapshot"] == Store(market.store).current()
    assert record["rules"]["columns"]["max_correlation"] == 0.98
    assert {"column": "signal_2", "reason": "named"}.items() <= record["columns_dropped"][0].items()
    assert {(e["symbol"], e["period"]) for e in record["rows_dropped"]} >= {("SYN01", "1h"), ("SYN02", "1h")}
    assert record["last_label_end"] <= record["train_end"] < record["val_end"]
    assert record["time_audit"] in ("PASS", "NOT PROVEN")
    assert set(meta["columns"]) <= set(columns)
    assert set(columns) - set(meta["columns"]) == {
        "symbol", "period", "timestamp", "available_at", "next_timestamp", "segment", "bar_index", "is_filled"
    }  # fmt: skip


def test_the_time_audit_is_kept_with_the_table(tmp_path: Path) -> None:
    """Of these very rows, in this very snapshot; what another audit said of other rows goes along."""
    store = make_store(tmp_path)
    with store.read() as base:
        record_audit(store, base, "leakage", "PASS")
    found = pruned(store, Rules(columns=ColumnRules(constant=True)))
    with store.read() as snapshot:
        audits = last_audits(snapshot).audits
        assert (audits["time"].snapshot, audits["time"].data) == (snapshot.number, data_mark(snapshot))
        assert found.audit is not None and audits["time"].verdict == found.audit.verdict
        assert (audits["leakage"].snapshot, audits["leakage"].data == data_mark(snapshot)) == (1, False)


def stance(store: Store) -> tuple[str, dict[str, str]]:
    """What a training is told, and the verdicts that its manifest would name."""
    said: list[str] = []
    with store.read() as snapshot:
        try:
            require_audited(snapshot, allow_unaudited=False, say=said.append)
        except DataError as error:
            said.append(f"refused: {error.message}; {error.hint}")
        facts = audit_facts(snapshot, allow_unaudited=False)
    return "".join(said), {name: audit["verdict"] for name, audit in facts["audits"].items()}


@pytest.mark.parametrize(
    "rules",
    [
        Rules(columns=ColumnRules(constant=True)),
        Rules(rows=RowRules(require=("late",))),
        Rules(columns=ColumnRules(constant=True), rows=RowRules(require=("late",))),
    ],
    ids=["columns", "rows", "both"],
)
def test_no_pruning_lifts_a_failure(rules: Rules, tmp_path: Path) -> None:
    """Nor a second one; an audit of what is left does, and then the run says that one."""
    store = make_store(tmp_path)
    with store.read() as base:
        record_audit(store, base, "leakage", "FAIL")
    for again in (rules, Rules(columns=ColumnRules(drop=("noise",)))):
        assert pruned(store, again).number == store.current()
        told, verdicts = stance(store)
        assert told.startswith("refused: ") and "have failed audit leakage of snapshot 1;" in told
        assert "pruning lifts no failure, only another audit does" in told and "tftctl audit leakage" in told
        assert verdicts["leakage"] == "FAIL"
        with store.read() as snapshot:
            assert not audit_facts(snapshot, allow_unaudited=True)["current"]
    with store.read() as left:
        record_audit(store, left, "leakage", "PASS")
    told, verdicts = stance(store)
    assert (told, verdicts["leakage"]) == ("", "PASS")


def test_no_pruning_passes_a_pass_on(tmp_path: Path) -> None:
    """The audit saw another table."""
    store = make_store(tmp_path)
    with store.read() as base:
        record_audit(store, base, "leakage", "PASS")
    assert stance(store)[0] == ""
    pruned(store, Rules(rows=RowRules(require=("late",))))
    told, verdicts = stance(store)
    assert "is unaudited" in told and set(verdicts) == {"time"}


def test_a_mended_table_that_is_pruned_likewise_has_not_failed(tmp_path: Path) -> None:
    """The same columns and the same pruning, of other definitions."""
    store, rules = make_store(tmp_path), Rules(columns=ColumnRules(constant=True))
    pruned(store, rules)
    with store.read() as left:
        record_audit(store, left, "leakage", "FAIL")
    assert stance(store)[0].startswith("refused: ")
    with store.write("built again") as txn, store.read(1) as whole:
        failed = txn.base.meta("fused")["audit"]
        for period in whole.periods("fused"):
            txn.replace("fused", period, whole.collect(whole.scan("fused", period)))
        marks = {p: dict.fromkeys(of, "mended") for p, of in whole.meta("fused")["definitions"].items()}
        txn.set_meta("fused", whole.meta("fused") | {"definitions": marks, "audit": failed})
        txn.commit()
    for _ in range(2):
        told, verdicts = stance(store)
        assert "is unaudited" in told and "leakage" not in verdicts
        pruned(store, rules)


@pytest.mark.parametrize("audited", ["whole", "pruned"])
def test_a_build_of_the_same_definitions_brings_a_failure_back(audited: str, market: Workspace, tmp_path: Path) -> None:
    """Whether the whole table failed or what was pruned from it."""
    workspace = Workspace(shutil.copytree(market.root, tmp_path / "market"))
    store = Store(workspace.store)
    if audited == "pruned":
        prune_job(workspace, RULES)
    with store.read() as snapshot:
        record_audit(store, snapshot, "leakage", "FAIL")
    if audited == "whole":
        prune_job(workspace, RULES)
    build_job(workspace)
    with store.read() as snapshot:
        assert snapshot.meta("fused")["origin"] == "built"
    told, verdicts = stance(store)
    assert told.startswith("refused: ") and verdicts["leakage"] == "FAIL"


def test_the_report_is_what_is_printed(tmp_path: Path) -> None:
    """reports/audits/prune-.../report.json, beside that of the time audit."""
    found = pruned(make_store(tmp_path), Rules(columns=ColumnRules(constant=True)))
    assert found.folder is not None
    assert json.loads((found.folder / "report.json").read_text()) == found.document()
    assert {path.name.split("-")[0] for path in found.folder.parent.iterdir()} == {"prune", "time"}


def test_it_can_be_trained_on(thinned: Workspace) -> None:
    """Windows, splits and statistics, and an audit of these."""
    prepared = prepare(thinned)
    names = {item.name for item in prepared.spec.inputs}
    assert "signal_1" in names and "signal_2" not in names
    assert min(rows.size for rows in prepared.splits.values()) > 100
    with Store(thinned.store).read() as snapshot:
        assert audit_splits(prepared, snapshot).verdict == "PASS"
        assert prepared.spec.snapshot == snapshot.number


def test_a_training_that_names_what_is_gone_is_refused(thinned: Workspace) -> None:
    """By name, as any column that is not there."""
    with pytest.raises(ConfigError, match="no column 'signal_2'"):
        prepare(thinned, "reals=[signal_1, signal_2]")


def test_health_and_describe(thinned: Workspace) -> None:
    """Columns that are left, at the periods where they apply."""
    registry = load_registry(thinned)
    found = measure_health(Store(thinned.store), registry)
    seen = {(column.column, column.period) for column in found.columns}
    assert ("signal_1", "1h") in seen and ("signal_2", "1h") not in seen
    assert ("rsi_6__4h", "1h") in seen and ("rsi_6__4h", "1d") not in seen
    assert describe_job(thinned, "rsi_6")["columns"]


def test_pruning_again_remembers_the_first(thinned: Workspace, tmp_path: Path) -> None:
    """The description keeps what was done before."""
    root = tmp_path / "again"
    shutil.copytree(thinned.root, root)
    workspace = Workspace(root)
    found = prune_job(workspace, Rules(columns=ColumnRules(drop=("signal_3",))))
    with Store(workspace.store).read() as snapshot:
        record = snapshot.meta("fused")["pruned"]
        assert snapshot.number == found.number
    assert (record["origin_before"], len(record["earlier"])) == ("pruned", 1)
    assert record["earlier"][0]["columns_dropped"][0]["column"] == "signal_2"


def test_the_next_build_restores_everything(thinned: Workspace, market: Workspace, tmp_path: Path) -> None:
    """Rows and columns, to the last bit; the plan says so beforehand."""
    root = tmp_path / "restored"
    shutil.copytree(thinned.root, root)
    workspace = Workspace(root)
    planned = {(action.table, action.why) for action in plan_job(workspace).actions}
    assert {("fused", "new"), ("targets", "new")} <= planned
    build_job(workspace)
    with Store(workspace.store).read() as after, Store(market.store).read() as before:
        for name in ("fused", "targets"):
            assert after.data_version(name) == before.data_version(name)
        assert after.meta("fused")["origin"] == "built"
        assert after.meta("targets") == before.meta("targets")
    assert plan_job(workspace).rows_to_compute == 0


def test_an_adopted_table(workspace: Workspace, tmp_path: Path) -> None:
    """It keeps its origin, and that nobody audited its features; no build can make it again."""
    random, hours = np.random.default_rng(0), 1_600_041_600_000 + 3_600_000 * np.arange(2400)
    path = tmp_path / "long.parquet"
    pl.DataFrame(
        {
            "symbol": "AAA", "period": "1h", "timestamp": hours, "x": random.normal(size=hours.size), "one": 1.0,
            "flag": random.random(hours.size) > 0.5, "target_up": (random.random(hours.size) > 0.5).astype(float),
        }
    ).write_parquet(path)  # fmt: skip
    adopt_fused(Store(workspace.store), path, AdoptOptions(horizons={"*": 3}))
    for rules, gone in ((ColumnRules(constant=True), "one"), (ColumnRules(drop=("flag",)), "flag")):
        found = pruned(
            Store(workspace.store), Rules(columns=rules), CONFIG.model_copy(update={"targets": ["target_up"]})
        )
        assert [entry.column for entry in found.pruning.dropped] == [gone]
        assert found.document()["notes"] == [f"for the whole table: data_path: {found.pruning.snapshot}"]
        assert found.document()["audit"]["verdict"] == "NOT PROVEN"
    with Store(workspace.store).read() as snapshot:
        meta = snapshot.meta("fused")
        assert (list(last_audits(snapshot).audits), list(meta["columns"])) == (["time"], ["x"])
        assert first_origin(snapshot) == "adopted"


def test_columns_alone_leave_targets_alone(tmp_path: Path) -> None:
    """The same files, and definitions that the next build trusts."""
    store = make_store(tmp_path)
    with store.read() as before:
        pruned(store, Rules(columns=ColumnRules(constant=True)))
        with store.read() as after:
            assert after.table("targets") == before.table("targets")
            assert after.number == before.number + 1
            assert {"flat", "empty"} == set(before.columns("fused")) - set(after.columns("fused"))


def test_a_trial_writes_nothing(tmp_path: Path) -> None:
    """No snapshot, no report, no file; it says what the real thing then does."""
    store = make_store(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    trial = tried(store, rows=RowRules(require=("late",)), constant=True)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert trial.number is None and trial.folder is None
    real = pruned(store, Rules(columns=ColumnRules(constant=True), rows=RowRules(require=("late",))))
    for key in ("columns_dropped", "rows_dropped", "coverage", "measures", "train_end"):
        assert trial.document()[key] == real.document()[key]


def test_nothing_to_prune_makes_no_snapshot(tmp_path: Path) -> None:
    """Exit code 0, and the snapshot stays."""
    store = make_store(tmp_path)
    found = pruned(store, Rules(columns=ColumnRules(max_missing=0.5, pin=("empty", "sparse"))))
    assert (found.number, found.exit_code, found.changes) == (None, 0, False)
    assert found.document()["snapshot"] == store.current() == 1
    assert not (tmp_path / "reports").exists()


def test_a_result_that_fails_the_time_audit_is_not_committed(tmp_path: Path) -> None:
    """A row that is available before it opens: exit code 5, the finding, and the store as it was."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        early = pl.col("bar_index") == 50
        return rows.with_columns(
            pl.when(early).then(pl.col("timestamp") - 1).otherwise("available_at").alias("available_at")
        )

    store = make_store(tmp_path, change)
    files = sorted(path for path in store.root.rglob("*.parquet"))
    found = pruned(store, Rules(columns=ColumnRules(constant=True)))
    assert (found.number, found.exit_code, store.current()) == (None, 5, 1)
    assert found.document()["committed"] is False
    assert {f["check"] for f in found.document()["audit"]["findings"] if f["verdict"] == "FAIL"} == {"future"}
    assert sorted(path for path in store.root.rglob("*.parquet")) == files
    assert verify(store).leftovers == ()
