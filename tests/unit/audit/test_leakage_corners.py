"""`audit leakage` where a leak hides or a sound formula looks odd: each was missed, or accused, once."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from leakage_zoo import market, slower, workspace_with

from tftctl.audit.findings import Audit
from tftctl.audit.leakage import classes
from tftctl.audit.leakage.audit import audit_leakage
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.features.build import build
from tftctl.plugins import load_registry
from tftctl.store import Store

BASE = {"periods": ["1h"], "indicators": ["log_return"], "targets": ["target_logreturn"], "context": {}}
HEAD = """
import numpy as np
from tftctl.api import Indicator, Output, Target, Yardstick, hookimpl

def one(name, kernel, **more):
    return Indicator(name=name, summary="planted", inputs=lambda params: ("close",), outputs=(Output(name),),
                     kernel=lambda columns, params: {name: kernel(columns)}, **more)

def next_return(close):
    return np.append(np.diff(np.log(close)), np.nan)
"""


def built(workspace: Workspace, frames: list[pl.DataFrame], plugin: str = "", **config: object) -> Store:
    """A store of some bars with features, and a plugin where one is needed."""
    if plugin:
        (workspace.root / "planted.py").write_text(HEAD + plugin)
        (workspace.root / "tftctl.toml").write_text('plugins = ["planted.py"]\n')
    store = Store(workspace_with(workspace, frames).store)
    build(store, FeaturesConfig.model_validate(BASE | config), load_registry(open_workspace(workspace.root)))
    return store


def audited(workspace: Workspace, store: Store) -> Audit:
    """The audit of what is there now."""
    with store.read() as snapshot:
        return audit_leakage(store, snapshot, load_registry(open_workspace(workspace.root)))


def told(audit: Audit) -> set[tuple[str | None, str, str]]:
    """(column, class, verdict) of what is not a PASS."""
    return {(f.column, f.kind, f.verdict) for f in audit.findings if f.verdict != "PASS"}


REMEMBERED = """
known = {}

def remembered(columns):
    close = columns["close"]
    if not known:  # as if it read a file that someone made of all bars
        known.update(zip(close[:-1].tolist(), np.diff(np.log(close)).tolist()))
    return np.array([known.get(price, np.nan) for price in close.tolist()])

@hookimpl
def tftctl_indicators():
    known.clear()
    from leakage_zoo import market
    close = market(900, 3)["close"].to_numpy()
    known.update(zip(close[:-1].tolist(), np.diff(np.log(close)).tolist()))
    yield one("remembered", remembered)
"""


def test_a_label_by_heart_is_found(workspace: Workspace) -> None:
    """It does not come from the bars, so no other future changes it; it is the label."""
    store = built(workspace, [market(900, 3)], REMEMBERED, indicators=["log_return", "remembered"])
    assert ("remembered", classes.LABEL, "FAIL") in told(audited(workspace, store))


def test_a_later_bar_in_an_extra_column_is_found(workspace: Workspace) -> None:
    """A column of the bars that is the return to come is an input like any other."""
    bars = market(900, 3).with_columns(ahead=(pl.col("close").shift(-3) / pl.col("close")).log())
    store = built(workspace, [bars], extra_columns={"ahead": "free"})
    assert told(audited(workspace, store)) == {("ahead", classes.SHIFT, "FAIL")}


FITTED = """
fitted = []

def fitted_once(columns):
    close = columns["close"]
    if not fitted:
        fitted.append(close.mean())
    return close / fitted[0]

@hookimpl
def tftctl_indicators():
    yield one("fitted_once", fitted_once)
"""


def test_a_plugin_that_fits_itself_once_is_not_what_is_stored(workspace: Workspace) -> None:
    """It saw all bars when they were built; another process sees few of them first, and its values are others."""
    store = built(workspace, [market(900, 3)], FITTED, indicators=["log_return", "fitted_once"])
    module = (workspace.root / "planted.py").read_text() + "\n"  # loaded anew, as another process does
    (workspace.root / "planted.py").write_text(module)
    assert ("fitted_once", "stale", "NOT PROVEN") in told(audited(workspace, store))


CONTEXTUAL = """
def ranked(columns, params):
    values = columns["log_return"]
    order = np.argsort(np.argsort(np.nan_to_num(values)))
    return {"ranked": np.where(np.isfinite(values), order / values.size, np.nan)}

