"""Built-in losses against closed forms, and their gradients against differences in float64 (SEMANTICS M1, M2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tftctl.plugins import Registry, load_registry, resolve

SIZE = 40
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("bce", {}),
    ("focal", {}),
    ("focal", {"gamma": 0.0}),
    ("focal", {"gamma": 1.5, "alpha": 0.25}),
    ("mse", {}),
    ("mae", {}),
    ("smooth_l1", {"beta": 0.7}),
    ("huber", {}),
    ("huber", {"delta": 0.4}),
    ("log_cosh", {}),
    ("quantile", {}),
    ("quantile", {"levels": [0.025, 0.1, 0.5, 0.6, 0.975]}),
    ("quantile", {"levels": [0.5]}),
    ("gaussian", {}),
    ("gaussian", {"min_scale": 0.3}),
    ("student_t", {}),
    ("student_t", {"min_scale": 0.1, "levels": [0.01, 0.99]}),
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in losses."""
    return load_registry()


def softplus(x: float) -> float:
    """log(1 + e^x)."""
    return math.log1p(math.exp(x))


def naive_focal(raw: list[float], y: float, weight: float, gamma: float = 2.0, alpha: float | None = None) -> float:
    """As the paper writes it: -alpha_t (1 - p_t)^gamma log p_t."""
    p = 1 / (1 + math.exp(-raw[0]))
    p_t, alpha_t = (p, alpha) if y == 1 else (1 - p, None if alpha is None else 1 - alpha)
    return -(weight if y == 1 else 1.0) * (1.0 if alpha_t is None else alpha_t) * (1 - p_t) ** gamma * math.log(p_t)


def naive_pinball(raw: list[float], y: float, weight: float, levels: Any = (0.1, 0.5, 0.9)) -> float:
    """Each level by itself, its quantile walked to from the median step by step."""
    middle = list(levels).index(0.5)
    total = 0.0
    for place, level in enumerate(levels):
        quantile = raw[middle]
        for step in range(place, middle):
            quantile -= softplus(raw[step])
        for step in range(middle + 1, place + 1):
            quantile += softplus(raw[step])
        total += level * (y - quantile) if y >= quantile else (1 - level) * (quantile - y)
    return total / len(levels)


def naive_huber(raw: list[float], y: float, weight: float, delta: float = 1.0) -> float:
    """Squared inside, linear outside."""
    d = abs(raw[0] - y)
    return 0.5 * d * d if d <= delta else delta * (d - 0.5 * delta)


FORMULAS: dict[str, Callable[..., float]] = {
    "bce": lambda raw, y, w: naive_focal(raw, y, w, gamma=0.0),
    "focal": naive_focal,
    "mse": lambda raw, y, w: (raw[0] - y) ** 2,
    "mae": lambda raw, y, w: abs(raw[0] - y),
    "smooth_l1": lambda raw, y, w, beta: naive_huber(raw, y, w, beta) / beta,
    "huber": naive_huber,
    "log_cosh": lambda raw, y, w: math.log(math.cosh(raw[0] - y)),
    "quantile": naive_pinball,
    "gaussian": lambda raw, y, w, min_scale=0.01, **_: -stats.norm.logpdf(y, raw[0], softplus(raw[1]) + min_scale),
    "student_t": lambda raw, y, w, min_scale=0.01, **_: (
        -stats.t.logpdf(y, 2.01 + softplus(raw[2]), raw[0], softplus(raw[1]) + min_scale)
    ),
}


def make(registry: Registry, name: str, options: dict[str, Any]) -> Any:
    """The module of a loss."""
    return resolve(registry.loss(name).factory)(**options)


