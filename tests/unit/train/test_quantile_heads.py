"""Heads that forecast quantiles: chosen by configuration, beside the points of all heads (SEMANTICS M1, M2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, PluginError
from tftctl.core.records import Loss
from tftctl.core.registry import Provided, Registry
from tftctl.data.spec import TargetSpec
from tftctl.plugins import load_registry
from tftctl.train.hybrid import HybridLoss
from tftctl.train.losses import choose_targets, make_loss

STORE = {
    "target_b": {"kind": "binary", "unit": "1", "loss": None, "tail": "normal"},
    "target_q": {"kind": "regression", "unit": "1", "loss": None, "tail": "fat"},
    "target_m": {"kind": "regression", "unit": "1", "loss": None, "tail": "normal"},
    "target_t": {"kind": "regression", "unit": "1", "loss": "student_t", "tail": "normal"},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in losses."""
    return load_registry()


def chosen(registry: Registry, **losses: Any) -> list[TargetSpec]:
    """Specs of the four targets with these losses by target."""
    config = ModelConfig(targets=list(STORE), losses={f"target_{name}": loss for name, loss in losses.items()})
    return choose_targets(config.targets, STORE, config, registry)


def test_a_spec_says_what_its_head_forecasts(registry: Registry) -> None:
    """M1: outputs, levels and likelihood follow the loss and its options."""
    found = chosen(registry, q={"name": "quantile", "levels": [0.05, 0.5, 0.75, 0.95]}, b="focal", m="gaussian")
    assert [(spec.loss, spec.outputs, spec.levels, spec.likelihood) for spec in found] == [
        ("focal", 1, [], False),
        ("quantile", 4, [0.05, 0.5, 0.75, 0.95], False),
        ("gaussian", 2, [0.1, 0.5, 0.9], True),
        ("student_t", 3, [0.1, 0.5, 0.9], True),
    ]
    assert found[1].loss_options == {"levels": [0.05, 0.5, 0.75, 0.95]}
    restored = TargetSpec.model_validate_json(found[1].model_dump_json())
    assert restored == found[1]


@pytest.mark.parametrize(
    ("loss", "message", "hint"),
    [
        ({"name": "quantile", "levels": [0.1, 0.9]}, "0.5 must be among them", "levels"),
        ({"name": "quantile", "levels": "wide"}, "not a list of numbers", "levels"),
        ({"name": "gaussian", "levels": [0.9, 0.1]}, "they must rise", "levels, min_scale"),
    ],
)
def test_levels_that_make_no_sense_are_refused_before_anything_is_made(
    registry: Registry, loss: Any, message: str, hint: str
) -> None:
    """By target and loss, with the options that there are."""
    with pytest.raises(ConfigError, match=message) as caught:
        chosen(registry, q=loss)
    assert caught.value.message.startswith(f"losses.target_q: {loss['name']} cannot be made with")
    assert caught.value.hint == f"its options: {hint}"


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("huber", {"delta": -1}, "delta is -1, not a number above 0"),
        ("huber", {"gamma": 1}, "unexpected keyword argument 'gamma'"),
        ("focal", {"gamma": None}, "gamma is None"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    registry: Registry, loss: str, options: dict[str, Any], message: str
) -> None:
    """The same for losses without levels, when the module is made."""
    kind = "binary" if loss == "focal" else "regression"
    target = TargetSpec(name="target_x", kind=kind, unit="1", loss=loss, loss_options=options)
    with pytest.raises(ConfigError, match=message):
        make_loss(target, registry)


def test_quantiles_stand_behind_the_points_in_the_targets_order(registry: Registry) -> None:
    """M2: points as without quantiles, the binary head's probability corrected; then each head's own quantiles."""
    specs = chosen(registry, q={"name": "quantile", "levels": [0.25, 0.5]})
    specs[0] = specs[0].model_copy(update={"base_rate": {"1h": 0.2}})
    loss = HybridLoss(specs, ["1h"], False, registry)
    random = torch.Generator().manual_seed(0)
    raw = [torch.randn(7, spec.outputs, generator=random) for spec in specs]
    found = loss.forecasts(raw, torch.zeros(7, dtype=torch.long))
    assert found.shape == (7, 4 + 2 + 3)
    assert torch.allclose(found[:, 0], torch.sigmoid(raw[0][:, 0] - torch.tensor(4.0).log()))
    assert torch.equal(found[:, 1], raw[1][:, 1])  # the median is the second of its two outputs
    assert torch.equal(found[:, 2], raw[2][:, 0])
    assert torch.equal(found[:, 3], raw[3][:, 0])
    assert torch.equal(found[:, 5], found[:, 1])
    assert torch.allclose(found[:, 4], raw[1][:, 1] - torch.log1p(raw[1][:, 0].exp()))
    assert torch.allclose(found[:, 7], found[:, 3], atol=1e-6)
    assert torch.allclose(found[:, 8] - found[:, 7], found[:, 7] - found[:, 6], atol=1e-5)
    assert (found[:, 8] > found[:, 7]).all()


def test_a_likelihood_and_quantiles_can_be_trained_beside_others(registry: Registry) -> None:
    """M1: every head has a gradient, and a row without a label has none."""
    specs = chosen(registry, q="quantile", b="focal", m="log_cosh")
    loss = HybridLoss(specs, ["1h"], True, registry)
    random = torch.Generator().manual_seed(1)
    raw = [torch.randn(9, spec.outputs, generator=random, requires_grad=True) for spec in specs]
    labels = torch.randn(9, 4, generator=random)
    labels[:, 0] = (labels[:, 0] > 0).float()
    labels[2] = float("nan")
    total, *_ = loss(raw, labels, torch.zeros(9, dtype=torch.long))
    total.backward()
    for head in raw:
        assert torch.isfinite(head.grad).all()  # type: ignore[arg-type]
        assert (head.grad[2] == 0).all()  # type: ignore[index]
        assert (head.grad.abs().sum(dim=0) > 0).all()  # type: ignore[union-attr]


class Point(nn.Module):
    """A guest's module that forgets `quantiles`."""

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Squared error."""
        return (raw[:, 0] - target) ** 2

    def point(self, raw: Tensor) -> Tensor:
        """The first output."""
        return raw[:, 0]


def test_a_guests_loss_that_names_levels_and_has_no_quantiles(registry: Registry) -> None:
    """Said before a run is made, not after its first epoch."""
    guest = Loss(name="guest", summary="", kinds=("regression",), factory=Point, levels=lambda options: (0.5,))
    provided = {**registry.provided, "loss": {**registry.provided["loss"], "guest": Provided(guest, "mine", "1")}}
    specs = chosen(replace(registry, provided=provided), q="guest")
    with pytest.raises(PluginError, match="guest names quantile levels, and its module has no quantiles"):
        HybridLoss(specs, ["1h"], False, replace(registry, provided=provided))
