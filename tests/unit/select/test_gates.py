"""Gate weights against pytorch-forecasting's own interpretation of every window (SEMANTICS R1, A4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from training_world import prepare

from tftctl.core.config.model import ModelConfig
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared
from tftctl.model.network import ForecastNetwork, NetworkShape, Part
from tftctl.select import gates as module
from tftctl.select.gate_scores import ALL_SYMBOLS
from tftctl.select.gates import PARTS, Gates, gate_weights
from tftctl.select.moments import merge, moments
from tftctl.train.checkpoint import network_shape

pytestmark = pytest.mark.filterwarnings("ignore:Attribute '(loss|logging_metrics)'", "ignore:The given NumPy array")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Naive:
    """Every training origin by itself: its period, symbol and weights (N, V) per part, and (N, E, V) by position."""

    period: npt.NDArray[Any]
    symbol: npt.NDArray[Any]
    parts: dict[Part, Array]
    positions: Array

    def of(self, period: str, symbol: str) -> npt.NDArray[np.bool_]:
        """Which origins are of this period and symbol, `*` for all."""
        return (self.period == period) & ((self.symbol == symbol) | (symbol == ALL_SYMBOLS))


def network_of(prepared: Prepared, **values: Any) -> ForecastNetwork:
    """A network of random weights that are large enough for its gates to differ."""
    torch.manual_seed(0)
    made = ForecastNetwork(network_shape(ModelConfig(hidden_size=8, attention_head_size=2, **values), prepared.spec))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return made.eval()


def naive(prepared: Prepared, network: ForecastNetwork) -> Naive:
    """The whole network over the windows of all training origins, and pytorch-forecasting's interpretation of it."""
    origins = prepared.splits["train"]
    found: dict[str, list[Array]] = {name: [] for name in (*PARTS, "positions")}
    for start in range(0, origins.size, 500):
        batch = prepared.source.gather(torch.from_numpy(origins[start : start + 500]))
        with torch.inference_mode():
            out = network.tft(network.inputs(batch))
            told = network.tft.interpret_output(out)
        for part in PARTS:
            found[part].append(told[f"{part}_variables"].double().numpy())
        found["positions"].append(out["encoder_variables"].squeeze(-2).double().numpy())
    groups = [prepared.panel.groups[number] for number in prepared.panel.group[origins]]
    whole = {name: np.concatenate(parts) for name, parts in found.items()}
    return Naive(
        np.array([group.period for group in groups]),
        np.array([group.symbol for group in groups]),
        {part: whole[part] for part in PARTS},
        whole["positions"],
    )


def assert_equal(found: Gates, told: Naive) -> None:
    """Every mean, spread and number of origins."""
    periods = dict.fromkeys(told.period)
    symbols = [ALL_SYMBOLS, *dict.fromkeys(told.symbol)]
    wanted = {(part, p, s) for part in PARTS for p in periods for s in symbols if told.of(p, s).any()}
    assert set(found.groups) == wanted
    for part, period, symbol in wanted:
        mine, naive_rows = found.groups[part, period, symbol], told.parts[part][told.of(period, symbol)]
        assert mine.count == len(naive_rows)
        np.testing.assert_allclose(mine.mean, naive_rows.mean(axis=0), atol=2e-6)
        np.testing.assert_allclose(mine.spread, naive_rows.std(axis=0), atol=2e-6)
        assert mine.mean.sum() == pytest.approx(1.0, abs=1e-6)
    assert set(found.positions) == set(periods)
    for period, mine in found.positions.items():
        rows = told.positions[told.of(period, ALL_SYMBOLS)]
        np.testing.assert_allclose(mine.mean, rows.mean(axis=0), atol=2e-6)
        np.testing.assert_allclose(mine.spread, rows.std(axis=0), atol=2e-6)
        assert mine.count == len(rows)


