"""The network against pytorch-forecasting's own (DESIGN 6), its shapes, and what it may not see (SEMANTICS S1, A3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data.encoders import MultiNormalizer, NaNLabelEncoder, TorchNormalizer
from pytorch_forecasting.metrics import MAE, MultiLoss
from torch import Tensor
from training_world import prepare

from tftctl.core.config.model import ModelConfig
from tftctl.core.workspace import Workspace
from tftctl.model.network import ForecastNetwork, NetworkShape, real_names
from tftctl.model.resampling import Resampling
from tftctl.train.checkpoint import network_shape

pytestmark = pytest.mark.filterwarnings("ignore:Attribute '(loss|logging_metrics)'", "ignore:The given NumPy array")

ENCODER = 7
REALS = ("a", "b", "values", "type")  # two of them are attributes of torch modules
KNOWN = (1, 3)


def shape(**values: Any) -> NetworkShape:
    """A small network."""
    given: dict[str, Any] = {
        "reals": REALS,
        "known": KNOWN,
        "symbols": 3,
        "periods": 2,
        "static": ("symbol", "period"),
        "varying": (),
        "outputs": (1, 1),
        "encoder_length": ENCODER,
        "hidden_size": 8,
        "hidden_continuous_size": 4,
        "lstm_layers": 1,
        "dropout": 0.1,
        "attention_head_size": 2,
    }
    return NetworkShape(**(given | values))


def network(seed: int = 0, **values: Any) -> ForecastNetwork:
    """A network in evaluation mode, its weights drawn by seed."""
    torch.manual_seed(seed)
    return ForecastNetwork(shape(**values)).eval()


def batch(size: int = 5, encoder: int = ENCODER, reals: int = len(REALS), seed: int = 1) -> dict[str, Tensor]:
    """Random windows."""
    random = torch.Generator().manual_seed(seed)
    return {
        "encoder": torch.randn(size, encoder, reals, generator=random),
        "decoder": torch.randn(size, 1, reals, generator=random),
        "codes": torch.stack(
            [torch.randint(0, 3, (size,), generator=random), torch.randint(0, 2, (size,), generator=random)], dim=1
        ),
    }


@pytest.mark.parametrize("outputs", [(1,), (3,), (1, 1), (1, 3, 1, 2)], ids=["one", "one-wide", "two", "mixed"])
def test_there_is_one_output_per_target(outputs: tuple[int, ...]) -> None:
    """(B, outputs) per target, whatever their number, also for a batch of one."""
    made = network(outputs=outputs)
    for size in (1, 5):
        assert [tuple(head.shape) for head in made(batch(size))] == [(size, width) for width in outputs]


@pytest.mark.parametrize(
    "values",
    [
        {"known": ()},
        {"static": (), "varying": ("symbol", "period")},
        {"static": ("symbol",), "varying": ("period",)},
        {"static": ("symbol",), "varying": ()},
        {"symbols": 1, "periods": 1},
        {"lstm_layers": 2},
        {"hidden_continuous_size": 8},
        {"reals": ("a",), "known": (0,)},
        {"encoder_length": 1},
    ],
    ids=lambda values: "-".join(values),
)
def test_every_shape_computes_and_learns(values: dict[str, Any]) -> None:
    """A forward and a backward pass without NaN, for the corners of the configuration."""
    made = network(**values).train()
    given = batch(4, made.shape.encoder_length, len(made.shape.reals))
    if made.shape.symbols == 1:
        given["codes"].zero_()
    total = sum(head.square().sum() for head in made(given))
    total.backward()  # type: ignore[union-attr]
    gradients = [parameter.grad for parameter in made.parameters() if parameter.grad is not None]
    assert len(gradients) > 50
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_a_row_does_not_depend_on_the_others_of_its_batch() -> None:
    """Evaluation: windows together or alone give the same forecast (to rounding)."""
    made, given = network(), batch(6)
    together = made(given)
    for row in range(6):
        alone = made({name: value[row : row + 1] for name, value in given.items()})
        for one, all_of_them in zip(alone, together, strict=True):
            assert torch.allclose(one[0], all_of_them[row], atol=1e-6)


def test_decoder_unknowns_are_never_read() -> None:
    """S1, A3: garbage in the decoder's unknown columns changes nothing; a known column does."""
    made, given = network(), batch()
    want = made(given)
    unknown = [number for number in range(len(REALS)) if number not in KNOWN]
    poisoned = {**given, "decoder": given["decoder"].clone()}
    poisoned["decoder"][..., unknown] = torch.nan
    for got, head in zip(made(poisoned), want, strict=True):
        assert torch.equal(got, head)
    poisoned["decoder"][..., KNOWN[0]] += 1
    assert not torch.allclose(made(poisoned)[0], want[0])


