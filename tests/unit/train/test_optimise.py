"""Schedules, frozen parameters, and averaged weights."""

from __future__ import annotations

import math

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from tftctl.core.config.model import Cosine, ModelConfig
from tftctl.core.errors import ConfigError
from tftctl.model.network import ForecastNetwork, NetworkShape
from tftctl.train.optimise import (
    Average,
    check_patterns,
    freeze,
    make_optimiser,
    make_schedule,
    matches,
    rate_of,
    scale_peak,
    step_schedule,
)
from tftctl.train.quiet import quiet_lightning


def network() -> nn.Module:
    """A module whose names are like those of a forecast module."""
    module = nn.Module()
    module.network = nn.Module()
    module.network.tft = nn.ModuleDict({
        "lstm_encoder": nn.Linear(3, 2), "lstm_decoder": nn.Linear(3, 2),
        "output_layer": nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)]),
    })  # fmt: skip
    module.loss = nn.Module()
    module.loss.log_vars = nn.Parameter(torch.zeros(2))
    return module


def rates(config: ModelConfig, steps: int, *, warmup: bool = True, lr: float = 0.1, more: int = 0) -> list[float]:
    """The rate of each step."""
    optimiser = make_optimiser(config, nn.Linear(2, 1))
    schedule = make_schedule(config, optimiser, steps, lr, warmup=warmup)
    found = []
    for _ in range(steps + more):
        found.append(rate_of(optimiser))
        optimiser.step()
        step_schedule(schedule)
    return found


def test_one_cycle_is_torchs_and_stays_where_it_ends() -> None:
    """Stepping per batch; a training that is continued beyond its schedule goes on at its last rate."""
    plain = torch.optim.Adam(nn.Linear(2, 1).parameters(), lr=0.1)
    cycle = OneCycleLR(plain, 0.1, total_steps=20, pct_start=0.3, div_factor=25, final_div_factor=100)
    want = []
    for _ in range(20):
        want.append(plain.param_groups[0]["lr"])
        plain.step()
        if len(want) < 20:
            cycle.step()
    found = rates(ModelConfig(), 20, more=5)
    assert found[:20] == want
    assert found[20:] == [want[-1]] * 5
    assert (max(found), found[0]) == pytest.approx((0.1, 0.1 / 25))


def test_a_cosine_by_hand() -> None:
    """Linear up to the peak, then half a cosine down to final_factor times it."""
    config = ModelConfig(schedule="cosine", cosine=Cosine(warmup_share=0.2, final_factor=0.1))
    found = rates(config, 20)
    assert found[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    for step in range(4, 20):
        share = (step - 4) / 15
        assert found[step] == pytest.approx(0.1 * (0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2))
    assert (found[4], found[-1]) == pytest.approx((0.1, 0.01))


def test_a_constant_rate_and_a_start_without_a_rise() -> None:
    """A warm start begins at its peak: a cycle is a cosine to its end then, and a cosine has no warm-up."""
    assert rates(ModelConfig(schedule="constant"), 4) == [0.1] * 4
    falling = rates(ModelConfig(), 20, warmup=False)
    assert falling[0] == pytest.approx(0.1)
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == pytest.approx(0.1 / 2500)
    config = ModelConfig(schedule="cosine", cosine=Cosine(warmup_share=0.5))
    assert rates(config, 10, warmup=False)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_another_peak_scales_the_steps_to_come(schedule: str) -> None:
    """A stage's lr: the schedule keeps its shape."""
    config = ModelConfig(schedule=schedule)  # type: ignore[arg-type]
    plain = rates(config, 10)
    optimiser = make_optimiser(config, nn.Linear(2, 1))
    cycle = make_schedule(config, optimiser, 10, 0.1, warmup=True)
    found = []
    for step in range(10):
        if step == 4:
            scale_peak(optimiser, cycle, 0.1, 0.02)
        found.append(rate_of(optimiser))
        optimiser.step()
        step_schedule(cycle)
    assert found[:4] == plain[:4]
    assert found[4:] == pytest.approx([rate / 5 for rate in plain[4:]])


def test_every_matrix_of_the_network_decays_and_nothing_else() -> None:
    """No decay on biases, norms and log-variances; the gated units inside a `gate_norm` are matrices like others."""
    shape = NetworkShape(
        reals=("a", "b"), known=(0,), symbols=3, periods=2, static=("symbol",), varying=("period",), outputs=(1, 2),
        encoder_length=4, hidden_size=4, hidden_continuous_size=4, lstm_layers=1, dropout=0.0, attention_head_size=2,
    )  # fmt: skip
    with quiet_lightning():
        net = ForecastNetwork(shape)
    norms = {id(p) for part in net.modules() if isinstance(part, nn.LayerNorm) for p in part.parameters()}
    decayed, plain = make_optimiser(ModelConfig(weight_decay=0.5), net).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.5, 0.0)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    for parameter in plain["params"]:
        name = names[id(parameter)]
        assert id(parameter) in norms or name.endswith("mask") or "bias" in name.split(".")[-1], name
    assert "tft.pre_output_gate_norm.glu.fc.weight" in {names[id(parameter)] for parameter in decayed["params"]}
    assert not norms & {id(parameter) for parameter in decayed["params"]}


