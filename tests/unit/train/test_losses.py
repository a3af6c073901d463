"""The total loss, positive weights and val_loss by hand (SEMANTICS M1, M2, M3)."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, PluginError, TftctlError
from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry, load_registry, resolve
from tftctl.train.hybrid import HybridLoss, positive_weight
from tftctl.train.losses import choose_targets, default_loss
from tftctl.train.module import ForecastModule
from tftctl.train.optimise import make_optimiser
from tftctl.train.validation import gathered, validation_losses

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
    found = loss(raw, labels, period)
    assert float(found.total.detach()) == pytest.approx(want, rel=1e-5)
    assert (found.sums / found.counts).tolist() == pytest.approx(mean, rel=1e-5)
    assert float(found.weighted.sum()) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize(("log_var", "clamped"), [(9.0, 6.0), (-50.0, -6.0), (5.9, 5.9)])
def test_log_variances_are_clamped_to_6(registry: Registry, log_var: float, clamped: float) -> None:
    """M1: s in [-6, 6], in the factor and in the summand."""
    loss = HybridLoss([regression()], PERIODS, True, registry)
    loss.log_vars.data = torch.tensor([log_var])
    raw, target = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]])
    total = loss([raw], target, torch.zeros(2, dtype=torch.long)).total
    assert float(total.detach()) == pytest.approx(2.5 * math.exp(-clamped) + clamped, rel=1e-5)


def test_uncertainty_off_is_a_weighted_sum_and_learns_nothing(registry: Registry) -> None:
    """M1 with s = 0 for good."""
    loss = HybridLoss([binary(weight=0.5), regression()], PERIODS, False, registry)
    raw, labels, period = batch()
    found = loss(raw, labels, period)
    assert float(found.total.detach()) == pytest.approx(float(0.5 * found.sums[0] + found.sums[1]) / 12)
    found.total.backward()
    assert loss.log_vars.grad is None


def test_a_target_without_labels_contributes_nothing(registry: Registry) -> None:
    """M1: neither its loss nor its s, nor any gradient, and no NaN."""
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    loss.log_vars.data = torch.tensor([0.3, 2.0])
    raw, labels, period = batch()
    labels[:, 1] = math.nan
    found = loss(raw, labels, period)
    alone = HybridLoss([binary()], PERIODS, False, registry)([raw[0]], labels[:, :1], period).total
    assert (found.counts.tolist(), float(found.weighted[1])) == ([12, 0], 0.0)
    assert float(found.total.detach()) == pytest.approx(float(alone.detach()) * math.exp(-0.3) + 0.3)
    found.total.backward()
    assert not raw[1].grad.any()  # type: ignore[union-attr]
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
    total = loss(raw, labels, period).total
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
    found = loss(raw, labels, period)
    assert (float(found.total.detach()), found.counts.tolist()) == (0, [0, 12])
    found.total.backward()
    assert not raw[0].grad.any()  # type: ignore[union-attr]


def test_a_weight_of_0_takes_a_target_out_of_training_and_leaves_it_in_val_loss(registry: Registry) -> None:
    """M1, M3: stage weights are no part of val_loss."""
    loss = HybridLoss([binary(), regression(weight=0.0)], PERIODS, True, registry)
    raw, labels, period = batch()
    raw[1].data[0] = math.inf
    found = loss(raw, labels, period)
    assert float(found.weighted[1]) == 0
    found.total.backward()
    assert raw[1].grad is None
    assert torch.isfinite(loss.log_vars.grad).all()  # type: ignore[arg-type]
    _, counts = loss.sums(raw, labels, period)
    assert counts.tolist() == [12, 12]


def test_the_loss_does_not_change_with_the_order_of_the_rows(registry: Registry) -> None:
    """M1: sum over valid labels divided by their count."""
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    raw, labels, period = batch(64)
    labels[::5, 0] = math.nan
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    again = loss([head[order] for head in raw], labels[order], period[order]).total
    assert float(again.detach()) == pytest.approx(float(loss(raw, labels, period).total.detach()), rel=1e-6)


@pytest.mark.parametrize("sizes", [(20, 20, 20), (1, 58, 1), (30, 0, 30)])
@pytest.mark.parametrize("mode", ["fixed", "batch"])
def test_portions_of_a_batch_have_together_the_gradient_of_the_whole(
    registry: Registry, sizes: tuple[int, ...], mode: str
) -> None:
    """M1, M2: labels are counted over the global batch, however it is divided and wherever labels are missing."""
    raw, labels, period = batch(60)
    labels[:25, 0] = math.nan
    labels[::3, 1] = math.nan
    counts, positives = labels.isfinite().sum(0), (labels == 1).sum(0)

    def gradients(parts: list[Tensor]) -> list[Tensor]:
        loss = HybridLoss([binary(weight=0.7), regression()], PERIODS, True, registry, mode)
        loss.log_vars.data = torch.tensor([0.5, -0.5])
        heads = [head.detach().double().requires_grad_() for head in raw]
        total = sum(
            loss([head[rows] for head in heads], labels[rows], period[rows], counts, positives, len(parts)).total
            for rows in parts
        ) / len(parts)
        total.backward()  # type: ignore[union-attr]
        return [total.detach(), loss.log_vars.grad, *(head.grad for head in heads)]  # type: ignore[union-attr, list-item]

    whole = gradients([torch.arange(60)])
    for got, want in zip(gradients(list(torch.arange(60).split(sizes))), whole, strict=True):
        assert torch.allclose(got, want, rtol=1e-5, atol=1e-7)


def test_a_batch_weighs_its_own_classes(registry: Registry) -> None:
    """M2: negatives over positives of the global batch within 0.1 and 10, in training only, and not in forecasts."""
    loss = HybridLoss([binary()], PERIODS, False, registry, "batch")
    raw, labels, period = batch(40, targets=1)
    logits = [float(value) for value in raw[0][:, 0].detach()]
    for ones, weight in ((10, 3.0), (1, 10.0), (39, 0.1), (40, 0.1), (0, 10.0)):
        labels[:, 0] = (torch.arange(40) < ones).float()
        want = sum(bce(x, float(y), weight) for x, y in zip(logits, labels[:, 0], strict=True)) / 40
        assert float(loss(raw, labels, period).total.detach()) == pytest.approx(want, rel=1e-5)
    plain = sum(bce(x, float(y)) for x, y in zip(logits, labels[:, 0], strict=True))
    assert float(loss.sums(raw, labels, period)[0].detach()) == pytest.approx(plain, rel=1e-5)
    assert torch.allclose(loss.forecasts(raw, period)[:, 0], torch.sigmoid(raw[0][:, 0]))


def test_a_likelihood_head_has_no_scale_of_ours(registry: Registry) -> None:
    """M1: its own spread is part of it, so that s stays 0."""
    loss = HybridLoss([binary(), regression(likelihood=True)], PERIODS, True, registry)
    loss.log_vars.data = torch.tensor([0.3, 2.0])
    raw, labels, period = batch()
    found = loss(raw, labels, period)
    assert float(found.weighted[1]) == pytest.approx(float(found.sums[1]) / 12, rel=1e-6)
    found.total.backward()
    assert loss.log_vars.grad[1] == 0  # type: ignore[index]


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
        total = loss([logit.expand(1000, 1)], labels, codes).total
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
    """M3: the same sums for the same probabilities, whatever sigma, pos_weight and stage weights are."""
    raw, labels, period = batch(40)
    plain = HybridLoss([binary(base_rate={}), regression()], PERIODS, False, registry).sums(raw, labels, period)
    dressed = HybridLoss([binary(weight=5), regression(weight=0)], PERIODS, True, registry)
    dressed.log_vars.data = torch.tensor([3.0, -4.0])
    odds = torch.tensor([RATES[PERIODS[place]] for place in period.tolist()]).logit()
    shifted = [raw[0] - odds[:, None], raw[1]]  # what a head learns that is trained with (1 - rate) / rate
    for got, want in zip(dressed.sums(shifted, labels, period), plain, strict=True):
        assert torch.allclose(got, want)
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

    module = ForecastModule(Fixed(), loss)  # type: ignore[arg-type]
    batches = [{"origin": rows, "labels": labels[rows], "period": period[rows]} for rows in parts]
    seen = [(part["origin"], *module.look(part)) for part in batches]
    origins, forecasts, sums, counts = gathered(SimpleNamespace(world_size=1), seen)  # type: ignore[arg-type]
    assert origins.tolist() == torch.cat(parts).tolist()
    assert forecasts.shape == (300, 3)
    return validation_losses([target.name for target in targets], sums, counts)


@pytest.mark.parametrize("sizes", [[300], [1] * 300, [7, 200, 93], [64, 64, 64, 64, 44]])
def test_val_loss_does_not_depend_on_the_batches(registry: Registry, sizes: list[int]) -> None:
    """M3: accumulated as sums and counts; means of batch means would weigh a last small batch as a full one."""
    logged = validated(registry, list(torch.arange(300).split(sizes)), sigma=float(len(sizes) % 5))
    raw, labels, period = batch(300, 3, seed=4)
    kept = torch.arange(300) % 7 >= 3
    rates = [RATES[PERIODS[place]] for place in period.tolist()]
    logits = [float(x) - math.log((1 - rate) / rate) for x, rate in zip(raw[0][:, 0].detach(), rates, strict=True)]
    first = np.mean([bce(x, float(y)) for x, y in zip(logits, labels[:, 0], strict=True)])
    second = float(((raw[1].detach()[kept, 0] - labels[kept, 1]) ** 2).mean())
    assert logged["val_target_b_loss"] == pytest.approx(first, rel=1e-5)
    assert logged["val_target_r_loss"] == pytest.approx(second, rel=1e-5)
    assert logged["val_loss"] == pytest.approx((first + second) / 2, rel=1e-5)
    assert logged["val_loss_for_ckpt"] == logged["val_loss"]
    assert math.isnan(logged["val_target_none_loss"])


def test_log_variances_biases_and_norms_do_not_decay(registry: Registry) -> None:
    """M1: s without weight decay."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    loss = HybridLoss([binary(), regression()], PERIODS, True, registry)
    module = ForecastModule(network, loss)  # type: ignore[arg-type]
    decayed, plain = make_optimiser(ModelConfig(weight_decay=0.3), module).param_groups
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


def test_an_option_that_a_loss_does_not_take_is_refused(registry: Registry) -> None:
    """By target and loss, not as a traceback."""
    target = regression(loss="smooth_l1", loss_options={"gamma": 3})
    with pytest.raises(ConfigError, match=r"losses\.target_r: smooth_l1 cannot be made with \{'gamma': 3\}"):
        HybridLoss([target], PERIODS, True, registry)
