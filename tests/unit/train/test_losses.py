"""The total loss, positive weights and val_loss by hand (SEMANTICS M1, M2, M3)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import WeightsConfig
from tftctl.core.errors import ConfigError, PluginError, TftctlError
from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry, load_registry, resolve
from tftctl.train.hybrid import HybridLoss, positive_weight
from tftctl.train.losses import choose_targets, default_loss
from tftctl.train.module import ForecastModule
from tftctl.train.stages import weigh

PERIODS = ["1h", "4h"]
RATES = {"1h": 0.2, "4h": 0.6}


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in losses."""
    return load_registry()


def binary(name: str = "target_b", **values: Any) -> TargetSpec:
    """A binary target with a base rate per period."""
    return TargetSpec(**{"name": name, "kind": "binary", "unit": "1", "loss": "bce", "base_rate": RATES, **values})


def regression(name: str = "target_r", **values: Any) -> TargetSpec:
    """A regression target."""
    return TargetSpec(**{"name": name, "kind": "regression", "unit": "1", "loss": "mse", **values})


def batch(size: int = 12, targets: int = 2, seed: int = 0) -> tuple[list[Tensor], Tensor, Tensor]:
    """Raw outputs, labels (the first column 0 and 1), period codes."""
    random = torch.Generator().manual_seed(seed)
    raw = [torch.randn(size, 1, generator=random, requires_grad=True) for _ in range(targets)]
    labels = torch.randn(size, targets, generator=random)
    labels[:, 0] = (labels[:, 0] > 0).float()
    return raw, labels, torch.randint(0, 2, (size,), generator=random)


def bce(logit: float, y: float, weight: float = 1.0) -> float:
    """-(w y log p + (1 - y) log(1 - p))."""
    p = 1 / (1 + math.exp(-logit))
    return -(weight * y * math.log(p) + (1 - y) * math.log(1 - p))


def test_the_total_is_the_formula_row_by_row(registry: Registry) -> None:
    """M1: sum of w_i (L_i exp(-s_i) + s_i), L_i the mean over valid labels; M2: a weight per (target, period)."""
    loss = HybridLoss([binary(weight=0.7), regression(weight=2.0)], PERIODS, True, registry)
    loss.log_vars.data = torch.tensor([0.4, -1.3])
    raw, labels, period = batch()
    detached = [head.detach() for head in raw]
    labels[[1, 5], 0] = math.nan
    labels[[0, 2, 3], 1] = math.nan
    losses: list[list[float]] = [[], []]
    for row in range(12):
        rate = RATES[PERIODS[period[row]]]
        if not math.isnan(labels[row, 0]):
            losses[0].append(bce(float(detached[0][row, 0]), float(labels[row, 0]), (1 - rate) / rate))
        if not math.isnan(labels[row, 1]):
            losses[1].append((float(detached[1][row, 0]) - float(labels[row, 1])) ** 2)
    mean = [sum(values) / len(values) for values in losses]
    assert (len(losses[0]), len(losses[1])) == (10, 9)
    want = 0.7 * (mean[0] * math.exp(-0.4) + 0.4) + 2.0 * (mean[1] * math.exp(1.3) - 1.3)
    total, terms = loss(raw, labels, period)
    assert float(total.detach()) == pytest.approx(want, rel=1e-5)
    assert {name: float(value.detach()) for name, value in terms.items()} == pytest.approx(
        {"target_b": mean[0], "target_r": mean[1]}, rel=1e-5
    )


@pytest.mark.parametrize(("log_var", "clamped"), [(9.0, 6.0), (-50.0, -6.0), (5.9, 5.9)])
def test_log_variances_are_clamped_to_6(registry: Registry, log_var: float, clamped: float) -> None:
    """M1: s in [-6, 6], in the factor and in the summand."""
    loss = HybridLoss([regression()], PERIODS, True, registry)
    loss.log_vars.data = torch.tensor([log_var])
    raw, target = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]])
    total, _ = loss([raw], target, torch.zeros(2, dtype=torch.long))
    assert float(total.detach()) == pytest.approx(2.5 * math.exp(-clamped) + clamped, rel=1e-5)