@hookimpl
def tftctl_indicators():
    yield Indicator(name="ranked", summary="planted", inputs=lambda params: ("log_return",), kernel=ranked,
                    outputs=(Output("ranked"),), scope="context")
"""


def test_a_rank_over_all_rows_is_statistics_of_everything(workspace: Workspace) -> None:
    """Another order of the rows leaves it as it is; a part of them does not."""
    hours = market(900, 3)
    periods = {"periods": ["1h", "4h"], "context": {"1h": ["4h"]}, "context_features": ["log_return"]}
    store = built(workspace, [hours, slower(hours, "4h")], CONTEXTUAL, indicators=["log_return", "ranked"], **periods)
    assert told(audited(workspace, store)) == {("ranked", classes.ALL_DATA, "FAIL")}


def changed(store: Store, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], period: str = "1h") -> None:
    """Other rows in a table of the store, with the description as it was."""
    with store.write("tamper") as txn:
        txn.replace(table, period, change(txn.base.scan(table, period).collect()))
        txn.commit()


def test_a_column_has_nothing_where_it_does_not_apply(workspace: Workspace) -> None:
    """Values of a 4h context on 4h rows come from nowhere."""
    hours = market(900, 3)
    store = built(workspace, [hours, slower(hours, "4h")], periods=["1h", "4h"], context={"1h": ["4h"]},
                  context_features=["log_return"])  # fmt: skip
    assert audited(workspace, store).verdict == "PASS"
    changed(store, "fused", lambda rows: rows.with_columns(log_return__4h=pl.col("log_return").shift(-1)), "4h")
    assert {(column, verdict) for column, _, verdict in told(audited(workspace, store))} == {("log_return__4h", "FAIL")}


def test_feature_rows_that_claim_to_be_there_earlier_are_stale(workspace: Workspace) -> None:
    """The joins rely on when they are available."""
    store = built(workspace, [market(900, 3)])
    changed(store, "features", lambda rows: rows.with_columns(available_at=pl.col("timestamp")))
    assert ("available_at", "stale", "NOT PROVEN") in told(audited(workspace, store))


PAST = """
def label(columns, params, span):
    close, volume, h = columns["close"], columns["volume"], span.horizon
    made = np.full(close.size, np.nan)
    ratio = volume[30:-h] / np.maximum(volume[29:-h - 1], 1e-9)
    made[30:-h] = np.log(close[30 + h:] / close[30:-h]) * (1 + np.tanh(ratio))
    return made

@hookimpl
def tftctl_targets():
    yield Target(name="target_ratio", summary="planted", kind="regression", horizon={"*": 4}, unit="1",
                 inputs=("close", "volume"), kernel=label, yardstick=lambda params, span: Yardstick(("close",), 5))
"""


def test_a_ratio_beside_the_yardstick_is_read_all_the_same(workspace: Workspace) -> None:
    """One factor for all values would leave ratios as they are."""
    store = built(workspace, [market(900, 3)], PAST, targets=["target_ratio"])
    assert told(audited(workspace, store)) == {("target_ratio", "label outside its yardstick", "FAIL")}


RANGE = """
def label(columns, params, span):
    high, low, h = columns["high"], columns["low"], span.horizon
    made = np.full(high.size, np.nan)
    for t in range(high.size - h):
        made[t] = np.log(high[t + 1 : t + h + 1].max() / low[t + 1 : t + h + 1].min())
    return made

@hookimpl
def tftctl_targets():
    yield Target(name="target_range", summary="sound", kind="regression", horizon={"*": 4}, unit="1",
                 inputs=("high", "low"), kernel=label)