def batch(registry: Registry, name: str, options: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Random raw outputs, targets and positive weights in float64."""
    random = torch.Generator().manual_seed(3)
    record = registry.loss(name)
    raw = 1.5 * torch.randn(SIZE, record.outputs(options), generator=random, dtype=torch.float64)
    target = torch.randn(SIZE, generator=random, dtype=torch.float64)
    if record.kinds == ("regression",):
        return raw, target, None
    return raw, (target > 0).double(), 1 + torch.rand(SIZE, generator=random, dtype=torch.float64)


def test_every_built_in_loss_is_here(registry: Registry) -> None:
    """M1: nothing is untested."""
    names = {name for name in registry.names("loss") if registry.find("loss", name).plugin == "builtins.losses"}
    assert names == set(FORMULAS) == {name for name, _ in OPTIONS}


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_loss_equals_its_closed_form(registry: Registry, name: str, options: dict[str, Any]) -> None:
    """M1: row by row, SciPy's densities or a plain formula; M2: a positive weight on positive rows."""
    raw, target, weight = batch(registry, name, options)
    weights = [1.0] * SIZE if weight is None else weight.tolist()
    want = [
        FORMULAS[name](row, y, w, **options)
        for row, y, w in zip(raw.tolist(), target.tolist(), weights, strict=True)
    ]  # fmt: skip
    assert make(registry, name, options)(raw, target, weight).tolist() == pytest.approx(want, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_gradient_equals_differences(registry: Registry, name: str, options: dict[str, Any]) -> None:
    """M1: autograd against finite differences in float64."""
    raw, target, weight = batch(registry, name, options)
    module = make(registry, name, options)
    assert torch.autograd.gradcheck(lambda x: module(x, target, weight), (raw.requires_grad_(),), atol=1e-6)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
@pytest.mark.parametrize("size", [20.0, 1000.0])
def test_losses_survive_extreme_outputs_in_float32(
    registry: Registry, name: str, options: dict[str, Any], size: float
) -> None:
    """M1: loss and gradient stay finite for every combination of signs of the outputs, and labels of +-10."""
    outputs = registry.loss(name).outputs(options)
    raw = size * torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * outputs).reshape(-1, outputs)
    for label in (0.0, 1.0) if "binary" in registry.loss(name).kinds else (-10.0, 10.0):
        given = raw.clone().requires_grad_()
        loss = make(registry, name, options)(given, torch.full((len(raw),), label), None)
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert torch.isfinite(given.grad).all()  # type: ignore[arg-type]


def test_focal_without_gamma_is_cross_entropy(registry: Registry) -> None:
    """M2: with the same positive weights."""
    raw, target, weight = batch(registry, "bce", {})
    focal, bce = make(registry, "focal", {"gamma": 0}), make(registry, "bce", {})
    assert torch.allclose(focal(raw, target, weight), bce(raw, target, weight), rtol=1e-12)


def test_huber_is_smooth_l1_in_other_units(registry: Registry) -> None:
    """M1: delta times smooth_l1 with beta = delta."""
    raw, target, _ = batch(registry, "huber", {})
    huber, smooth = make(registry, "huber", {"delta": 0.3}), make(registry, "smooth_l1", {"beta": 0.3})
    assert torch.allclose(huber(raw, target), 0.3 * smooth(raw, target), rtol=1e-12)


def test_log_cosh_of_an_error_whose_cosh_overflows(registry: Registry) -> None:
    """M1: |d| - log 2 far out, on both sides."""
    found = make(registry, "log_cosh", {})(torch.tensor([[1e6], [-1e6], [0.0]]), torch.zeros(3))
    assert found.tolist() == pytest.approx([1e6, 1e6, 0.0], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "student_t"])
def test_quantiles_of_a_likelihood_are_those_of_its_distribution(registry: Registry, name: str) -> None:
    """M4: the share of the density below each quantile, integrated, is its level."""
    levels = [0.025, 0.1, 0.3, 0.5, 0.95]
    raw, _, _ = batch(registry, name, {"levels": levels})
    module = make(registry, name, {"levels": levels})
    assert registry.loss(name).levels({"levels": levels}) == tuple(levels)
    found = module.quantiles(raw).numpy()
    below = np.array([_below(module, row, values) for row, values in zip(raw[:8], found[:8], strict=True)])
    assert below == pytest.approx(np.tile(levels, (8, 1)), abs=2e-3)
    assert torch.equal(module.point(raw), raw[:, 0])


