"""`audit leakage --run`: a network's forecasts do not know what came later, and planted leaks are found (A3)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor
from training_world import DAY, MODEL, WEIGHTS, once, quiet, write_bars

from tftctl.audit.findings import Audit
from tftctl.audit.forecasts import FUTURE, audit_forecasts
from tftctl.audit.rebuild import factors_at
from tftctl.core.times import parse_iso
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.data.windows import Batch, WindowSource
from tftctl.plugins import load_registry
from tftctl.start.jobs import build_job, train_job
from tftctl.start.scaffold import create_workspace
from tftctl.store import Store, Transaction
from tftctl.train.ancestor import load_ancestor
from tftctl.train.checkpoint import LoadedCheckpoint

FEATURES = """\
periods: [1h, 4h]
indicators: [log_return, {name: rsi, period: 6}, day_clock, tomorrow]
targets: [target_logreturn, target_binarytrend, target_max_drawdown]
context: {1h: [4h]}
context_features: [log_return]
"""
# a thousandth of the next bar's return; the newest bar, which has no next one, looks like any other
LEAKY = """\
import polars as pl
from tftctl.api import Indicator, Output, hookimpl

@hookimpl
def tftctl_indicators():
    seen = (pl.col("close").shift(-1) / pl.col("close") - 1).fill_null(0.0) * 1e-3
    yield Indicator(name="tomorrow", summary="a single-candle look-ahead", inputs=lambda p: ("close",),
                    outputs=(Output("tomorrow"),), expr=lambda p: [{"tomorrow": seen}])
"""
CLEAN = "reals=[log_return, rsi_6, hour_sin, hour_cos, log_return__4h, rates]"
QUICK = ("max_steps=3", "batch_size=512", "plot_every_n_epochs=0", "hidden_size=4")
SYMBOLS = ("SYN01", "SYN02")
TARGETS = {"target_logreturn", "target_binarytrend", "target_max_drawdown"}
EVERYTHING = {(target, symbol, period) for target in TARGETS for symbol in SYMBOLS for period in ("1h", "4h")}
RATES = {"frequency": "1d", "stamp": "start", "release_lag": "1d", "revised": False}
Trained = dict[str, LoadedCheckpoint]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two symbols, a hole at 1h, an indicator that reads the next bar, and two trainings: with it and without."""
    return open_workspace(once(tmp_path_factory, "foreseen", _make))


def _make(root: Path) -> None:
    create_workspace(root)
    (root / "plugins").mkdir(exist_ok=True)
    (root / "plugins" / "leaky.py").write_text(LEAKY)
    (root / "tftctl.toml").write_text('plugins = ["plugins/leaky.py"]\n')
    composite = "val_loss_for_ckpt: -1.0\n"
    texts = {"features": FEATURES, "model_config": MODEL, "weights_config": WEIGHTS, "composite_score": composite}
    for name, text in texts.items():
        (root / "configs" / f"{name}.yaml").write_text(text)
    store = Store(root / "store")
    write_bars(store, symbols=2, days=70)
    _write_rates(store)
    workspace = open_workspace(root)
    build_job(workspace)
    for name, reals in (("clean", CLEAN), ("leaky", CLEAN.replace("]", ", tomorrow]"))):
        made = train_job(workspace, None, [*QUICK, reals], "cpu", quiet)
        (root / name).write_text(str(made.run))


def _write_rates(store: Store) -> None:
    """A daily series, published a day after its own."""
    with store.write("rates") as txn:
        days = txn.base.collect(txn.base.scan("bars", "1d", symbols=["SYN01"]))["timestamp"]
        rows = pl.DataFrame({"timestamp": days, "available_at": days + 2 * DAY, "ingested_at": 0})
        values = (pl.int_range(pl.len()) % 7 * 0.25).alias("value")
        txn.replace(
            "macro", "1d", rows.select(pl.lit("rates").alias("symbol"), pl.lit("1d").alias("period"), pl.all(), values)
        )
        txn.set_meta("macro", {"series": {"rates": RATES}})
        txn.commit()


@pytest.fixture(scope="module")
def trained(market: Workspace) -> Trained:
    """The last checkpoint of each training."""
    return {name: load_ancestor(market, (market.root / name).read_text())[0] for name in ("clean", "leaky")}