"""


def test_a_label_that_is_free_of_scale_is_not_blind(workspace: Workspace) -> None:
    """A range stays as it is where all prices rise alike; it does react."""
    store = built(workspace, [market(900, 3)], RANGE, targets=["target_range"])
    assert audited(workspace, store).verdict == "PASS"


REFUSING = """
def careful(columns):
    made = np.concatenate(([np.nan], np.diff(np.log(columns["close"]))))
    if np.nanmax(np.abs(made), initial=0.0) > 0.4:
        raise ValueError("no market moves like that")
    return made

@hookimpl
def tftctl_indicators():
    yield one("careful", careful)
"""


def test_a_kernel_that_refuses_odd_bars_is_not_accused(workspace: Workspace) -> None:
    """It cannot be tried: NOT PROVEN, with what it says."""
    store = built(workspace, [market(900, 3)], REFUSING, indicators=["log_return", "careful"])
    audit = audited(workspace, store)
    assert {(column, verdict) for column, _, verdict in told(audit)} == {("careful", "NOT PROVEN")}
    assert any("no market moves like that" in finding.detail for finding in audit.findings)


def test_a_cross_section_of_a_universe_beside_others(workspace: Workspace) -> None:
    """Symbols outside of it have bars at other instants, which its windows do not count."""
    others = market(900, 9, symbol="ZZZ")
    session = pl.col("timestamp") // 3_600_000 % 168 < 49
    members = [market(900, seed, symbol=f"M{seed}").filter(session) for seed in (1, 2, 3)]
    store = built(
        workspace, [*members, others], universes={"stocks": ["M1", "M2", "M3"]},
        indicators=["log_return", {"name": "market_beta", "universe": "stocks", "period": 5}],
    )  # fmt: skip
    assert audited(workspace, store).verdict == "PASS"


def test_bars_of_a_period_that_came_after_the_build(workspace: Workspace) -> None:
    """Features of it are not there yet: nothing breaks, and the tables are old."""
    hours = market(900, 3)
    config = {"periods": ["1h", "4h"], "context": {"1h": ["4h"]}, "context_features": ["log_return"]}
    store = built(workspace, [hours], **config)
    with store.write("import") as txn:
        txn.replace("bars", "4h", slower(hours, "4h"))
        txn.commit()
    assert told(audited(workspace, store)) == {(None, "stale", "NOT PROVEN")}


@pytest.mark.parametrize("bars", [1, 2, 5, 40])
def test_few_bars_prove_little_and_accuse_nobody(workspace: Workspace, bars: int) -> None:
    """Down to a single one."""
    store = built(workspace, [market(900, 3).head(bars)], indicators=["log_return", "rsi", "obv"])
    assert audited(workspace, store).verdict in ("PASS", "NOT PROVEN")


LEAKING = """
@hookimpl
def tftctl_indicators():
    yield one("leaking", lambda columns: next_return(columns["close"]) * 7)
"""


def test_what_was_pruned_away_is_not_the_tables_any_more(workspace: Workspace) -> None:
    """The leaking column goes, and with it the finding; one that is made from it keeps it."""
    store = built(workspace, [market(900, 3)], LEAKING, indicators=["log_return", "leaking"],
                  normalise={"zscore": {"window": {"1h": 50}, "columns": ["leaking"]}})  # fmt: skip
    for gone, verdict in ((["leaking"], "FAIL"), (["leaking", "leaking_zscore"], "PASS")):
        with store.write("prune") as txn:
            meta = txn.base.meta("fused")
            rows = txn.base.scan("fused", "1h").collect()
            txn.replace("fused", "1h", rows.drop(gone, strict=False))
            columns = {name: entry for name, entry in meta["columns"].items() if name not in gone}
            pruned = {"origin": "pruned", "pruned": {"origin_before": "built", "earlier": []}}
            txn.set_meta("fused", meta | {"columns": columns} | pruned)
            txn.commit()
        assert audited(workspace, store).verdict == verdict
