"""Which fits are trusted, what stands in for the others, and markets in which there is nothing to fit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from garch_markets import NAMES, log_returns, naive_variances, run, simulated
from tftctl_garch import fitting
from tftctl_garch.models import MODELS
from tftctl_garch.settings import RefitParams

pytestmark = pytest.mark.usefixtures("forgotten_fits")


def plant(monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, np.ndarray | None], Any]) -> None:
    """Let `fault` replace what arch returns, by the number of the call and the honest answer."""
    honest = fitting.arch_parameters
    calls = iter(range(10**6))
    monkeypatch.setattr(fitting, "arch_parameters", lambda *given: fault(next(calls), honest(*given)))


# in units of the window: a wild variance, one far too small, no numbers, none, and one that looks plausible
BAD = {
    "wild": np.array([0.0, 0.9, 1.0, 0.0]),
    "tiny": np.array([0.0, 1e-9, 0.0, 0.6]),
    "nan": np.full(4, math.nan),
    "none": None,
    "explosive": np.array([0.0, 0.001, 0.3, 0.9]),
    "shifted": np.array([3.0, 0.05, 0.05, 0.9]),
}


@pytest.mark.parametrize("fault", sorted(BAD))
def test_a_bad_fit_falls_back_to_the_last_good_one(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    close = simulated(299)
    window = fitting.window_of(log_returns(close)[1:120])
    assert window is not None
    first = fitting.fit(MODELS["garch"], window)
    assert first is not None
    fitting._remembered_fit.cache_clear()
    plant(monkeypatch, lambda number, honest: honest if number == 0 else BAD[fault])
    found, returns = run("garch", close), log_returns(close)
    for begin, end in [(120, 180), (180, 240), (240, 299)]:
        past = returns[max(1, begin - 200) : begin]
        expected = naive_variances("garch", returns[begin - past.size : end], first, float(past.var()))
        np.testing.assert_allclose(found["now"][begin:end] ** 2, expected[past.size : -1], rtol=1e-5)


@pytest.mark.parametrize("fault", sorted(BAD))
def test_bad_fits_before_any_good_one_give_null(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lambda number, honest: honest if number >= 2 else BAD[fault])
    found = run("garch", simulated(299))
    assert np.isnan(found["next"][:180]).all()
    assert np.isfinite(found["next"][180:]).all()


def test_parameters_grow_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lambda number, honest: honest if number == 0 else None)
    found = run("garch", simulated(600))
    valid = np.flatnonzero(np.isfinite(found["now"]))
    assert (valid[0], valid[-1]) == (120, 120 + 5 * 60 - 1)


def test_a_worse_fit_than_the_last_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plausible, better than a constant variance, worse than what was there."""
    close = simulated(2600, seed=8)
    poor = np.array([0.0, 0.3, 0.2, 0.5])
    params = RefitParams(fit_window=1200, refit_every=1000, min_fit=1000)
    window = fitting.window_of(log_returns(close)[800:2000])
    assert window is not None
    theta = MODELS["garch"].rescale(poor, math.sqrt(window.variance))
    assert fitting.likelihood(MODELS["garch"], theta, window) > fitting.constant_likelihood(window)
    honest = run("garch", close, params)
    fitting._remembered_fit.cache_clear()
    plant(monkeypatch, lambda number, found: found if number == 0 else poor)
    kept = run("garch", close, params)
    np.testing.assert_array_equal(kept["now"][1000:2000], honest["now"][1000:2000])
    assert np.median(np.abs(kept["now"][2000:] / honest["now"][2000:] - 1)) < 0.05


def test_a_suspect_fit_is_tried_from_another_start(monkeypatch: pytest.MonkeyPatch) -> None:
    window = fitting.window_of(log_returns(simulated(1000))[1:])
    assert window is not None
    honest = fitting.fit(MODELS["egarch"], window)
    assert honest is not None
    fitting._remembered_fit.cache_clear()
    starts: list[np.ndarray] = []
    arch_parameters = fitting.arch_parameters

    def stuck_once(model: Any, returns: np.ndarray, start: np.ndarray) -> Any:
        starts.append(start)
        return np.array([0.0, 0.4, 0.0, 0.0, 0.5]) if len(starts) == 1 else arch_parameters(model, returns, start)

    monkeypatch.setattr(fitting, "arch_parameters", stuck_once)
    assert fitting.fit(MODELS["egarch"], window) == pytest.approx(honest, abs=0.02)
    assert len(starts) == 2 and not np.array_equal(*starts)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_bounded(name: str) -> None:
    """Returns without any clustering say nothing about beta: arch alone ends anywhere between 0 and 1."""
    for seed in range(4):
        window = fitting.window_of(0.01 * np.random.default_rng(seed).standard_normal(600))
        assert window is not None
        theta = fitting.fit(MODELS[name], window)
        if theta is not None:
            assert 0.5 <= theta[3 if name == "garch" else 4] <= 0.999
            assert name != "egarch" or abs(theta[3]) <= theta[2] + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_returns_of_any_size_are_fitted_alike(name: str) -> None:
    """Hourly exchange rates move by 0.05 percent a bar, where arch on percent returns stops short."""
    params = RefitParams(fit_window=1500, refit_every=300, min_fit=1500)
    large, small = (run(name, simulated(1900, scale=scale), params) for scale in (1.0, 0.05))
    valid = np.isfinite(large["next"])
    np.testing.assert_allclose(small["next"][valid] / 0.05, large["next"][valid], rtol=5e-3)


HALTED = np.where(np.arange(600) % 3 == 0, 1.0, 0.0)
STILL = {
    "flat": np.full(600, 42.0),
    "steady growth": 42.0 * 1.001 ** np.arange(600),
    "mostly halted": 42.0 * np.exp(0.01 * np.cumsum(HALTED * np.random.default_rng(1).standard_normal(600))),
    "no price": np.zeros(600),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("market", sorted(STILL))
def test_a_still_market_gives_null(name: str, market: str, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(name, STILL[market])
    assert all(np.isnan(values).all() for values in found.values())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_halt_gives_null_in_time_and_then_values_again(name: str) -> None:
    close = simulated(1200)
    close[400:800] = close[399]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(name, close)
    # the refit at 660 is the first whose window 460..659 has no move at all
    assert np.isfinite(found["next"][120:600]).all()
    assert np.isnan(found["next"][660:840]).all()
    assert np.isfinite(found["next"][960:]).all()
    assert (found["next"][960:] < 0.1).all()