def test_uncertainty_off_is_a_weighted_sum_and_learns_nothing(registry: Registry) -> None:
    """M1 with s = 0 for good."""
    loss = HybridLoss([binary(weight=0.5), regression()], PERIODS, False, registry)
    raw, labels, period = batch()
    total, terms = loss(raw, labels, period)
    assert float(total.detach()) == pytest.approx(float((0.5 * terms["target_b"] + terms["target_r"]).detach()))
    total.backward()
    assert loss.log_vars.grad is None


def test_a_target_without_labels_contributes_nothing(registry: Registry) -> None:
    """M1: neither its loss nor its s, nor any gradient, and no NaN."""
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    loss.log_vars.data = torch.tensor([0.3, 2.0])
    raw, labels, period = batch()
    labels[:, 1] = math.nan
    total, terms = loss(raw, labels, period)
    alone, _ = HybridLoss([binary()], PERIODS, False, registry)([raw[0]], labels[:, :1], period)
    assert list(terms) == ["target_b"]
    assert float(total.detach()) == pytest.approx(float(alone.detach()) * math.exp(-0.3) + 0.3)
    total.backward()
    assert raw[1].grad is None
    assert loss.log_vars.grad is not None
    assert loss.log_vars.grad[1] == 0
    assert torch.isfinite(raw[0].grad).all()  # type: ignore[union-attr]


def test_a_masked_row_has_no_gradient_whatever_its_output(registry: Registry) -> None:
    """M1: the mask is an index, so that an output of infinity on a row without label spoils nothing."""
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    raw, labels, period = batch()
    raw[0].data[3] = math.inf
    raw[1].data[4] = math.nan
    labels[3, 0] = labels[4, 1] = math.nan
    total, _ = loss(raw, labels, period)
    total.backward()
    assert math.isfinite(float(total.detach()))
    for head, row in ((0, 3), (1, 4)):
        assert raw[head].grad[row] == 0  # type: ignore[index]
        assert torch.isfinite(raw[head].grad).all()  # type: ignore[arg-type]


def test_a_batch_without_any_label_can_be_stepped_over(registry: Registry) -> None:
    """M1: it contributes nothing: the total is 0 and a backward pass through it is no error."""
    loss = HybridLoss([binary(), regression(weight=0.0)], PERIODS, False, registry)
    raw, labels, period = batch()
    labels[:, 0] = math.nan
    total, terms = loss(raw, labels, period)
    assert (float(total.detach()), terms) == (0, {})
    total.backward()


def test_a_weight_of_0_takes_a_target_out_of_training_and_leaves_it_in_val_loss(registry: Registry) -> None:
    """M1, M3: stage weights are no part of val_loss."""
    loss = HybridLoss([binary(), regression(weight=0.0)], PERIODS, True, registry)
    raw, labels, period = batch()
    _, terms = loss(raw, labels, period)
    assert list(terms) == ["target_b"]
    _, counts = loss.sums(raw, labels)
    assert counts.tolist() == [12, 12]


def test_the_loss_does_not_change_with_the_order_of_the_rows(registry: Registry) -> None:
    """M1: sum over valid labels divided by their count."""
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    raw, labels, period = batch(64)
    labels[::5, 0] = math.nan
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    again, _ = loss([head[order] for head in raw], labels[order], period[order])
    assert float(again.detach()) == pytest.approx(float(loss(raw, labels, period)[0].detach()), rel=1e-6)


def test_a_rare_class_weighs_as_much_as_the_other() -> None:
    """M2: pos_weight = (1 - rate) / rate of the training labels of the period, 1 where there is none."""
    target = binary(base_rate={"1h": 0.2})
    assert positive_weight(target, "1h") == pytest.approx(4)
    assert positive_weight(target, "1d") == 1
    assert positive_weight(regression(), "1h") == 1


