"""`audit leakage` of labels, macro series, slower bars, adopted tables, and plugins that are never the same (A2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from leakage_zoo import START, market, slower, workspace_with

from tftctl.audit.findings import Audit, Finding
from tftctl.audit.leakage import classes
from tftctl.audit.leakage.audit import audit_leakage
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.features.build import build
from tftctl.ingest.adopt import AdoptOptions, adopt_fused
from tftctl.plugins import load_registry
from tftctl.store import Store

DAY = 86_400_000
TARGET = """
import numpy as np
from tftctl.api import Indicator, Output, Target, Yardstick, hookimpl

def label(columns, params, span):
    close, h = columns["close"], span.horizon
    made = np.full(close.size, np.nan)
    {body}
    return made

@hookimpl
def tftctl_targets():
    yield Target(name="target_planted", summary="planted", kind="regression", horizon={{"*": 4}},
                 inputs=("close", "volume"), unit="1", kernel=label,
                 yardstick=lambda params, span: Yardstick(("close",), 5))
"""
BODIES = {
    "sound": "made[4:-h] = (close[4 + h:] - close[4:-h]) / np.convolve(close, np.ones(5) / 5, 'valid')[:-h]",
    "label beyond its horizon": "made[:-h - 1] = np.log(close[h + 1:] / close[:-h - 1])",
    "label outside its yardstick": "made[9:-h] = np.log(close[9 + h:] / close[:-h - 9])",
    "other column": "made[:-h] = np.log(close[h:] / close[:-h]) * columns['volume'][:-h]",
    "label without a future": "made[4:-h] = np.convolve(close, np.ones(5) / 5, 'valid')[:-h]",
    "rare": "made[:-h] = np.log(close[h:] / close[:-h]); rows = np.arange(37, close.size - h - 1, 173); "
            "made[rows] *= 1 + 1e-6 * np.sign(close[rows + h + 1] - close[rows])",
}  # fmt: skip
EXPECTED = {"other column": "label outside its yardstick", "rare": "label beyond its horizon", "sound": None}


def audit_of(
    workspace: Workspace,
    frames: list[pl.DataFrame],
    plugin: str | None = None,
    basis: str = "raw",
    **config: object,
) -> Audit:
    """Build features of some bars and audit them."""
    if plugin is not None:
        (workspace.root / "planted.py").write_text(plugin)
        (workspace.root / "tftctl.toml").write_text('plugins = ["planted.py"]\n')
    store = Store(workspace_with(workspace, frames, basis).store)
    registry = load_registry(open_workspace(workspace.root))
    settings = {"periods": ["1h"], "indicators": ["log_return"], "targets": ["target_logreturn"], "context": {}}
    build(store, FeaturesConfig.model_validate(settings | config), registry)
    with store.read() as snapshot:
        return audit_leakage(store, snapshot, registry)


def failed(audit: Audit) -> list[Finding]:
    """What is not a PASS."""
    return [finding for finding in audit.findings if finding.verdict != "PASS"]


@pytest.mark.parametrize("name", BODIES)
def test_a_label_reads_its_horizon_and_its_yardstick_alone(workspace: Workspace, name: str) -> None:
    """A2: beyond t+h, before the yardstick, beside it, nothing at all; a millionth in one row of 173."""
    audit = audit_of(workspace, [market(1500, 3)], TARGET.format(body=BODIES[name]), targets=["target_planted"])
    kind = EXPECTED.get(name, name)
    if kind is None:
        assert audit.verdict == "PASS"
        return
    found = failed(audit)
    assert {(f.column, f.check, f.verdict) for f in found} == {("target_planted", "labels", "FAIL")}
    assert kind in {f.kind for f in found}


UNSTABLE = """
import itertools
import numpy as np
from tftctl.api import Indicator, Output, hookimpl

calls = itertools.count()

def restless(columns, params):
    return {"restless": columns["close"] * (1 + 1e-9 * next(calls))}

def picky(columns, params):
    if columns["close"].size < 700:
        raise ValueError("too few bars for me")
    return {"picky": columns["close"] * 2}

@hookimpl
def tftctl_indicators():
    for name, kernel in (("restless", restless), ("picky", picky)):
        yield Indicator(name=name, summary=name, inputs=lambda params: ("close",), outputs=(Output(name),),
                        kernel=kernel)
"""


def test_a_plugin_that_is_not_the_same_twice_is_not_proven(workspace: Workspace) -> None:
    """It is named, and no leak is claimed; one that fails on fewer bars cannot be recomputed either."""
    frame = market(1500, 3).with_row_index("n").with_columns(timestamp=START + 3_600_000 * pl.col("n").cast(pl.Int64))
    frame = frame.with_columns(available_at=pl.col("timestamp") + 3_600_000).drop("n")
    audit = audit_of(workspace, [frame], UNSTABLE, indicators=["log_return", "restless", "picky"])
    assert audit.verdict == "NOT PROVEN"
    found = {f.column: f for f in failed(audit)}
    assert set(found) == {"restless", "picky"}
    assert "identical runs" in found["restless"].detail
    assert "too few bars for me" in found["picky"].detail
    assert audit.exit_code(strict=False) == 0 and audit.exit_code(strict=True) == 5


LEVEL = """
import numpy as np
from tftctl.api import Indicator, Output, hookimpl

@hookimpl
def tftctl_indicators():
    yield Indicator(name="level", summary="planted", inputs=lambda params: ("close",), outputs=(Output("level"),),
                    kernel=lambda columns, params: {"level": np.log(columns["close"]) / 100})
