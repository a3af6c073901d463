"""Cross-sections and fused-row indicators are views of others: their nulls are data (SEMANTICS F7, S3)."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from training_world import ENCODER, FEATURES, prepare, table, write_bars, write_configs

from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared, prepare_again
from tftctl.data.inputs import choose_inputs
from tftctl.data.origins import find_origins
from tftctl.plugins import load_registry
from tftctl.start.jobs import build_job
from tftctl.start.scaffold import create_workspace
from tftctl.store import Store

CROSS = ["return_rank_pair_2", "market_beta_pair_2_20", "market_correlation_pair_2_20"]
OWN = ["log_return", "rsi_6", "signal_1", "signal_2", "signal_3", "signal_4", "signal_5"]
AGREED = "trend_agreement_log_return"
CONFIG = (
    FEATURES.replace(
        "day_clock",
        "{name: return_rank, universe: pair, min_symbols: 2}, "
        "{name: market_beta, universe: pair, min_symbols: 2, period: 20}, "
        "{name: trend_agreement, column: log_return}, day_clock",
    )
    + "universes: {pair: [SYN01, SYN02]}\n"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three symbols, the third outside the universe; SYN02 has filled bars and a hole."""
    root = tmp_path_factory.mktemp("pair")
    create_workspace(root)
    write_configs(root)
    (root / "configs" / "features.yaml").write_text(CONFIG, encoding="utf-8")
    write_bars(Store(root / "store"))
    build_job(Workspace(root))
    return Workspace(root)


@pytest.fixture(scope="module")
def prepared(workspace: Workspace) -> Prepared:
    """Its windows."""
    return prepare(workspace)


def naive_origins(rows: pl.DataFrame, names: list[str]) -> list[bool]:
    """Whether each row of a group is an unfilled bar after a whole window of one segment without a null in `names`."""
    found = []
    for row in range(rows.height):
        window = rows.slice(max(0, row - ENCODER + 1), min(ENCODER, row + 1))
        whole = window.height == ENCODER and window["segment"].n_unique() == 1
        nulls = sum(window[name].null_count() for name in names)
        found.append(whole and nulls == 0 and not rows["is_filled"][row])
    return found


def test_a_null_of_a_cross_section_leaves_no_origin_out(workspace: Workspace, prepared: Prepared) -> None:
    """S3, F7: counted by a loop over the table; only nulls of the row's own bars spoil a window."""
    panel, spec = prepared.panel, prepared.spec
    usable = find_origins(panel, spec.encoder_length, spec.required).usable
    spoiled_otherwise = 0
    for group in panel.groups:
        rows = table(workspace, "fused", group.symbol, group.period)
        assert usable[group.start : group.stop].tolist() == naive_origins(rows, OWN)
        spoiled_otherwise += sum(naive_origins(rows, OWN)) - sum(naive_origins(rows, [*OWN, *CROSS]))
    outside = sum(int(usable[g.start : g.stop].sum()) for g in panel.groups if g.symbol == "SYN03")
    assert spoiled_otherwise > outside > 2000


def test_every_column_over_other_rows_is_in_a_block(prepared: Prepared) -> None:
    """S3: one flag for all cross-sections, one for what is made of the fused row, one per context period."""
    block = {item.name: item.block for item in prepared.spec.inputs}
    assert {block[name] for name in CROSS} == {"cross_section"}
    assert block[AGREED] == "context"
    assert {block[name] for name in OWN} == {None}
    assert prepared.spec.reals[-len(prepared.spec.blocks) :].count("missing__cross_section") == 1
    assert sorted(prepared.spec.blocks) == ["1d", "4h", "context", "cross_section"]