def test_gradients_are_clipped_under_the_loss_scale_of_float16() -> None:
    """They are divided by the scale before, which Lightning does not do for a fused optimiser."""
    config, module = ModelConfig(precision="16-mixed"), nn.Linear(2, 1)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu"))
    wrapped, stepped = fabric.setup(module, make_optimiser(config, module))
    fabric.backward(0.1 * wrapped(torch.ones(4, 2)).sum())
    fabric.clip_gradients(wrapped, stepped, max_norm=0.5)
    norms = torch.stack([parameter.grad.norm() for parameter in module.parameters() if parameter.grad is not None])
    assert float(norms.norm()) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_fresh_parameters_have_a_rate_of_their_own(schedule: str) -> None:
    """A warm start: the same schedule at another height, scaled with a stage's peak like the others."""
    config = ModelConfig(schedule=schedule, weight_decay=0.5)  # type: ignore[arg-type]
    module = network()
    fresh = ["network.tft.output_layer.1.weight", "network.tft.output_layer.1.bias"]
    optimiser = make_optimiser(config, module, fresh, 10.0)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups = {group["scale"]: [] for group in optimiser.param_groups}  # type: ignore[var-annotated]
    for group in optimiser.param_groups:
        groups[group["scale"]] += [names[id(parameter)] for parameter in group["params"]]
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])
    assert sorted(groups[10.0]) == sorted(fresh)
    cycle = make_schedule(config, optimiser, 10, 0.01, warmup=True)
    for step in range(8):
        slow, fast = ({group["lr"] for group in optimiser.param_groups if group["scale"] == scale} for scale in (1, 10))
        assert len(slow) == len(fast) == 1
        assert fast.pop() == pytest.approx(10 * slow.pop())
        if step == 4:
            scale_peak(optimiser, cycle, 0.01, 0.002)
        optimiser.step()
        step_schedule(cycle)


def test_frozen_parameters_do_not_move_and_thaw() -> None:
    """By pattern, or by the heads of targets that rest; weight decay does not move them either."""
    module = network()
    assert freeze(module, ["lstm_*"], [1]) == 8 + 8 + 3
    still = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    assert {name.rsplit(".", 1)[0] for name in still} == {
        "network.tft.lstm_encoder", "network.tft.lstm_decoder", "network.tft.output_layer.1",
    }  # fmt: skip
    optimiser = make_optimiser(ModelConfig(weight_decay=0.5), module)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    sum((value**2).sum() for value in module.parameters() if value.requires_grad).backward()  # type: ignore[union-attr]
    optimiser.step()
    moved = {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    assert not moved & still
    assert "network.tft.output_layer.0.weight" in moved
    assert freeze(module, [], []) == 0
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_log_variances_stay_as_they_are_where_uncertainty_is_off() -> None:
    """Thawing everything must not begin to learn them."""
    module = network()
    module.learned = False  # type: ignore[assignment]
    freeze(module, [], [])
    assert not module.loss.log_vars.requires_grad  # type: ignore[union-attr]


def test_a_pattern_that_matches_nothing_names_the_parts() -> None:
    """A typo would train what was to be frozen."""
    with pytest.raises(ConfigError, match="no parameter is called like 'lstm_enc'") as caught:
        check_patterns(network(), ["lstm_*", "lstm_enc"])
    assert "did you mean 'lstm_encoder'?" in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("lstm_encoder", True),
        ("lstm_*", True),
        ("network.tft.lstm_encoder.weight", True),
        ("*.weight", True),
        ("lstm", False),
        ("lstm_encoder.bias", False),
    ],
)
def test_what_a_pattern_means(pattern: str, matched: bool) -> None:
    """A part with all that is in it, or a whole name."""
    assert matches("network.tft.lstm_encoder.weight", pattern) == matched


def test_averaged_weights_by_hand() -> None:
    """Polyak: m <- d m + (1 - d) w after each step, d small at first; used for a while, then the weights are back."""
    module = nn.Linear(2, 1)
    average, by_hand = Average(module, 0.3), module.weight.detach().clone().double()
    for step in range(1, 6):
        with torch.no_grad():
            module.weight += step
        average.update(module, step)
        decay = [0, 2 / 11, 3 / 12, 0.3, 0.3, 0.3][step]
        by_hand = decay * by_hand + (1 - decay) * module.weight.detach().double()
    weights = module.weight.detach().clone()
    with average.used(module):
        assert torch.allclose(module.weight.double(), by_hand, atol=1e-6)
    assert torch.equal(module.weight, weights)
    with pytest.raises(RuntimeError), average.used(module):
        raise RuntimeError
    assert torch.equal(module.weight, weights)
