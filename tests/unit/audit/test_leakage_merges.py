"""Fusion by an independent path: a stored column that is not what was available, and the merge that gives it (F4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import polars as pl
import pytest
from leakage_zoo import market, slower, workspace_with

from tftctl.audit.leakage import classes
from tftctl.audit.leakage.audit import audit_leakage
from tftctl.audit.leakage.evidence import Evidence
from tftctl.audit.leakage.rows import audit_rows
from tftctl.audit.leakage.world import load_group
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.workspace import Workspace
from tftctl.features.build import build
from tftctl.features.engine import numbers
from tftctl.features.layout import lay_out
from tftctl.features.reading import PreparedBars, by_symbol
from tftctl.plugins import load_registry
from tftctl.store import Snapshot, Store

CONFIG = FeaturesConfig.model_validate(
    {
        "periods": ["15m", "1h"],
        "indicators": ["rsi", "log_return"],
        "targets": ["target_logreturn"],
        "context": {"15m": ["1h"]},
        "context_features": ["rsi"],
    }
)
COLUMN = "rsi__1h"


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Snapshot]]:
    """Two symbols at 15m and 1h, fused."""
    root = tmp_path_factory.mktemp("merged")
    (root / "tftctl.toml").write_text("plugins = []\n")
    fast = [market(1600, 5, "15m", "AAA"), market(1600, 6, "15m", "BBB")]
    workspace = workspace_with(Workspace(root), [*fast, *(slower(bars, "1h") for bars in fast)])
    build(Store(workspace.store), CONFIG, load_registry())
    with Store(workspace.store).read() as snapshot:
        yield workspace, snapshot


def evidence_of(merged: tuple[Workspace, Snapshot], change: Callable[[pl.DataFrame], pl.Series] | None) -> Evidence:
    """What is noted where the stored column of AAA's quarters of an hour is another one."""
    _, snapshot = merged
    layout = lay_out(snapshot, CONFIG, load_registry(), None)
    group = load_group(PreparedBars(snapshot, layout), "15m", "AAA")
    fused, features, targets = (
        by_symbol(snapshot, table, "15m", ["AAA"])["AAA"] for table in ("fused", "features", "targets")
    )
    if change is not None:
        fused = fused.with_columns(change(fused).cast(pl.Float32).alias(COLUMN))
    evidence = Evidence()
    labels = {"target_logreturn": numbers(targets["target_logreturn"])}
    audit_rows(snapshot, layout, group, fused, features, labels, evidence)
    return evidence


def joined(snapshot: Snapshot, fast_key: str, slow_key: str, strategy: str = "backward") -> Callable[..., pl.Series]:
    """The hourly strength by a join on other columns than available_at, as pandas' `merge_asof` would make it."""

    def change(fused: pl.DataFrame) -> pl.Series:
        hours = by_symbol(snapshot, "features", "1h", ["AAA"])["AAA"].filter(~pl.col("is_filled"))
        right = hours.select(pl.col(slow_key).alias("key"), pl.col("rsi").alias("seen")).sort("key")
        made = fused.select(pl.col(fast_key).alias("key")).join_asof(right, on="key", strategy=strategy)  # type: ignore[arg-type]
        return made["seen"]

    return change


def test_the_join_of_a_build_is_the_independent_one(merged: tuple[Workspace, Snapshot]) -> None:
    """Nothing is noted of a sound table."""
    evidence = evidence_of(merged, None)
    assert (evidence.suspicions, evidence.stale) == ([], [])


