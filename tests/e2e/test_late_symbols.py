"""Symbols that were listed late: pooled with the others of their period, under an unknown symbol (SEMANTICS S5)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch
from training_world import epochs_of, once, prepare, quiet, write_bars, write_configs

from tftctl.core.workspace import Workspace
from tftctl.start.jobs import build_job, eval_job, train_job
from tftctl.start.scaffold import create_workspace
from tftctl.store import Store
from tftctl.train.checkpoint import load_checkpoint
from tftctl.train.module import SYMBOL_DROPOUT, ForecastModule

POOLED = ("unseen=pooled", "periods=[1h, 4h]")


@pytest.fixture(scope="module")
def late_market(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Training ends on day 84 of 120: SYN03 has six days of it, SYN04 none."""

    def make(root: Path) -> None:
        create_workspace(root)
        write_configs(root)
        write_bars(Store(root / "store"), symbols=4, late={"SYN03": 78, "SYN04": 90})
        build_job(Workspace(root))

    return Workspace(once(tmp_path_factory, "late_market", make))


def test_late_symbols_are_scaled_as_the_others_and_embedded_as_unknown(late_market: Workspace) -> None:
    """S5: the medians of (period, target) over groups with labels of their own, and the code behind the last symbol."""
    prepared = prepare(late_market, *POOLED)
    spec = prepared.spec
    assert (spec.symbols, spec.pooled) == (["SYN01", "SYN02"], True)
    pooled = [group for group in spec.groups if group.pooled]
    assert sorted((g.symbol, g.period) for g in pooled) == [(s, p) for s in ("SYN03", "SYN04") for p in ("1h", "4h")]
    for group in pooled:
        own = [g for g in spec.groups if g.period == group.period and not g.pooled]
        assert len(own) == 2
        for place, _ in enumerate(spec.targets):
            assert group.scale[place] == pytest.approx(sum(g.scale[place] for g in own) / 2)
            assert group.centre[place] == pytest.approx(sum(g.centre[place] for g in own) / 2)
    for number, group in enumerate(prepared.panel.groups):
        code = int(prepared.source.codes[number, 0])
        assert code == {"SYN01": 0, "SYN02": 1}.get(group.symbol, 2)
    symbol = [prepared.panel.groups[g].symbol for g in prepared.panel.group[prepared.splits["train"]]]
    assert {"SYN01", "SYN02", "SYN03"} == set(symbol)
    left = {(reason, name) for reason, name, _, _ in prepare(late_market, "periods=[1h, 4h]").left_out}
    assert ("fewer than 250 training labels", "SYN04") in left


def test_a_late_symbol_is_trained_and_forecast(late_market: Workspace) -> None:
    """The unknown embedding learns; `eval` has a forecast for a symbol that no training window had."""
    said: list[str] = []
    options = [*POOLED, "max_steps=4", "batch_size=500", "targets=[target_logreturn]", "plot_every_n_epochs=0"]
    result = train_job(late_market, None, options, "cpu", said.append)
    told = "scaled as their period's others, under the code of an unknown symbol: "
    assert told + "SYN03 1h, SYN04 1h, SYN03 4h, SYN04 4h" in said
    state = load_checkpoint(late_market.runs / str(result.run) / "checkpoints" / "last.ckpt").state
    embedding = state["network.tft.input_embeddings.embeddings.c_symbol.weight"]
    untrained = train_job(late_market, None, [*options, "lr=1e-30", "max_steps=1"], "cpu", quiet)
    fresh = load_checkpoint(late_market.runs / str(untrained.run) / "checkpoints" / "last.ckpt").state
    assert embedding.shape[0] == 3
    assert not torch.equal(embedding[2], fresh["network.tft.input_embeddings.embeddings.c_symbol.weight"][2])
    found = eval_job(late_market, str(result.run), "val", "last")
    frame = pl.read_parquet(late_market.root / found.predictions)
    assert frame.filter(symbol="SYN04")["prediction"].is_finite().sum() > 50
    assert len(epochs_of(late_market, str(result.run))) == 1


def test_two_in_a_hundred_windows_are_shown_without_their_symbol() -> None:
    """S5: in training only, the period stays, and without an unknown code nothing is hidden."""
    codes = torch.stack([torch.zeros(20_000), torch.ones(20_000)], dim=1).long()
    module = ForecastModule.__new__(ForecastModule)
    torch.nn.Module.__init__(module)
    module.unknown = 7
    torch.manual_seed(3)
    hidden = module._anonymous(codes)
    assert set(hidden[:, 0].tolist()) == {0, 7}
    assert (hidden[:, 0] == 7).float().mean() == pytest.approx(SYMBOL_DROPOUT, abs=0.004)
    assert torch.equal(hidden[:, 1], codes[:, 1])


def test_a_head_of_batch_weights_gives_scores(late_market: Workspace) -> None:
    """M2: `eval` says that they are no probabilities."""
    from tftctl.evaluate.table import notes

    options = ["max_steps=1", "batch_size=500", "periods=[4h]", "targets=[target_binarytrend]", "pos_weight=batch"]
    run = train_job(late_market, None, options, "cpu", quiet)
    found = eval_job(late_market, str(run.run), "val", "last")
    assert found.uncalibrated == ["target_binarytrend"]
    assert any("scores and no probabilities" in note for note in notes(found))
