"""`audit leakage` of adopted tables' context columns: cautious joins are no leak, wrong ones are (A2, F4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from leakage_zoo import market, slower

from tftctl.audit.findings import Audit
from tftctl.audit.leakage import classes
from tftctl.audit.leakage.audit import audit_leakage
from tftctl.core.workspace import Workspace
from tftctl.ingest.adopt import AdoptOptions, adopt_fused
from tftctl.plugins import load_registry
from tftctl.store import Store

HOUR = 3_600_000
COLUMN = "strength__4h"
LATER = "later than it could be"
NO_ROW, UNEXPLAINED = "nothing to hold them against", "no wrong join explains them"
STRENGTHS: dict[str, Callable[[pl.DataFrame], pl.Series]] = {
    "return": lambda slow: (slow["close"] / slow["open"]).log(),
    "level": lambda slow: slow["close"],
    "flag": lambda slow: (slow["close"] > slow["open"]).cast(pl.Float64),
    "hour": lambda slow: (slow["timestamp"] // (4 * HOUR) % 6).cast(pl.Float64),
}


def slow_rows(strength: str) -> pl.DataFrame:
    """4h bars with a column."""
    slow = slower(market(1500, 3), "4h")
    return slow.with_columns(strength=STRENGTHS[strength](slow))


def as_of(slow: pl.DataFrame, when: pl.Expr, *, exact: bool = True, strategy: str = "backward") -> pl.DataFrame:
    """Hours with the last slow row whose `when` is not after their close."""
    hours = market(1500, 3)
    known = slow.select(when.alias("when"), pl.col("strength").alias(COLUMN)).sort("when")
    return hours.with_columns(when=pl.col("available_at")).join_asof(
        known, on="when", strategy=strategy, allow_exact_matches=exact  # type: ignore[arg-type]
    ).drop("when")  # fmt: skip


def audited(workspace: Workspace, folder: Path, hours: pl.DataFrame, slow: pl.DataFrame) -> Audit:
    """The audit of a long table of both."""
    close = pl.col("close")
    both = pl.concat(
        [hours.with_columns(target_next=(close.shift(-1) / close).log()), slow], how="diagonal"
    ).drop("available_at")  # fmt: skip
    both.with_columns(pl.from_epoch("timestamp", "ms")).write_parquet(folder / "long.parquet")
    store = Store(workspace.store)
    adopt_fused(store, folder / "long.parquet", AdoptOptions(horizons={"*": 1}))
    with store.read() as snapshot:
        return audit_leakage(store, snapshot, load_registry())


def told(audit: Audit) -> list[tuple[str, str]]:
    """Verdict and class of what is found of the context column, but for what is said of every adopted column."""
    return [
        (f.verdict, f.kind)
        for f in audit.findings
        if f.column == COLUMN and "without a definition" not in f.detail
    ]  # fmt: skip


END = pl.col("available_at")
CAUTIOUS = {
    "one bar more": (END + 4 * HOUR, True),
    "two bars more": (END + 8 * HOUR, True),
    "no exact matches": (END, False),
    "six hours more": (END + 6 * HOUR, True),
}


@pytest.mark.parametrize("strength", ["return", "level", "flag"])
@pytest.mark.parametrize("name", CAUTIOUS)
def test_earlier_slow_rows_are_no_leak(workspace: Workspace, tmp_path: Path, strength: str, name: str) -> None:
    when, exact = CAUTIOUS[name]
    slow = slow_rows(strength)
    audit = audited(workspace, tmp_path, as_of(slow, when, exact=exact), slow)
    assert [f for f in audit.findings if f.verdict == "FAIL"] == []
    assert audit.verdict == "NOT PROVEN"  # nothing can recompute strength
    assert told(audit) == [("PASS", LATER)]


WRONG = {
    "open times": (pl.col("timestamp") + HOUR, classes.OPEN_TIME),
    "an open against a close": (pl.col("timestamp"), classes.LABEL_SIDE),
    "the hour after": (END - HOUR, None),
}


@pytest.mark.parametrize("strength", ["return", "level"])
@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("dropped", [0, 30])
def test_later_slow_rows_fail(workspace: Workspace, tmp_path: Path, strength: str, name: str, dropped: int) -> None:
    """Also where the slow rows of a warm-up are left out of the table."""
    when, kind = WRONG[name]
    slow = slow_rows(strength)
    audit = audited(workspace, tmp_path, as_of(slow, when), slow.slice(dropped))
    found = [f for f in audit.findings if f.column == COLUMN and f.verdict == "FAIL"]
    assert found and (kind is None or kind in {f.kind for f in found})


@pytest.mark.parametrize("strength", ["flag", "hour"])
def test_later_values_that_come_again_and_again_fail(workspace: Workspace, tmp_path: Path, strength: str) -> None:
    """They equal earlier ones half the time, or always the ones of a day ago."""
    slow = slow_rows(strength)
    audit = audited(workspace, tmp_path, as_of(slow, pl.col("timestamp")), slow)
    assert audit.verdict == "FAIL"


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("strength", ["return", "level"])
def test_slow_rows_without_their_warm_up(workspace: Workspace, tmp_path: Path, strength: str, *, nulls: bool) -> None:
    """Left out, or without a value: what hours hold of them is held against nothing."""
    slow = slow_rows(strength)
    value = pl.when(pl.int_range(pl.len()) >= 30).then(pl.col("strength"))
    kept = slow.with_columns(strength=value) if nulls else slow.slice(30)
    audit = audited(workspace, tmp_path, as_of(slow, END), kept)
    (finding,) = [f for f in audit.findings if f.column == COLUMN]
    assert finding.verdict == "NOT PROVEN" and NO_ROW in finding.detail
    assert "features build" not in finding.detail


def test_a_cautious_join_without_its_warm_up(workspace: Workspace, tmp_path: Path) -> None:
    """Both are said."""
    slow = slow_rows("return")
    audit = audited(workspace, tmp_path, as_of(slow, END + 4 * HOUR), slow.slice(30))
    assert {(f.verdict, f.kind) for f in audit.findings if f.column == COLUMN} == {
        ("PASS", LATER), ("NOT PROVEN", "not proven"),
    }  # fmt: skip


def test_what_no_join_explains_is_not_proven(workspace: Workspace, tmp_path: Path) -> None:
    """A feed of its own: values that no slow row ever had."""
    slow = slow_rows("return")
    hours = as_of(slow, END)
    noise = 1 + 0.01 * np.random.default_rng(2).standard_normal(hours.height)
    audit = audited(workspace, tmp_path, hours.with_columns(pl.col(COLUMN) * pl.Series(noise)), slow)
    (finding,) = [f for f in audit.findings if f.column == COLUMN]
    assert finding.verdict == "NOT PROVEN" and UNEXPLAINED in finding.detail
    assert "features build" not in finding.detail


def test_a_right_join_is_told_nothing(workspace: Workspace, tmp_path: Path) -> None:
    slow = slow_rows("return")
    assert told(audited(workspace, tmp_path, as_of(slow, END), slow)) == []


def test_a_close_is_not_the_next_open_to_come(workspace: Workspace, tmp_path: Path) -> None:
    """Where a bar opens at the close before it; two bars ahead nothing is known."""
    slow = slow_rows("return")
    close = pl.col("close")
    hours = as_of(slow, END).with_columns(
        same=close, body=(close / pl.col("open")).log(), ahead=pl.col("open").shift(-2), later=close.shift(-1)
    )
    audit = audited(workspace, tmp_path, hours, slow)
    failing = {f.column: f.kind for f in audit.findings if f.verdict == "FAIL"}
    assert failing == {"ahead": classes.SHIFT, "later": classes.SHIFT}