"""


@pytest.mark.parametrize(("basis", "verdict"), [("raw", "PASS"), ("split", "FAIL")])
def test_the_level_of_adjusted_prices_is_a_late_correction(workspace: Workspace, basis: str, verdict: str) -> None:
    """T5: what calls itself free of scale reads a level that later splits set; raw prices are what they were."""
    audit = audit_of(workspace, [market(700, 3)], LEVEL, basis, indicators=["log_return", "level"], adjust=basis)
    assert audit.verdict == verdict
    assert [(f.column, f.kind, f.check) for f in audit.findings] == (
        [("level", classes.LATE, "adjustment")] if verdict == "FAIL" else []
    )


@pytest.mark.parametrize(("shift", "kind"), [(1, classes.LABEL_SIDE), (-4, "stamped at the close"), (0, None)])
def test_slow_bars_that_hold_later_hours(workspace: Workspace, shift: int, kind: str | None) -> None:
    """4h bars of `closed="right", label="left"` hold the hour after theirs; bars stamped at their close are late."""
    hours = market(1500, 3)
    moved = hours.with_columns(timestamp=pl.col("timestamp") - shift * 3_600_000)
    audit = audit_of(workspace, [hours, slower(moved, "4h")], periods=["1h", "4h"], context={"1h": ["4h"]},
                     context_features=["log_return"])  # fmt: skip
    assert [(f.kind, f.symbol, f.period) for f in audit.findings] == ([(kind, "AAA", "4h")] if kind else [])
    assert audit.verdict == ("FAIL" if kind == classes.LABEL_SIDE else "PASS")


def with_macro(workspace: Workspace, available: Callable[[np.ndarray], np.ndarray], *, revised: bool) -> Audit:
    """A monthly series beside hourly bars, released as `available` says of its stamps."""
    months = np.array([f"2021-{m:02d}" for m in range(1, 8)], dtype="datetime64[M]").astype("datetime64[ms]")
    stamps = months.astype(np.int64)
    rows = pl.DataFrame({"symbol": "m2", "period": "1mo", "timestamp": stamps, "available_at": available(stamps),
                         "value": np.arange(7.0) ** 2})  # fmt: skip
    declared = {"frequency": "1mo", "stamp": "start", "release_lag": "14d", "revised": revised}
    store = Store(workspace_with(workspace, [market(2600, 3)]).store)
    with store.write("macro") as txn:
        txn.replace("macro", "1mo", rows)
        txn.set_meta("macro", {"series": {"m2": declared}})
        txn.commit()
    config = {"periods": ["1h"], "indicators": ["log_return"], "targets": ["target_logreturn"], "context": {}}
    build(store, FeaturesConfig.model_validate(config), load_registry())
    with store.read() as snapshot:
        return audit_leakage(store, snapshot, load_registry())


def month_later(stamps: np.ndarray) -> np.ndarray:
    """End of the month."""
    later = stamps.astype("datetime64[ms]").astype("datetime64[M]") + 1
    return later.astype("datetime64[ms]").astype(np.int64)


def test_macro_values_come_after_their_release(workspace: Workspace) -> None:
    """Known when the month and the lag are over: PASS."""
    assert with_macro(workspace, lambda stamps: month_later(stamps) + 14 * DAY, revised=False).verdict == "PASS"


def test_macro_values_before_their_release_are_a_late_correction(workspace: Workspace) -> None:
    """Available on the day that they are dated: FAIL, by name and first value."""
    audit = with_macro(workspace, lambda stamps: stamps, revised=False)
    (finding,) = failed(audit)
    assert (finding.column, finding.kind, finding.row) == ("m2", classes.LATE, "2021-01-01T00:00:00Z")


def test_a_revised_series_without_vintages_is_not_proven(workspace: Workspace) -> None:
    """T6."""
    audit = with_macro(workspace, lambda stamps: month_later(stamps) + 14 * DAY, revised=True)
    assert [(f.column, f.verdict) for f in failed(audit)] == [("m2", "NOT PROVEN")]


def test_an_adopted_table_shows_what_is_plainly_the_future(workspace: Workspace, tmp_path: Path) -> None:
    """Labels, later bars, windows, statistics of everything, context joined on open times; the rest is NOT PROVEN."""
    hours = market(900, 3).drop("available_at")
    close = pl.col("close")
    table = hours.with_columns(
        target_next=(close.shift(-1) / close).log(),
        next_close=close.shift(-1),
        next_return=close.shift(-3) / close - 1,
        around=close.rolling_mean(7, center=True),
        scaled=(close - close.mean()) / close.std(ddof=0),
        twin=1 + 2 * (close.shift(-1) / close).log(),
        sound=(close / close.shift(1)).log(),
    )
    slow = slower(market(900, 3), "4h").with_columns(strength=pl.col("close") / pl.col("open"))
    on_open = table.join_asof(
        slow.select("timestamp", pl.col("strength").alias("strength__4h")), on="timestamp", strategy="backward"
    ).with_columns(strength=pl.lit(None, dtype=pl.Float64))
    both = pl.concat([on_open, slow.drop("available_at")], how="diagonal")
    both.with_columns(pl.from_epoch("timestamp", "ms")).write_parquet(tmp_path / "long.parquet")
    store = Store(workspace.store)
    adopt_fused(store, tmp_path / "long.parquet", AdoptOptions(horizons={"*": 1}))
    with store.read() as snapshot:
        audit = audit_leakage(store, snapshot, load_registry())
    kinds = {f.column: f.kind for f in audit.findings if f.verdict == "FAIL"}
    assert kinds == {
        "next_close": classes.SHIFT, "next_return": classes.SHIFT, "around": classes.CENTRED,
        "scaled": classes.ALL_DATA, "twin": classes.LABEL, "strength__4h": classes.OPEN_TIME,
    }  # fmt: skip
    assert {f.column for f in audit.findings if f.verdict == "NOT PROVEN"} == {"sound", "strength"}