@pytest.mark.parametrize("chunk", [2048, 17], ids=["whole", "pieces"])
def test_gates_are_those_of_every_window_by_itself(
    market: Workspace, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """Three symbols at two periods, one with a hole in two segments; pieces of rows shorter than a window, too."""
    monkeypatch.setattr(module, "_CHUNK", chunk)
    prepared = prepare(market)
    segments = prepared.panel.segment[prepared.splits["train"]]
    assert set(prepared.panel.periods()) == {"1h", "4h"} and np.unique(segments).size > 1
    assert prepared.spec.blocks  # missing flags
    network, reported = network_of(prepared), []
    found = gate_weights(prepared, network, lambda what, done, total: reported.append((what, done, total)))
    told = naive(prepared, network)
    assert_equal(found, told)
    size = prepared.splits["train"].size
    assert reported[-1] == ("gates", size, size)
    # the network's weights are no trivial ones
    assert told.parts["encoder"].std(axis=0).max() > 0.01 and np.ptp(told.parts["encoder"].mean(axis=0)) > 0.01


def test_origins_far_apart_and_a_pooled_symbol(market: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that neither touch nor fill their group; a symbol with the code of unknown ones keeps its name."""
    options = ("periods=[1h]", "targets=[target_logreturn, target_binarytrend]")
    prepared = prepare(market, *options)
    panel, end = prepared.panel, prepared.spec.train_end
    rows = np.isfinite(panel.labels[:, 0]) & (panel.label_end[:, 0] <= end)
    labels = np.bincount(panel.group[rows])
    monkeypatch.setattr("tftctl.data.scaling.MIN_LABELS", int(labels[1]) + 1)  # SYN02 has holes
    pooled = prepare(market, *options, "unseen=pooled")
    assert [group.symbol for group in pooled.spec.groups if group.pooled] == ["SYN02"]
    length, train = pooled.spec.encoder_length, pooled.splits["train"]
    kept = np.array([row for row in train if row % (5 * length) < 3 or row % (5 * length) == length + 2])
    assert np.diff(kept).max() > length
    pooled.splits["train"] = kept
    network = network_of(pooled)
    found = gate_weights(pooled, network)
    assert ("static", "1h", "SYN02") in found.groups
    assert_equal(found, naive(pooled, network))


def test_no_other_row_has_a_part_in_it(market: Workspace) -> None:
    """Rows after the last training origin, also where they are poisoned, change nothing (A4)."""
    prepared = prepare(market)
    network, panel = network_of(prepared), prepared.panel
    clean = gate_weights(prepared, network)
    train = prepared.splits["train"]
    features = prepared.source.features.clone()
    for number, group in enumerate(panel.groups):
        own = train[panel.group[train] == number]
        prepared.source.features[int(own[-1]) + 1 : group.stop] = 1e20
    try:
        again = gate_weights(prepared, network)
    finally:
        prepared.source.features.copy_(features)
    for key, found in clean.groups.items():
        assert np.array_equal(found.mean, again.groups[key].mean) and np.array_equal(
            found.spread, again.groups[key].spread
        )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"known": ()},
        {"known": (2,)},
        {"static": ("symbol",), "varying": ("period",)},
        {"static": (), "varying": ("symbol", "period")},
        {"static": ("period",), "varying": (), "known": ()},
        {"reals": ("a",), "known": ()},
    ],
    ids=["usual", "nothing known", "one known", "varying", "no static", "one static", "one input"],
)
def test_every_shape_has_the_gates_of_its_forward_pass(values: dict[str, Any]) -> None:
    """One variable has weight 1, none no weight; categories that enter every step stand first."""
    given: dict[str, Any] = {
        "reals": ("a", "values", "b"), "known": (0, 2), "symbols": 3, "periods": 2, "static": ("symbol", "period"),
        "varying": (), "outputs": (1,), "encoder_length": 5, "hidden_size": 8, "hidden_continuous_size": 4,
        "lstm_layers": 1, "dropout": 0.1, "attention_head_size": 2,
    }  # fmt: skip
    torch.manual_seed(1)
    network = ForecastNetwork(NetworkShape(**(given | values))).eval()
    width, codes = len(network.shape.reals), torch.tensor([2, 1])
    encoder, decoder = torch.randn(4, 5, width), torch.randn(4, 1, width)
    with torch.inference_mode():
        out = network.tft(network.inputs({"encoder": encoder, "decoder": decoder, "codes": codes.expand(4, 2)}))
        weights = {
            "encoder": network.gates("encoder", codes, encoder.flatten(0, 1)).reshape(4, 5, -1),
            "decoder": network.gates("decoder", codes, decoder[:, 0])[:, None],
            "static": network.gates("static", codes, decoder[:, 0]),
        }
    for part, found in weights.items():
        told = out[f"{part}_variables"]
        told = told if told.ndim == found.ndim else told.squeeze(-2)
        assert found.shape == told.shape
        torch.testing.assert_close(found, told, atol=1e-6, rtol=0)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    """Parts of different sizes; values so near to each other that their squares alone say nothing of their spread."""
    values = 1e6 + np.random.default_rng(0).standard_normal((1000, 3)) * 1e-3
    found = merge([moments(values[start:stop]) for start, stop in ((0, 1), (1, 40), (40, 1000))])
    assert found.count == 1000
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(found.spread, values.std(axis=0), rtol=1e-6)