@pytest.mark.parametrize(("place", "period"), enumerate(PERIODS))
def test_the_positive_weight_is_taken_out_of_the_probability_again(registry: Registry, place: int, period: str) -> None:
    """M2: the constant logit that minimises the weighted loss forecasts the base rate itself."""
    rate = RATES[period]
    loss = HybridLoss([binary()], PERIODS, False, registry)
    logit = torch.zeros(1, requires_grad=True)
    labels = torch.zeros(1000, 1)
    labels[: int(1000 * rate)] = 1
    codes = torch.full((1000,), place)
    optimiser = torch.optim.LBFGS([logit], max_iter=200, tolerance_grad=1e-9)

    def closure() -> Tensor:
        optimiser.zero_grad()
        total, _ = loss([logit.expand(1000, 1)], labels, codes)
        total.backward()
        return total

    optimiser.step(closure)  # type: ignore[arg-type]
    assert float(logit.detach()) == pytest.approx(0, abs=1e-3)  # the weights balance the classes
    probability = loss.forecasts([logit.detach().expand(1, 1)], codes[:1])
    assert float(probability) == pytest.approx(rate, abs=1e-3)


def test_forecasts_are_corrected_by_each_rows_own_period(registry: Registry) -> None:
    """M2: sigmoid(logit - log pos_weight); regression heads are handed on as they are."""
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    raw, _, period = batch()
    found = loss.forecasts(raw, period).detach()
    for row in range(12):
        rate = RATES[PERIODS[period[row]]]
        logit = float(raw[0][row, 0].detach()) - math.log((1 - rate) / rate)
        assert float(found[row, 0]) == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5)
        assert found[row, 1] == raw[1][row, 0]


def test_positive_weights_and_log_variances_travel_in_the_state(registry: Registry) -> None:
    """M2: stored in the checkpoint, so that a later change of the labels changes no forecast."""
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    loss.log_vars.data = torch.tensor([1.0, 2.0])
    other = HybridLoss([binary(base_rate={}), regression()], PERIODS, True, registry)
    other.load_state_dict(loss.state_dict())
    assert other.pos_weight[0].tolist() == pytest.approx([4, 2 / 3])  # type: ignore[union-attr, index]
    raw, _, period = batch()
    assert torch.equal(other.forecasts(raw, period), loss.forecasts(raw, period))


def test_val_loss_knows_neither_uncertainty_nor_weights(registry: Registry) -> None:
    """M3: the same sums whatever sigma, pos_weight and stage weights are."""
    raw, labels, _ = batch(40)
    plain = HybridLoss([binary(base_rate={}), regression()], PERIODS, False, registry).sums(raw, labels)
    dressed = HybridLoss([binary(weight=5), regression(weight=0)], PERIODS, True, registry)
    dressed.log_vars.data = torch.tensor([3.0, -4.0])
    for got, want in zip(dressed.sums(raw, labels), plain, strict=True):
        assert torch.equal(got, want)
    by_hand = sum(bce(float(x), float(y)) for x, y in zip(raw[0][:, 0].detach(), labels[:, 0], strict=True))
    assert float(plain[0][0].detach()) == pytest.approx(by_hand, rel=1e-5)


def validated(registry: Registry, parts: list[Tensor], sigma: float = 0.0) -> dict[str, float]:
    """What a module logs after validating 300 fixed rows in the given parts; target 3 has no label."""
    targets = [binary(weight=3), regression(weight=0.1), regression("target_none")]
    loss = HybridLoss(targets, PERIODS, True, registry)
    loss.log_vars.data.fill_(sigma)
    raw, labels, period = batch(300, 3, seed=4)
    labels[torch.arange(300) % 7 < 3, 1] = math.nan
    labels[:, 2] = math.nan

    class Fixed(torch.nn.Module):
        def forward(self, batch: dict[str, Tensor]) -> list[Tensor]:
            return [head[batch["origin"]].detach() for head in raw]

    def score(origins: Tensor, forecasts: Tensor, values: object) -> dict[str, float]:
        assert origins.tolist() == torch.cat(parts).tolist()
        assert forecasts.shape == (300, 3)
        return {"val_composite_score": 0.5}

    module = ForecastModule(Fixed(), loss, ModelConfig(), 10, score)  # type: ignore[arg-type]
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})  # type: ignore[method-assign, assignment]
    for number, origins in enumerate(parts):
        module.validation_step({"origin": origins, "labels": labels[origins], "period": period[origins]}, number)
    module.on_validation_epoch_end()
    return logged