@pytest.mark.parametrize("symbol", ["SYN02", "SYN03"])
def test_x_and_y_where_the_others_cannot_be_seen(workspace: Workspace, prepared: Prepared, symbol: str) -> None:
    """S1, S3: a symbol outside the universe, or with filled bars, trains: 0 and the flag where null, its own labels."""
    panel, spec = prepared.panel, prepared.spec
    group = next(g for g in panel.groups if (g.symbol, g.period) == (symbol, "1h"))
    inside = [o for o in prepared.splits["train"].tolist() if group.start <= o < group.stop]
    rows = table(workspace, "fused", symbol, "1h")
    labels = table(workspace, "targets", symbol, "1h")
    target = next(n for n, item in enumerate(spec.targets) if item.name == "target_binarytrend")
    places = [spec.reals.index(name) for name in CROSS]
    flag = spec.reals.index("missing__cross_section")
    batch = prepared.source.gather(torch.tensor(inside))
    period = spec.periods.index("1h")
    mean, std = (np.array(stat)[period][places] for stat in (spec.input_mean, spec.input_std))
    missing = 0
    for number, origin in enumerate(inside):
        stop = origin - group.start + 1
        want = rows[stop - ENCODER : stop].select(pl.col(CROSS).cast(pl.Float64)).to_numpy()
        got = batch["encoder"][number].numpy()
        null = np.isnan(want)
        scaled = np.clip((want - mean) / std, -10, 10)
        assert np.allclose(got[:, places], np.where(null, 0.0, scaled), atol=1e-4)
        assert np.array_equal(got[:, flag] == 1, null.any(axis=1))
        label = labels["target_binarytrend"][stop - 1]
        assert np.array_equal(batch["labels"][number, target], np.nan if label is None else label, equal_nan=True)
        missing += int(null.any(axis=1).sum())
    assert missing == len(inside) * ENCODER if symbol == "SYN03" else 0 < missing < len(inside) * ENCODER / 2


def test_a_store_built_before_is_described_anew_and_its_rows_stay(workspace: Workspace) -> None:
    """F7: an earlier build called these columns the row's own; the next one makes nothing but their description."""
    store = Store(workspace.store)
    with store.read() as snapshot:
        tables = {name: snapshot.data_version(name) for name in ("features", "targets", "fused")}
        meta = {name: snapshot.meta(name) for name in ("features", "fused")}
    with store.write("as it was") as txn:
        for name, entry in meta.items():
            columns = {
                column: {**found, "role": "own" if column in (*CROSS, AGREED) else found["role"]}
                for column, found in entry["columns"].items()
            }
            txn.set_meta(name, {**entry, "columns": columns})
        txn.commit()
    with store.read() as snapshot:
        before = {item.name: item.block for item in choose_inputs(snapshot.meta("fused")["columns"], None, None)}
    made = build_job(workspace)
    with store.read() as snapshot:
        after = {item.name: item.block for item in choose_inputs(snapshot.meta("fused")["columns"], None, None)}
        assert {name: snapshot.data_version(name) for name in tables} == tables
    assert (before[CROSS[0]], after[CROSS[0]], after[AGREED]) == (None, "cross_section", "context")
    assert (made.rows_computed, build_job(workspace).snapshot) == (0, made.snapshot)


def test_a_network_trained_before_keeps_its_windows(workspace: Workspace, prepared: Prepared) -> None:
    """S5: what a column is lies in the checkpoint; a specification without the block leaves out what it left out."""
    kept = [place for place, item in enumerate(prepared.spec.inputs) if item.name in (*OWN, CROSS[0])]
    inputs = [prepared.spec.inputs[place].model_copy(update={"role": "own", "block": None}) for place in kept]
    changed = {
        "inputs": inputs,
        "input_mean": [[row[place] for place in kept] for row in prepared.spec.input_mean],
        "input_std": [[row[place] for place in kept] for row in prepared.spec.input_std],
    }
    spec = prepared.spec.model_copy(update=changed)
    with Store(workspace.store).read(spec.snapshot) as snapshot:
        again = prepare_again(workspace.store, snapshot, spec, load_registry(workspace))
    symbols = {again.panel.groups[number].symbol for number in np.unique(again.panel.group[again.splits["train"]])}
    assert symbols == {"SYN01", "SYN02"}
