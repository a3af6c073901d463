"""A warm start: what goes over by name, and what the report says (issue's item 8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import CompositeConfig, WeightsConfig
from tftctl.data.spec import DataSpec, InputSpec, TargetSpec
from tftctl.plugins import Registry, load_registry
from tftctl.train.checkpoint import CheckpointContent, Course, LoadedCheckpoint, Progress
from tftctl.train.module import ForecastModule
from tftctl.train.setup import make_module
from tftctl.train.transplant import Transplant, transplant
from tftctl.train.warm import with_widths

NAMES = ["a", "b", "c"]
SYMBOLS = ["AAA", "BBB", "CCC"]
TARGETS = ["target_x", "target_y"]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in losses."""
    return load_registry()


def spec(
    names: Sequence[str] = NAMES,
    targets: Sequence[str] = TARGETS,
    symbols: Sequence[str] = SYMBOLS,
    losses: dict[str, str] | None = None,
    **values: Any,
) -> DataSpec:
    """What a network knows of its data; inputs that begin with k are known in advance."""
    made = [
        TargetSpec(name=name, kind="regression", unit="1", loss=(losses or {}).get(name, "mse"),
                   outputs=3 if (losses or {}).get(name) == "quantile" else 1)
        for name in targets
    ]  # fmt: skip
    return DataSpec(
        snapshot=1, encoder_length=5, inputs=[InputSpec(name=n, role="known" if n[0] == "k" else "own") for n in names],
        targets=made, groups=[], symbols=list(symbols), periods=["1h", "4h"], input_mean=[], input_std=[], train_end=0,
        choice_end=0, val_end=0, embargo_ms=0, **values,
    )  # fmt: skip


def config(**values: Any) -> ModelConfig:
    """A tiny network."""
    sizes = {"hidden_size": 8, "attention_head_size": 2, "lstm_layers": 1, "max_encoder_length": 5}
    return ModelConfig(**{**sizes, **values})


def module_of(data: DataSpec, registry: Registry, seed: int, settings: ModelConfig | None = None) -> ForecastModule:
    """A network with weights of its own."""
    torch.manual_seed(seed)
    module = make_module(settings or config(), data, registry)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def trained(data: DataSpec, registry: Registry, settings: ModelConfig | None = None) -> LoadedCheckpoint:
    """A checkpoint of a network on these data."""
    course = Course(stages=[], epochs=1, steps=1, steps_per_epoch=None, schedule_steps=1, lr=0.1, warmup=True)
    content = CheckpointContent(
        run="train-1", run_id="1", config=settings or config(), spec=data, course=course, progress=Progress(),
        weights=WeightsConfig({"a": {"target_x": 1}}), composite=CompositeConfig({}), data_versions={},
    )  # fmt: skip
    state = module_of(data, registry, 1, settings).state_dict()
    return LoadedCheckpoint(Path("x.ckpt"), content, {name: value.clone() for name, value in state.items()}, {})


def started(
    loaded: LoadedCheckpoint, data: DataSpec, registry: Registry, **values: Any
) -> tuple[ForecastModule, dict[str, torch.Tensor], Transplant]:
    """A fresh network after the transplant, its state before, and the report."""
    settings = with_widths(config(**values), loaded)
    module = module_of(data, registry, 2, settings)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    return module, before, transplant(loaded, module, data)


def forecast(module: ForecastModule, data: DataSpec, seed: int = 5) -> list[torch.Tensor]:
    """Raw outputs for random windows of inputs that are named alike in every network."""
    random = torch.Generator().manual_seed(seed)
    columns = {name: torch.randn(6, 5, generator=random) for name in sorted({*NAMES, *data.reals})}
    encoder = torch.stack([columns[name] for name in data.reals], dim=2)
    codes = torch.tensor([[data.symbols.index(name), 1] for name in ("AAA", "CCC", "BBB", "AAA", "CCC", "BBB")])
    module.eval()
    with torch.no_grad():
        return module.network({"encoder": encoder, "decoder": encoder[:, -1:], "codes": codes})


def test_the_same_network_is_loaded_whole(registry: Registry) -> None:
    """Every parameter, and so every forecast."""
    data = spec()
    loaded = trained(data, registry)
    module, _, report = started(loaded, data, registry)
    assert report.loaded == report.parameters
    assert not report.fresh
    old = module_of(data, registry, 1)
    assert all(torch.equal(x, y) for x, y in zip(forecast(module, data), forecast(old, data), strict=True))


def test_names_in_another_order_are_the_same_network(registry: Registry) -> None:
    """Inputs, symbols and targets go by name: the forecasts are equal, in the new order of the heads.

    The joint gates' residual is an interpolation over the inputs in their order, the one part that no weight carries,
    so that it is silenced here.
    """
    data = spec()
    loaded = trained(data, registry)
    for name, value in loaded.state.items():
        if "flattened_grn.resample_norm" in name:
            value.zero_()
    turned = spec(["c", "a", "b"], TARGETS[::-1], ["BBB", "CCC", "AAA"])
    module, _, report = started(loaded, turned, registry)
    assert report.loaded == report.parameters
    old = module_of(data, registry, 1)
    old.load_state_dict(loaded.state)
    for got, want in zip(forecast(module, turned), forecast(old, data)[::-1], strict=True):
        assert torch.allclose(got, want, atol=1e-6)