@pytest.mark.parametrize("sizes", [[300], [1] * 300, [7, 200, 93], [64, 64, 64, 64, 44]])
def test_val_loss_does_not_depend_on_the_batches(registry: Registry, sizes: list[int]) -> None:
    """M3: accumulated as sums and counts; means of batch means would weigh a last small batch as a full one."""
    logged = validated(registry, list(torch.arange(300).split(sizes)), sigma=float(len(sizes) % 5))
    raw, labels, _ = batch(300, 3, seed=4)
    kept = torch.arange(300) % 7 >= 3
    first = np.mean([bce(float(x), float(y)) for x, y in zip(raw[0][:, 0].detach(), labels[:, 0], strict=True)])
    second = float(((raw[1][kept, 0] - labels[kept, 1]) ** 2).mean())
    assert logged["val_target_b_loss"] == pytest.approx(first, rel=1e-5)
    assert logged["val_target_r_loss"] == pytest.approx(second, rel=1e-5)
    assert logged["val_loss"] == pytest.approx((first + second) / 2, rel=1e-5)
    assert logged["val_loss_for_ckpt"] == logged["val_loss"]
    assert logged["val_composite_score"] == 0.5


def test_log_variances_biases_and_norms_do_not_decay(registry: Registry) -> None:
    """M1: s without weight decay."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    module = ForecastModule(network, loss, ModelConfig(weight_decay=0.3), 10, lambda *_: {})  # type: ignore[arg-type]
    decayed, plain = module.configure_optimizers()["optimizer"].param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0)
    assert [tuple(parameter.shape) for parameter in decayed["params"]] == [(2, 3)]
    assert any(parameter is loss.log_vars for parameter in plain["params"])
    assert len(plain["params"]) == 4


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("mse", lambda d: d * d),
        ("smooth_l1", lambda d: 0.5 * d * d if abs(d) < 1 else abs(d) - 0.5),
    ],
)
def test_regression_losses_by_hand(registry: Registry, name: str, formula: Any) -> None:
    """M1: unreduced, one loss per row, the forecast is the output itself."""
    module = resolve(registry.loss(name).factory)()
    raw, target = torch.linspace(-4, 4, 33)[:, None], torch.full((33,), 0.25)
    want = [formula(float(x) - 0.25) for x in raw[:, 0]]
    assert module(raw, target, None).tolist() == pytest.approx(want, rel=1e-5, abs=1e-7)
    assert torch.equal(module.point(raw), raw[:, 0])


def test_smooth_l1_with_another_beta(registry: Registry) -> None:
    """0.5 d^2 / beta below beta."""
    module = resolve(registry.loss("smooth_l1").factory)(beta=2.0)
    losses = module(torch.tensor([[1.0], [5.0]]), torch.zeros(2))
    assert losses.tolist() == pytest.approx([0.25, 4.0])


def described(**values: Any) -> dict[str, Any]:
    """What the store says of a target."""
    return {"kind": "regression", "unit": "1", "loss": None, "tail": "normal", **values}


def test_the_loss_is_asked_for_or_the_targets_own_or_by_kind_and_tail(registry: Registry) -> None:
    """M1: BCE for binary targets, SmoothL1 for fat tails, squared error otherwise."""
    store = {
        "target_a": described(),
        "target_b": described(tail="fat"),
        "target_c": described(kind="binary"),
        "target_d": described(loss="smooth_l1"),
        "target_e": described(tail="fat"),
        "target_f": described(),
    }
    config = ModelConfig(
        targets=list(store), losses={"target_e": "mse", "target_f": {"name": "smooth_l1", "beta": 0.5}}
    )
    found = choose_targets(config.targets, store, config, registry)
    assert [target.loss for target in found] == ["mse", "smooth_l1", "bce", "smooth_l1", "mse", "smooth_l1"]
    assert found[-1].loss_options == {"beta": 0.5}
    assert HybridLoss(found, PERIODS, True, registry).heads[-1].beta == 0.5
    assert default_loss("binary", "fat") == "bce"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"targets": ["target_b"]}, "no target 'target_b'"),
        ({"targets": ["target_a"], "losses": {"target_x": "mse"}}, "no target 'target_x'"),
        ({"targets": ["target_a"], "losses": {"target_a": "bce"}}, "target_a is regression, the loss 'bce' is not"),
    ],
)
def test_a_loss_or_target_that_does_not_fit_is_refused(
    registry: Registry, config: dict[str, Any], message: str
) -> None:
    """By name, before anything is trained."""
    chosen = ModelConfig.model_validate(config)
    with pytest.raises(ConfigError, match=message):
        choose_targets(chosen.targets, {"target_a": described()}, chosen, registry)


def test_an_unknown_loss_names_the_nearest(registry: Registry) -> None:
    """And the hint says what there is."""
    config = ModelConfig(targets=["target_a"], losses={"target_a": "smoth_l1"})
    with pytest.raises(TftctlError) as caught:
        choose_targets(config.targets, {"target_a": described()}, config, registry)
    assert isinstance(caught.value, ConfigError | PluginError)
    assert "smooth_l1" in caught.value.hint


def test_weights_are_those_of_the_first_stage(registry: Registry) -> None:
    """DESIGN 7: the first stage holds for a plain training; a target that it does not name weighs 1."""
    weights = WeightsConfig({"one": {"target_b": 0.25, "target_other": 3}, "two": {"target_r": 9}})
    found, idle = weigh([binary(), regression()], weights, ["target_b", "target_r", "target_other"], registry)
    assert [(target.name, target.weight) for target in found] == [("target_b", 0.25), ("target_r", 1.0)]
    assert idle == []


def test_weights_of_a_target_that_the_store_lacks_are_told(registry: Registry) -> None:
    """The default file names targets of the catalogue that a store need not have, in any of its stages."""
    weights = WeightsConfig({"one": {"target_r": 2}, "two": {"target_drawdown_prob": 1, "target_logreturn_h24": 1}})
    found, idle = weigh([regression()], weights, ["target_r"], registry)
    assert [target.weight for target in found] == [2]
    assert idle == ["target_drawdown_prob", "target_logreturn_h24"]


@pytest.mark.parametrize("stage", ["one", "two"])
def test_weights_of_a_target_that_does_not_exist_are_refused(registry: Registry, stage: str) -> None:
    """A misspelt name would leave its target at the weight 1 in silence."""
    stages = {"one": {"target_r": 2.0}, "two": {"target_r": 1.0}}
    stages[stage]["target_rr"] = 1.0
    with pytest.raises(ConfigError, match="there is no target 'target_rr'") as caught:
        weigh([regression()], WeightsConfig(stages), ["target_r"], registry)
    assert "did you mean 'target_r'?" in caught.value.hint


def test_weights_that_are_all_0_are_refused(registry: Registry) -> None:
    """Nothing would be trained."""
    with pytest.raises(ConfigError, match="the weight 0"):
        weigh([regression()], WeightsConfig({"one": {"target_r": 0}}), ["target_r"], registry)


def test_an_option_that_a_loss_does_not_take_is_refused(registry: Registry) -> None:
    """By target and loss, not as a traceback."""
    target = regression(loss="smooth_l1", loss_options={"gamma": 3})
    with pytest.raises(ConfigError, match=r"losses\.target_r: smooth_l1 cannot be made with \{'gamma': 3\}"):
        HybridLoss([target], PERIODS, True, registry)
