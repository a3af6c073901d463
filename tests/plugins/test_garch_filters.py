"""The filters of the GARCH family against arch and against loops; likelihoods against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from garch_markets import NAMES, THETA, log_returns, naive_variances, simulated
from tftctl_garch import fitting
from tftctl_garch.models import MODELS

pytestmark = pytest.mark.usefixtures("forgotten_fits")


@pytest.mark.parametrize("name", NAMES)
def test_filter_equals_that_of_arch(name: str) -> None:
    returns, theta, initial = log_returns(simulated(3000))[1:], THETA[name], 1.3e-4
    process = MODELS[name].process()
    theirs = np.empty(returns.size)
    everything = np.column_stack((np.full(returns.size, 1e-12), np.full(returns.size, 1e3)))
    start = process.backcast_transform(initial)
    process.compute_variance(theta[1:], returns - theta[0], theirs, start, everything)
    ours = MODELS[name].filter(returns, theta, initial, 1e-12, 1e3)
    np.testing.assert_allclose(ours[:-1], theirs, rtol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_filter_equals_a_loop(name: str) -> None:
    returns = log_returns(simulated(700))[1:]
    ours = MODELS[name].filter(returns, THETA[name], 2e-4, 1e-12, 1e3)
    np.testing.assert_allclose(ours, naive_variances(name, returns, THETA[name], 2e-4), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_an_outlier_cannot_blow_it_up(name: str) -> None:
    returns = np.full(50, 0.001)
    returns[10] = 30.0
    returns[30:] = THETA[name][0]
    ours = MODELS[name].filter(returns, THETA[name], 1e-4, 2e-5, 1.0)
    assert ours[11] == pytest.approx(1.0, rel=1e-12)
    assert (ours >= 2e-5 * (1 - 1e-12)).all() and (ours <= 1.0 + 1e-12).all()


def test_likelihood_is_that_of_arch() -> None:
    returns = log_returns(simulated(1500))[1:]
    window = fitting.window_of(returns)
    assert window is not None
    unit = window.returns / math.sqrt(window.variance)
    from arch.univariate import GARCH, ConstantMean

    model = ConstantMean(unit, rescale=False)
    model.volatility = GARCH(1, 0, 1)
    theirs = model.fit(disp="off", backcast=1.0)
    theta = MODELS["garch"].rescale(theirs.params.to_numpy(), math.sqrt(window.variance))
    in_these_units = theirs.loglikelihood - returns.size * math.log(math.sqrt(window.variance))
    assert fitting.likelihood(MODELS["garch"], theta, window) == pytest.approx(in_these_units, abs=1e-7)
    assert fitting.fit(MODELS["garch"], window) == pytest.approx(theta, rel=2e-3, abs=1e-6)


def test_baselines_by_their_formulas() -> None:
    window = fitting.window_of(log_returns(simulated(400))[1:])
    assert window is not None
    shocks = window.returns - window.returns.mean()
    constant = sum(-0.5 * (math.log(2 * math.pi * np.var(shocks)) + e**2 / np.var(shocks)) for e in shocks)
    assert fitting.constant_likelihood(window) == pytest.approx(constant, rel=1e-12)
    variance, total = float(np.var(shocks)), 0.0
    for e in shocks:
        total -= 0.5 * (math.log(2 * math.pi * variance) + e**2 / variance)
        variance = 0.94 * variance + 0.06 * e**2
    assert fitting.ewma_likelihood(window) == pytest.approx(total, rel=1e-12)