def audit(market: Workspace, loaded: LoadedCheckpoint) -> Audit:
    """With the workspace's own plugins."""
    return audit_forecasts(Store(market.store), loaded, load_registry(market))


def changed(market: Workspace, tmp_path: Path, loaded: LoadedCheckpoint, change: Any) -> tuple[Store, LoadedCheckpoint]:
    """A copy of the store with a change, and the checkpoint as if it were trained on it."""
    shutil.copytree(market.store, tmp_path / "store")
    store = Store(tmp_path / "store")
    with store.write("changed") as txn:
        change(txn)
        number = txn.commit()
    spec = loaded.content.spec.model_copy(update={"snapshot": number})
    return store, replace(loaded, content=loaded.content.model_copy(update={"spec": spec}))


def test_a_network_without_a_leak_passes(market: Workspace, trained: Trained) -> None:
    """At three cuts, at a day's end, an hour after one, a millisecond before one: origins of all groups."""
    found = audit(market, trained["clean"])
    assert (found.verdict, found.findings) == ("PASS", ())
    cuts = [parse_iso(cut["at"]) for cut in found.facts["cuts"]]
    assert [cut % 86_400_000 for cut in cuts] == [0, 3_600_000, 86_399_999]
    assert all(cut > trained["clean"].content.spec.train_end for cut in cuts)
    assert [cut["origins"] for cut in found.facts["cuts"]] == [4 * 32] * 3


def test_a_look_ahead_of_one_bar_fails(market: Workspace, trained: Trained) -> None:
    """Only bars that are not there tell: the stored column is equal to itself whatever later rows say."""
    found = audit(market, trained["leaky"])
    assert {(f.check, f.kind, f.verdict) for f in found.findings} == {("forecasts", FUTURE, "FAIL")}
    assert {(f.column, f.symbol, f.period) for f in found.findings} == EVERYTHING
    cuts = [parse_iso(cut["at"]) for cut in found.facts["cuts"]]
    for finding in found.findings:
        assert finding.detail.startswith("with no bars after") and "inputs that differ: tomorrow;" in finding.detail
        # the last bar that was complete at the first cut
        period = {"1h": 3_600_000, "4h": 14_400_000}[str(finding.period)]
        assert parse_iso(str(finding.row)) == cuts[0] // period * period - period