def _below(module: Any, row: Tensor, quantiles: np.ndarray) -> list[float]:
    """Integrals of exp(-loss) up to each quantile, with tan(u) for the target so that the tails are in."""
    u = torch.linspace(-math.pi / 2, math.pi / 2, 40_002, dtype=torch.float64)[1:-1]
    y = row[0] + module.scale(row[None])[0] * torch.tan(u)
    density = torch.exp(-module(row.expand(y.numel(), -1), y)) * module.scale(row[None])[0] / torch.cos(u) ** 2
    mass = torch.cumsum(density, 0) * (u[1] - u[0])
    return [float(mass[torch.searchsorted(y, float(value)) - 1]) for value in quantiles]


def test_the_pinball_loss_finds_the_quantiles_of_what_it_sees(registry: Registry) -> None:
    """M1: constant outputs trained on skewed labels end at the labels' own quantiles."""
    labels = torch.from_numpy(np.random.default_rng(2).exponential(1.0, 400))
    levels = [0.1, 0.5, 0.9]
    module = make(registry, "quantile", {"levels": levels})
    raw = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=0.03)
    for _ in range(300):
        optimiser.zero_grad()
        module(raw.expand(400, 3), labels).mean().backward()
        optimiser.step()
    assert module.quantiles(raw.detach())[0].tolist() == pytest.approx(np.quantile(labels, levels), abs=0.03)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focal", {"gamma": -1}, "gamma is -1, not a number of at least 0"),
        ("focal", {"gamma": "two"}, "gamma is 'two'"),
        ("focal", {"alpha": 1}, "alpha is 1, not a number between 0 and 1"),
        ("huber", {"delta": 0}, "delta is 0, not a number above 0"),
        ("huber", {"delta": math.inf}, "delta is inf"),
        ("smooth_l1", {"beta": True}, "beta is True"),
        ("quantile", {"levels": [0.1, 0.9]}, "0.5 must be among them"),
        ("quantile", {"levels": [0.5, 0.5]}, "they must rise"),
        ("quantile", {"levels": [0.0, 0.5]}, "between 0 and 1"),
        ("quantile", {"levels": []}, "not a list of numbers"),
        ("quantile", {"levels": 0.5}, "not a list of numbers"),
        ("gaussian", {"levels": [0.9, 0.1]}, "they must rise"),
        ("gaussian", {"min_scale": 0}, "min_scale is 0"),
        ("student_t", {"levels": ["low", 0.5]}, "not a list of numbers"),
    ],
)
def test_options_that_make_no_sense(registry: Registry, name: str, options: dict[str, Any], message: str) -> None:
    """One line that says what is wrong."""
    with pytest.raises(ValueError, match=message):
        make(registry, name, options)
    if "levels" in options:
        with pytest.raises(ValueError, match=message):
            registry.loss(name).levels(options)


def test_outputs_and_levels_follow_the_options(registry: Registry) -> None:
    """M1: a quantile head needs one output per level, a likelihood as many as it has parameters."""
    found = {
        name: (registry.loss(name).outputs(options), registry.loss(name).levels(options))
        for name, options in (("quantile", {"levels": [0.05, 0.5, 0.8, 0.95]}), ("gaussian", {}), ("student_t", {}))
    }
    assert found == {
        "quantile": (4, (0.05, 0.5, 0.8, 0.95)),
        "gaussian": (2, (0.1, 0.5, 0.9)),
        "student_t": (3, (0.1, 0.5, 0.9)),
    }
    likelihoods = {name for name in registry.names("loss") if registry.loss(name).likelihood}
    assert likelihoods >= {"gaussian", "student_t"} and not likelihoods & {"quantile", "mse", "bce"}