@pytest.mark.parametrize("where", ["encoder", "symbol", "period"])
def test_everything_else_is_read(where: str) -> None:
    """A network that ignored a whole input would pass the test above."""
    made, given = network(), batch()
    want = made(given)
    changed = {name: value.clone() for name, value in given.items()}
    if where == "encoder":
        changed["encoder"][:, 0, 0] += 3  # the oldest row
    else:
        column = ("symbol", "period").index(where)
        changed["codes"][:, column] = (changed["codes"][:, column] + 1) % 2
    assert not torch.allclose(made(changed)[0], want[0], atol=1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_two_periods_are_told_apart_whatever_the_seed(seed: int) -> None:
    """A LayerNorm leaves only a sign of an embedding of one or two numbers, in half of the seeds the same for both."""
    made, given = network(seed), batch(64)
    changed = {**given, "codes": torch.stack([given["codes"][:, 0], 1 - given["codes"][:, 1]], dim=1)}
    assert (made(changed)[0] - made(given)[0]).abs().max() > 1e-3


def test_names_of_features_may_be_attributes_of_torch_modules() -> None:
    """F1: they are prefixed inside the network."""
    assert real_names(["type", "a"]) == ["x_type", "x_a"]
    assert list(network().tft.encoder_variables) == real_names(REALS)
    assert network().tft.decoder_variables == real_names([REALS[number] for number in KNOWN])


def test_the_configuration_gives_the_shape(market: Workspace) -> None:
    """Inputs and missing flags in the order of the batch; known ones by number; an output per target."""
    spec = prepare(market).spec
    made = network_shape(ModelConfig(hidden_size=64, max_encoder_length=96), spec)
    assert made.reals == tuple(spec.reals)
    assert (made.symbols, made.periods, made.outputs) == (3, 2, (1, 1, 1))
    assert (made.encoder_length, made.hidden_continuous_size, made.varying) == (spec.encoder_length, 16, ())
    varying = network_shape(ModelConfig(static_categoricals=["symbol"], hidden_size=8), spec)
    assert (varying.static, varying.varying, varying.hidden_continuous_size) == (("symbol",), ("period",), 8)


def reference_set(targets: list[str]) -> TimeSeriesDataSet:
    """pytorch-forecasting's own data set of random windows, on its own scales."""
    rng = np.random.default_rng(3)
    size = 20
    frame = pd.concat(
        pd.DataFrame(
            {
                "c_symbol": symbol,
                "c_period": period,
                "time": np.arange(size),
                **{name: rng.standard_normal(size) for name in real_names(REALS)},
                **{name: rng.standard_normal(size) for name in targets},
            }
        )
        for symbol in ("A", "B", "C")
        for period in ("1h", "4h", "1d")
    ).reset_index(drop=True)
    several = len(targets) > 1
    identity = TorchNormalizer(method="identity", center=False)
    reals = real_names(REALS)
    return TimeSeriesDataSet(
        frame,
        time_idx="time",
        target=targets if several else targets[0],
        group_ids=["c_symbol", "c_period"],
        static_categoricals=["c_symbol", "c_period"],
        time_varying_known_reals=[reals[number] for number in KNOWN],
        time_varying_unknown_reals=[name for number, name in enumerate(reals) if number not in KNOWN],
        min_encoder_length=ENCODER,
        max_encoder_length=ENCODER,
        max_prediction_length=1,
        categorical_encoders={name: NaNLabelEncoder() for name in ("c_symbol", "c_period")},
        target_normalizer=MultiNormalizer([identity] * len(targets)) if several else identity,
        allow_missing_timesteps=False,
    )


@pytest.mark.parametrize("targets", [["y1"], ["y1", "y2"]])
def test_the_forecast_is_that_of_pytorch_forecastings_own_network(targets: list[str]) -> None:
    """Made by `from_dataset` and fed by its own loader, with the same weights: the same numbers."""
    data = reference_set(targets)
    loss: Any = MultiLoss([MAE(), MAE()]) if len(targets) > 1 else MAE()
    torch.manual_seed(5)
    theirs = TemporalFusionTransformer.from_dataset(
        data, hidden_size=8, hidden_continuous_size=4, attention_head_size=2, lstm_layers=1, dropout=0.1, loss=loss,
        output_size=[1] * len(targets) if len(targets) > 1 else 1,
    ).eval()  # fmt: skip
    # their order of the reals: known ones first
    order = [name.removeprefix("x_") for name in theirs.hparams.x_reals]
    assert sorted(order) == sorted(REALS)
    reals = tuple(order)
    ours = network(
        periods=3, reals=reals, known=tuple(reals.index(REALS[number]) for number in KNOWN), outputs=(1,) * len(targets)
    )
    ours.tft.load_state_dict(theirs.state_dict())
    x, _ = next(iter(data.to_dataloader(train=False, batch_size=32)))
    given = {"encoder": x["encoder_cont"], "decoder": x["decoder_cont"], "codes": x["encoder_cat"][:, 0]}
    with torch.inference_mode():
        found, want = ours(given), theirs(x)["prediction"]
    for mine, head in zip(found, want if len(targets) > 1 else [want], strict=True):
        assert mine.shape == (32, 1)
        assert torch.allclose(mine, head[:, 0], atol=1e-6)


def test_the_same_seed_gives_the_same_weights() -> None:
    """And another seed others."""
    first, second, third = (network(seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert any(not torch.equal(value, third[name]) for name, value in first.items())


@pytest.mark.parametrize(("taken", "given"), [(4, 8), (16, 128), (3, 7), (8, 3), (1, 5), (5, 1)])
def test_an_interpolation_is_the_same_as_a_product(taken: int, given: int) -> None:
    """NumPy's linear interpolation, the ends on the ends; the product is what a GPU computes, gradients included."""
    rows = torch.randn(2, 3, taken, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    resampling = Resampling(taken, given).double()
    places = np.linspace(0, taken - 1, given)
    expected = np.apply_along_axis(lambda row: np.interp(places, np.arange(taken), row), -1, rows.detach().numpy())
    gradients = []
    for found in (resampling(rows), resampling.product(rows)):
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)
        gradients.append(torch.autograd.grad((found * torch.arange(given)).sum(), rows)[0])
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-4)


def test_no_interpolation_is_left_to_torchs_kernel_for_gpus() -> None:
    """It is slow there, and its gradient is not the same twice."""
    kinds = {name: type(part) for name, part in network().named_modules() if name.endswith("resample")}
    assert len(kinds) > len(REALS)
    assert set(kinds.values()) == {Resampling}


def test_the_network_knows_where_it_is_after_a_move_of_the_whole() -> None:
    """pytorch-forecasting makes its masks there; Lightning's module learns of its own moves only."""
    assert network().to("meta").tft.device == torch.device("meta")