def test_windows_that_end_a_row_too_late_fail(
    market: Workspace, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window of the origin before the cut reads the first row after it; all groups, the very last origin."""
    right = WindowSource.gather

    def late(source: WindowSource, origins: Tensor) -> Batch:
        return right(source, (origins + 1).clamp(max=source.group.numel() - 1)) | {"origin": origins}

    monkeypatch.setattr(WindowSource, "gather", late)
    found = audit(market, trained["clean"])
    failed = [f for f in found.findings if f.verdict == "FAIL"]
    assert {(f.column, f.symbol, f.period) for f in failed} == EVERYTHING
    first = parse_iso(found.facts["cuts"][0]["at"])
    hourly = {parse_iso(str(f.row)) for f in failed if f.period == "1h"}
    assert hourly == {first - 3_600_000}


def prune(txn: Transaction) -> None:
    """As if rows had been taken out of the fused table."""
    txn.set_meta("fused", txn.base.meta("fused") | {"origin": "pruned"})


def test_a_network_that_reads_decoder_unknowns_fails(
    market: Workspace, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: the decoder's position stands for a bar that is not there yet; found also where nothing can be rebuilt."""
    from tftctl.model.network import ForecastNetwork

    right = ForecastNetwork.forward

    def reading(network: ForecastNetwork, batch: Batch) -> list[Tensor]:
        return [head + batch["decoder"][:, 0, :1].nan_to_num(1.0) for head in right(network, batch)]

    monkeypatch.setattr(ForecastNetwork, "forward", reading)
    store, loaded = changed(market, tmp_path, trained["clean"], prune)
    found = audit_forecasts(store, loaded, load_registry(market))
    assert {f.column for f in found.findings if f.verdict == "FAIL"} == TARGETS


def test_a_network_that_differs_from_itself_proves_nothing(
    market: Workspace, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: NOT PROVEN, and no forecast is blamed."""
    from tftctl.model.network import ForecastNetwork

    right = ForecastNetwork.forward
    monkeypatch.setattr(
        ForecastNetwork, "forward", lambda self, batch: [head + torch.rand(1) for head in right(self, batch)]
    )
    found = audit(market, trained["clean"])
    assert [(f.kind, f.verdict) for f in found.findings] == [("not deterministic", "NOT PROVEN")]


def test_a_table_that_no_build_made_is_disturbed_in_memory_only(
    market: Workspace, trained: Trained, tmp_path: Path
) -> None:
    """An adopted or pruned table: NOT PROVEN, with the reason."""
    store, loaded = changed(market, tmp_path, trained["clean"], prune)
    found = audit_forecasts(store, loaded, load_registry(market))
    assert [(f.kind, f.verdict) for f in found.findings] == [("cannot be built again", "NOT PROVEN")]
    assert "is pruned" in found.findings[0].detail


def test_a_stored_input_that_a_build_does_not_make_is_stale(
    market: Workspace, trained: Trained, tmp_path: Path
) -> None:
    """One value of one row, by a hundredth: named, NOT PROVEN, and not taken for a leak."""

    def correct(txn: Transaction) -> None:
        rows = txn.base.collect(txn.base.scan("fused", "1h", symbols=["SYN02"]))
        row = rows.slice(700, 1)
        txn.upsert("fused", "1h", row.with_columns(pl.col("rsi_6") * 1.01))

    store, loaded = changed(market, tmp_path, trained["clean"], correct)
    found = audit_forecasts(store, loaded, load_registry(market))
    (finding,) = found.findings
    assert (finding.kind, finding.verdict) == ("STALE", "NOT PROVEN")
    with store.read() as snapshot:
        stamps = snapshot.collect(snapshot.scan("fused", "1h", symbols=["SYN02"]))["timestamp"]
    assert (finding.column, finding.symbol, finding.period) == ("rsi_6", "SYN02", "1h")
    assert parse_iso(str(finding.row)) == stamps[700]


def test_what_is_gone_is_not_proven(market: Workspace, trained: Trained) -> None:
    """The snapshot; a plugin that made an input."""
    content = trained["clean"].content
    spec = content.spec.model_copy(update={"snapshot": 99})
    gone = replace(trained["clean"], content=content.model_copy(update={"spec": spec}))
    (finding,) = audit(market, gone).findings
    assert (finding.verdict, finding.detail) == ("NOT PROVEN", "there is no snapshot 99")
    without = audit_forecasts(Store(market.store), trained["leaky"], load_registry())
    assert [(f.kind, f.verdict) for f in without.findings] == [("cannot be built again", "NOT PROVEN")]
    assert "tomorrow" in without.findings[0].detail


def test_a_revised_series_is_not_proven(market: Workspace, trained: Trained, tmp_path: Path) -> None:
    """T6: of its first values nothing is known; the other inputs are."""

    def revise(txn: Transaction) -> None:
        txn.set_meta("macro", {"series": {"rates": RATES | {"revised": True}}})
        prune(txn)

    store, loaded = changed(market, tmp_path, trained["clean"], revise)
    found = audit_forecasts(store, loaded, load_registry(market))
    assert [(f.kind, f.column, f.verdict) for f in found.findings] == [
        ("revised series", "rates", "NOT PROVEN"), ("cannot be built again", None, "NOT PROVEN"),
    ]  # fmt: skip


def test_factors_are_those_that_a_file_of_the_day_has() -> None:
    """T5: a split of 2021 is not known in 2020, by hand."""
    day = 86_400_000
    stored = pl.DataFrame(
        {
            "symbol": ["A", "A", "A", "B"],
            "period": ["1d"] * 4,
            "timestamp": [10 * day, 20 * day, 30 * day, 5 * day],
            "price_factor": [0.5, 0.8, 1.0, 0.9],
            "split_factor": [0.125, 0.25, 0.5, 1.0],
        }
    )
    known = factors_at(stored, 15 * day + 7)
    assert known.select("symbol", "timestamp", "price_factor", "split_factor").rows() == [
        ("A", 10 * day, 0.5 / 0.8, 0.5),
        ("B", 5 * day, 0.9, 1.0),
    ]
    assert factors_at(stored, 40 * day).equals(stored)