def test_new_targets_get_new_heads_and_old_ones_keep_theirs(registry: Registry) -> None:
    """Three targets of which one is known: its head and log-variance go over, two are fresh, one is dropped."""
    loaded = trained(spec(), registry)
    loaded.state["loss.log_vars"] = torch.tensor([0.5, -0.5])
    module, before, report = started(loaded, spec(targets=["target_new", "target_y", "target_z"]), registry)
    state = module.state_dict()
    for inner in ("weight", "bias"):
        assert torch.equal(
            state[f"network.tft.output_layer.1.{inner}"], loaded.state[f"network.tft.output_layer.1.{inner}"]
        )
        for place in (0, 2):
            name = f"network.tft.output_layer.{place}.{inner}"
            assert torch.equal(state[name], before[name])
    assert state["loss.log_vars"][1] == -0.5
    heads = [f"network.tft.output_layer.{place}.{inner}" for place in (0, 2) for inner in ("weight", "bias")]
    assert sorted(report.untouched) == sorted(heads)
    assert (report.kept["targets"], report.new["targets"]) == (["target_y"], ["target_new", "target_z"])
    assert report.dropped["targets"] == ["target_x"]


@pytest.mark.parametrize(("before", "after"), [(["target_y"], TARGETS), (TARGETS, ["target_y"])])
def test_one_target_and_several_name_their_heads_differently(
    registry: Registry, before: list[str], after: list[str]
) -> None:
    """pytorch-forecasting has a list of heads for several targets only."""
    loaded = trained(spec(targets=before), registry)
    module, _, _ = started(loaded, spec(targets=after), registry)
    place = f".{after.index('target_y')}" if len(after) > 1 else ""
    was = f".{before.index('target_y')}" if len(before) > 1 else ""
    got = module.state_dict()[f"network.tft.output_layer{place}.weight"]
    assert torch.equal(got, loaded.state[f"network.tft.output_layer{was}.weight"])


def test_new_inputs_get_new_gates_and_old_ones_keep_theirs(registry: Registry) -> None:
    """Each input's own gate and prescaler by name; the joint gates' rows and columns of the inputs that stay."""
    loaded = trained(spec(), registry)
    module, before, report = started(loaded, spec(["a", "new", "c", "kk"]), registry)
    state, tft = module.state_dict(), "network.tft."
    for name in state:
        if ".x_a." in name or ".x_c." in name:
            assert torch.equal(state[name], loaded.state[name]), name
        if ".x_new." in name or ".x_kk." in name:
            assert torch.equal(state[name], before[name]), name
    gates = f"{tft}encoder_variable_selection.flattened_grn."
    width = 8  # numbers of an input: hidden_continuous_size
    got, old, fresh = (group[f"{gates}fc1.weight"] for group in (state, loaded.state, before))
    assert torch.equal(got[:3, :width], old[:, :width])
    assert torch.equal(got[:3, 2 * width : 3 * width], old[:, 2 * width :])
    assert torch.equal(got[:, width : 2 * width], fresh[:, width : 2 * width])
    assert torch.equal(got[3], fresh[3])
    rows, old_rows = state[f"{gates}gate_norm.glu.fc.bias"], loaded.state[f"{gates}gate_norm.glu.fc.bias"]
    assert rows[[0, 2, 4, 6]].tolist() == old_rows[[0, 2, 3, 5]].tolist()
    assert (report.kept["inputs"], report.new["inputs"], report.dropped["inputs"]) == (["a", "c"], ["new", "kk"], ["b"])
    assert any("2 kept, 2 fresh (new, kk), 1 dropped (b)" in line for line in report.lines())


def test_new_symbols_get_new_embeddings_beside_the_old_ones(registry: Registry) -> None:
    """Of the old width, though the rule of thumb would make them wider."""
    loaded = trained(spec(), registry)
    module, before, report = started(loaded, spec(symbols=["AAA", "CCC", *(f"N{n}" for n in range(20))]), registry)
    name = "network.tft.input_embeddings.embeddings.c_symbol.weight"
    got, old = module.state_dict()[name], loaded.state[name]
    assert got.shape == (22, old.shape[1])
    assert torch.equal(got[:2], old[[0, 2]])
    assert torch.equal(got[2:], before[name][2:])
    assert (report.dropped["symbols"], len(report.new["symbols"])) == (["BBB"], 20)


def test_another_loss_keeps_a_head_of_the_same_kind_only(registry: Registry) -> None:
    """A point is a point; three quantiles are none, and the report says why."""
    loaded = trained(spec(), registry)
    loaded.state["loss.log_vars"] = torch.tensor([0.5, 0.7])
    data = spec(losses={"target_x": "smooth_l1", "target_y": "quantile"})
    module, before, report = started(loaded, data, registry)
    # the log-variance of a fresh head is that of its new loss
    assert module.state_dict()["loss.log_vars"].tolist() == [0.5, float(before["loss.log_vars"][1])]
    head = "network.tft.output_layer.{}.weight"
    assert torch.equal(module.state_dict()[head.format(0)], loaded.state[head.format(0)])
    assert torch.equal(module.state_dict()[head.format(1)], before[head.format(1)])
    assert any("target_y: its loss was mse, is quantile" in line for line in report.lines())


def test_a_network_of_another_size_says_so(registry: Registry) -> None:
    """Nothing is squeezed into another shape."""
    loaded = trained(spec(), registry)
    module, before, report = started(loaded, spec(), registry, hidden_size=12)
    assert "hidden_size" in report.fresh["lstm_encoder"]
    assert torch.equal(
        module.state_dict()["network.tft.lstm_encoder.weight_hh_l0"],
        before["network.tft.lstm_encoder.weight_hh_l0"],
    )
    assert report.loaded < report.parameters / 10
