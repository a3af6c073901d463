"""Groups that cannot be trained on (SEMANTICS S5)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from training_world import hand_panel, prepare

from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace
from tftctl.data.panel import Panel
from tftctl.data.scaling import fit_labels, short_of_labels
from tftctl.data.splits import Cuts, assign
from tftctl.data.unseen import others, require_labels, unseen_groups


def late_panel() -> Panel:
    """AAA at two periods, BBB that is listed after the training."""
    return hand_panel([300, 100, 80], symbols=["AAA", "AAA", "BBB"], periods=["1h", "4h", "1h"])


def test_a_symbol_without_a_training_origin_is_unseen_unless_declared() -> None:
    """S5: its embedding would stay as it was drawn; `categories` allows it."""
    panel = late_panel()
    train = np.concatenate([np.arange(50, 200), np.arange(310, 350)])
    assert [(g.symbol, g.period) for g in unseen_groups(panel, train, [])] == [("BBB", "1h")]
    assert unseen_groups(panel, train, ["BBB"]) == {}
    assert unseen_groups(panel, np.append(train, 410), []) == {}


def test_a_period_without_a_training_origin_is_unseen() -> None:
    """S5: the period is embedded as the symbol is; declaring a symbol does not help."""
    panel = late_panel()
    found = unseen_groups(panel, np.arange(50, 200), ["AAA", "BBB"])
    assert [(g.symbol, g.period) for g in found] == [("AAA", "4h")]


def test_excluded_groups_are_an_error_where_asked_or_where_nothing_is_left() -> None:
    """S5: `unseen: error` names the first; the others stay otherwise."""
    panel = late_panel()
    excluded = {panel.groups[2]: "no rows to speak of"}
    assert others(panel, excluded, "exclude") == list(panel.groups[:2])
    assert others(panel, {}, "error") == list(panel.groups)
    with pytest.raises(DataError, match="BBB 1h has no rows to speak of"):
        others(panel, excluded, "error")
    with pytest.raises(DataError, match="no group can be trained on: AAA 1h has none; AAA 4h has none"):
        others(panel, dict.fromkeys(panel.groups, "none"), "exclude")


def test_only_binary_targets_do_not_let_an_untrained_period_through(market: Workspace) -> None:
    """S5: 1d has no training window of 90 bars but some of validation; binary labels need no scale to be 250."""
    options = ("targets=[target_binarytrend]", "max_encoder_length=90")
    prepared = prepare(market, *options)
    assert prepared.spec.periods == ["1h", "4h"]
    reason = "no training origin of its symbol or its period"
    told = [entry for entry in prepared.left_out if entry[0] == reason]
    assert told == [(reason, f"SYN0{number}", "1d", 120) for number in (1, 2, 3)]
    with pytest.raises(DataError, match="SYN01 1d has no training origin"):
        prepare(market, *options, "unseen=error")


def test_a_target_without_a_horizon_at_a_period_asks_nothing_of_it() -> None:
    """M5: (target, period) not in the data: the period's groups stay for their other targets, on scale 0 and 1."""
    panel = hand_panel([400, 300], periods=["1h", "1d"], targets=("target_x", "target_y"))
    panel.labels[400:, 1] = np.nan
    panel.label_end[400:, 1] = -1
    everything = np.ones(panel.rows, bool)
    kinds = ["regression", "regression"]
    assert short_of_labels(panel, kinds, everything) == []
    scale = fit_labels(panel, kinds, everything)
    assert (scale.centre[1, 1], scale.scale[1, 1]) == (0, 1)
    assert scale.scale[1, 0] == pytest.approx(np.nanstd(panel.labels[400:, 0].astype(float)))
    panel.labels[650, 1] = 3.0  # one label is in the data, and too little
    assert short_of_labels(panel, kinds, everything) == [(1, "target_y", 1)]


@pytest.mark.parametrize("after", [0, 200])
def test_a_target_without_a_training_label_is_an_error(after: int) -> None:
    """Its head would never be trained: no label at all, or only after the cut."""
    panel = hand_panel([300], targets=("target_x", "target_y"))
    panel.labels[: after or None, 1] = np.nan
    cuts = Cuts(int(panel.available_at[150]), int(panel.available_at[250]))
    train = assign(panel.available_at, panel.last_label_end(), cuts) == 0
    with pytest.raises(DataError, match="target_y has no training label at 1h"):
        require_labels(panel, train, cuts)
    require_labels(dataclasses.replace(panel, labels=panel.labels[:, :1], targets=("target_x",)), train, cuts)