def changes(snapshot: Snapshot) -> Mapping[str, Callable[[pl.DataFrame], pl.Series]]:
    """A wrong merge of each class."""
    others = snapshot.scan("features", "1h", columns=["available_at", "rsi"]).collect()
    mean = others.group_by("available_at").agg(pl.col("rsi").cast(pl.Float64).mean()).sort("available_at")

    def everyone(fused: pl.DataFrame) -> pl.Series:
        after = np.searchsorted(mean["available_at"].to_numpy(), fused["available_at"].to_numpy(), side="right")
        return pl.Series(np.append(mean["rsi"].to_numpy(), np.nan)[np.minimum(after, mean.height)])

    def labels(fused: pl.DataFrame) -> pl.Series:
        targets = by_symbol(snapshot, "targets", "15m", ["AAA"])["AAA"]
        return targets["target_logreturn"]

    return {
        classes.OPEN_TIME: joined(snapshot, "timestamp", "timestamp"),
        classes.LABEL_SIDE: joined(snapshot, "available_at", "timestamp"),
        classes.BACKWARD: joined(snapshot, "available_at", "available_at", "forward"),
        classes.SHIFT: lambda fused: fused[COLUMN].shift(-4),
        classes.CENTRED: lambda fused: fused[COLUMN].cast(pl.Float64).rolling_mean(9, center=True),
        classes.ALL_DATA: lambda fused: (fused[COLUMN] - fused[COLUMN].mean()) / fused[COLUMN].std(),
        classes.LABEL: labels,
        classes.OTHER_SYMBOLS: everyone,
    }


KINDS = (
    classes.OPEN_TIME, classes.LABEL_SIDE, classes.BACKWARD, classes.SHIFT, classes.CENTRED, classes.ALL_DATA,
    classes.LABEL, classes.OTHER_SYMBOLS,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_merge_is_named(merged: tuple[Workspace, Snapshot], kind: str) -> None:
    """Open times, labels, the next bar, later rows, windows, everything, the label, the others' next mean."""
    evidence = evidence_of(merged, changes(merged[1])[kind])
    (suspicion,) = evidence.suspicions
    assert (suspicion.column, suspicion.kind, suspicion.check) == (COLUMN, kind, "fusion")
    assert (suspicion.symbol, suspicion.period) == ("AAA", "15m") and suspicion.rows


@pytest.mark.parametrize("kind", [classes.OPEN_TIME, classes.BACKWARD, classes.OTHER_SYMBOLS, classes.SHIFT])
@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-6])
def test_a_wrong_merge_in_few_rows_is_seen(merged: tuple[Workspace, Snapshot], kind: str, size: float) -> None:
    """In six of a thousand rows, a millionth of the value: the column is named; a leak or not what it should be."""
    wrong = changes(merged[1])[kind]
    rng = np.random.default_rng(7)

    def change(fused: pl.DataFrame) -> pl.Series:
        right, seen = numbers(fused[COLUMN]), numbers(wrong(fused).cast(pl.Float64))
        rows = (rng.random(fused.height) < 0.006) & np.isfinite(seen) & np.isfinite(right)
        rows &= np.abs(seen - right) > 1e-3 * np.abs(right)
        assert 3 <= rows.sum() < 0.01 * fused.height
        mixed = right + (seen - right if size == 1.0 else size * np.abs(right) * np.sign(seen - right))
        return pl.Series(np.where(rows, mixed, right), nan_to_null=True)

    evidence = evidence_of(merged, change)
    assert {s.column for s in evidence.suspicions} | {s.column for s in evidence.stale} == {COLUMN}


def test_an_unexplained_difference_of_a_current_table_fails(workspace: Workspace) -> None:
    """Values that no wrong merge gives are still not what was available; older tables are STALE, and NOT PROVEN."""
    fast = market(700, 5, "15m", "AAA")
    store = Store(workspace_with(workspace, [fast, slower(fast, "1h")]).store)
    build(store, CONFIG, load_registry())
    with store.write("tamper") as txn:
        rows = txn.base.scan("fused", "15m").collect()
        noise = np.random.default_rng(1).normal(size=rows.height)
        txn.replace("fused", "15m", rows.with_columns((pl.col(COLUMN) + noise).cast(pl.Float32)))
        txn.commit()
    with store.read() as snapshot:
        audit = audit_leakage(store, snapshot, load_registry())
    (finding,) = audit.findings
    assert (audit.verdict, finding.column, finding.check) == ("FAIL", COLUMN, "fusion")
    with store.write("bars") as txn:
        bars = txn.base.scan("bars", "15m").collect()
        txn.replace("bars", "15m", bars.with_columns(pl.col("close") * 1.0001, pl.col("high") * 1.001))
        txn.commit()
    with store.read() as snapshot:
        audit = audit_leakage(store, snapshot, load_registry())
    assert (audit.verdict, [f.kind for f in audit.findings]) == ("NOT PROVEN", ["stale"])
