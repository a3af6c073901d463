"""`unseen: pooled`: groups without statistics of their own (SEMANTICS S5)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_world import hand_panel, prepare

from tftctl.core.workspace import Workspace
from tftctl.data.scaling import fit_labels
from tftctl.data.unseen import poolable, unseen_groups

OPTIONS = ("periods=[1h]", "targets=[target_logreturn, target_binarytrend]", "unseen=pooled")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, market: Workspace) -> int:
    """So many labels are asked for that SYN02, which has holes, is short of them; how many it has."""
    prepared = prepare(market, "periods=[1h]", "targets=[target_logreturn]")
    panel, end = prepared.panel, prepared.spec.train_end
    rows = np.isfinite(panel.labels[:, 0]) & (panel.label_end[:, 0] <= end)
    labels = [int(rows[group.start : group.stop].sum()) for group in panel.groups]
    assert labels[1] < min(labels[0], labels[2])
    monkeypatch.setattr("tftctl.data.scaling.MIN_LABELS", labels[1] + 1)
    return labels[1]


@pytest.mark.usefixtures("few")
def test_a_pooled_group_has_the_unknown_code_and_the_median_scale(market: Workspace) -> None:
    """Its windows stay, under the number behind the last symbol; the others are as they are without it."""
    prepared, without = prepare(market, *OPTIONS), prepare(market, *OPTIONS[:2])
    spec = prepared.spec
    assert (spec.symbols, without.spec.symbols) == (["SYN01", "SYN03"], ["SYN01", "SYN03"])
    assert [(group.symbol, group.pooled) for group in spec.groups] == [
        ("SYN01", False), ("SYN02", True), ("SYN03", False),
    ]  # fmt: skip
    first, pooled, third = spec.groups
    assert [first, third] == list(without.spec.groups)
    # of two others the median is the mean; a binary target has no scale
    assert pooled.centre == pytest.approx([(first.centre[0] + third.centre[0]) / 2, 0.0])
    assert pooled.scale == pytest.approx([(first.scale[0] + third.scale[0]) / 2, 1.0])
    train = prepared.splits["train"]
    mine = train[prepared.panel.group[train] == 1]
    batch = prepared.source.gather(torch.from_numpy(mine[:50]))
    assert batch["codes"][:, 0].tolist() == [2] * 50
    raw = prepared.panel.labels[mine[:50], 0]
    assert batch["labels"][:, 0].numpy() == pytest.approx((raw - pooled.centre[0]) / pooled.scale[0], rel=1e-5)


def test_a_median_is_of_the_groups_of_the_same_period() -> None:
    """Three at 1h, one at 4h; the pooled one is at 1h."""
    panel = hand_panel([300] * 5, periods=["1h", "1h", "1h", "4h", "1h"])
    train = np.ones(panel.rows, bool)
    scale = fit_labels(panel, ["regression"], train, [4])
    labels = [panel.labels[group.start : group.stop, 0] for group in panel.groups[:3]]
    assert scale.centre[4, 0] == pytest.approx(np.median([np.nanmean(own, dtype=np.float64) for own in labels]))
    assert scale.scale[4, 0] == pytest.approx(np.median([np.nanstd(own, dtype=np.float64) for own in labels]))


def test_a_pooled_group_needs_a_period_that_others_train() -> None:
    """Where the others of its period have no training origin, there is no scale to borrow."""
    panel = hand_panel([300, 300, 100], symbols=["AAA", "AAA", "BBB"], periods=["1h", "4h", "4h"])
    train = np.concatenate([np.arange(50, 200), np.arange(610, 650)])  # of AAA 1h, and of BBB 4h, which is pooled
    found = unseen_groups(panel, train, [], {("BBB", "4h")})
    assert [(group.symbol, group.period) for group in found] == [("AAA", "4h"), ("BBB", "4h")]
    assert poolable(panel, found) == {}
    trained = np.append(train, np.arange(350, 400))  # of AAA 4h
    assert unseen_groups(panel, trained, [], {("BBB", "4h")}) == {}
