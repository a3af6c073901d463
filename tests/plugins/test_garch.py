"""Volatility of the GARCH family: the filter, the schedule of refits, and what may not leak or break."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
import tftctl_garch
from pydantic import ValidationError
from tftctl_garch import filters, fitting, tftctl_indicators
from tftctl_garch.models import MODELS
from tftctl_garch.rolling import conditional_volatility, refit_bars
from tftctl_garch.settings import RefitParams, settle

from tftctl.core.config.features import IndicatorEntry
from tftctl.core.registry import Provided, Registry
from tftctl.features.definitions import resolve_indicators
from tftctl.features.engine import compute_features
from tftctl.testing import check_indicator

NAMES = ("garch", "egarch", "aparch")
RECORDS = {record.name: record for record in tftctl_indicators()}
SMALL = RefitParams(fit_window=200, refit_every=60, min_fit=120)
THETA = {
    "garch": np.array([0.0004, 2e-6, 0.08, 0.9]),
    "egarch": np.array([0.0004, -0.3, 0.15, -0.05, 0.965]),
    "aparch": np.array([0.0004, 3e-5, 0.07, 0.4, 0.91, 1.3]),
}


@pytest.fixture(autouse=True)
def forgotten_fits() -> Iterator[None]:
    """No test sees fits of another one, least of all planted ones."""
    fitting._remembered_fit.cache_clear()
    yield
    fitting._remembered_fit.cache_clear()


def simulated(size: int, seed: int = 3, scale: float = 1.0) -> np.ndarray:
    """Closes of a GARCH(1,1) market with a leverage effect."""
    rng = np.random.default_rng(seed)
    variance, log_price = 1e-4, np.zeros(size)
    for t in range(1, size):
        shock = math.sqrt(variance) * rng.standard_normal()
        variance = 2e-6 + 0.05 * shock**2 + 0.08 * shock**2 * (shock < 0) + 0.88 * variance
        log_price[t] = log_price[t - 1] + shock * scale
    return 100 * np.exp(log_price)


def run(name: str, close: np.ndarray, params: RefitParams = SMALL, first_bar: int = 0) -> dict[str, np.ndarray]:
    """The kernel on one segment, columns by `next`, `now` and `residual`."""
    bars = {"close": close, "bar_index": np.arange(first_bar, first_bar + close.size, dtype=float)}
    return {key.rpartition("_")[2]: values for key, values in conditional_volatility(name, bars, params).items()}


def log_returns(close: np.ndarray) -> np.ndarray:
    return np.concatenate(([math.nan], np.diff(np.log(close))))


def naive_variances(name: str, returns: np.ndarray, theta: np.ndarray, initial: float) -> list[float]:
    """The textbook recursions, one float after the other."""
    mu, omega, alpha, *rest = (float(value) for value in theta)
    found = []
    if name == "garch":
        (beta,) = rest
        variance = omega + alpha * initial + beta * initial
        for r in returns:
            found.append(variance)
            variance = omega + alpha * (r - mu) ** 2 + beta * variance
    elif name == "egarch":
        gamma, beta = rest
        variance = math.exp(omega + beta * math.log(initial))
        for r in returns:
            found.append(variance)
            z = (r - mu) / math.sqrt(variance)
            logarithm = omega + alpha * (abs(z) - math.sqrt(2 / math.pi)) + gamma * z + beta * math.log(variance)
            variance = math.exp(logarithm)
    else:
        gamma, beta, delta = rest
        variance = (omega + (alpha + beta) * math.sqrt(initial) ** delta) ** (2 / delta)
        for r in returns:
            found.append(variance)
            shock = abs(r - mu) - gamma * (r - mu)
            variance = (omega + alpha * shock**delta + beta * math.sqrt(variance) ** delta) ** (2 / delta)
    return [*found, variance]


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


@pytest.mark.parametrize("name", NAMES)
def test_columns_equal_a_loop_over_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "fit", lambda model, window: THETA[name])
    close = simulated(520)
    returns, found = log_returns(close), run(name, close, first_bar=35)
    refits = [at for at in range(520) if at == 120 or (at > 120 and (at + 35) % 60 == 0)]
    for begin, end in zip(refits, [*refits[1:], 520], strict=True):
        past = returns[max(1, begin - 200) : begin]
        variance = naive_variances(name, np.concatenate((past, returns[begin:end])), THETA[name], float(past.var()))
        sigma = np.sqrt(variance[past.size :])
        np.testing.assert_allclose(found["now"][begin:end], sigma[:-1], rtol=1e-6)
        np.testing.assert_allclose(found["next"][begin:end], sigma[1:], rtol=1e-6)
        residual = (returns[begin:end] - THETA[name][0]) / sigma[:-1]
        np.testing.assert_allclose(found["residual"][begin:end], residual, rtol=1e-5, atol=1e-8)
    assert all(np.isnan(values[:120]).all() for values in found.values())


def test_no_fit_sees_its_refit_bar_or_later(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def record(model: Any, window: fitting.Window) -> np.ndarray:
        seen.append(window.returns)
        return THETA["garch"]

    monkeypatch.setattr(fitting, "fit", record)
    close = simulated(700)
    run("garch", close, first_bar=137)
    refits = [120, *(at for at in range(121, 700) if (at + 137) % 60 == 0)]
    assert len(seen) == len(refits) == 10
    for begin, given in zip(refits, seen, strict=True):
        expected = log_returns(close)[max(1, begin - 200) : begin]
        assert given.shape == expected.shape
        np.testing.assert_allclose(given, expected, atol=0.51e-8)


def test_refit_bars_are_numbers_of_the_group() -> None:
    params = RefitParams(fit_window=200, refit_every=60, min_fit=120)
    whole = {at + 1000 for at in refit_bars(1000, 900, params)}
    later = {at + 1217 for at in refit_bars(1217, 683, params)}
    assert {bar for bar in later if bar > 1217 + 120} == {bar for bar in whole if bar > 1217 + 120}
    assert min(later) == 1217 + 120
    assert refit_bars(0, 120, params) == []
    assert refit_bars(7, 121, params) == [120]


@pytest.mark.parametrize("name", NAMES)
def test_a_future_spike_changes_nothing_before(name: str) -> None:
    close = simulated(700)
    spiked = close.copy()
    spiked[433] /= 5
    before, after, cut = run(name, close), run(name, spiked), run(name, close[:433])
    for key in before:
        assert np.array_equal(before[key][:433], after[key][:433], equal_nan=True)
        assert np.array_equal(before[key][:433], cut[key], equal_nan=True)
    assert after["next"][433] > before["next"][433]
    assert after["residual"][433] < -20
    assert after["now"][433] == before["now"][433]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [1, 59, 130])
def test_an_update_from_the_tail_gives_the_same_bits(name: str, start: int) -> None:
    close = simulated(900)
    whole, tail = run(name, close), run(name, close[start:], first_bar=start)
    for key in whole:
        assert np.array_equal(whole[key][start + settle(SMALL) :], tail[key][settle(SMALL) :])
        assert np.isfinite(tail[key][settle(SMALL) :]).all()


def test_again_with_forgotten_fits_gives_the_same_bits() -> None:
    close = simulated(500)
    once = run("aparch", close)
    fitting._remembered_fit.cache_clear()
    assert all(np.array_equal(values, once[key], equal_nan=True) for key, values in run("aparch", close).items())
    assert fitting._remembered_fit.cache_info().misses > 5


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


@pytest.mark.parametrize("size", [1, 2, 119, 120, 121, 122])
def test_short_segments(size: int) -> None:
    found = run("egarch", simulated(size))
    assert [int(np.isfinite(values).sum()) for values in found.values()] == [max(0, size - 120)] * 3


def test_segments_begin_anew() -> None:
    """Through the engine, with a gap: no fit reaches over it, and the first value comes after min_fit bars."""
    record = RECORDS["garch_volatility"]
    registry = Registry({"indicator": {record.name: Provided(record, "tftctl-garch", "0")}}, {}, (), {})
    entry = IndicatorEntry(name=record.name, **SMALL.model_dump())
    (instance,) = resolve_indicators([entry], registry)
    first, second = simulated(333), simulated(800, seed=9)
    frame = pl.DataFrame(
        {
            "symbol": "AAA",
            "period": "1h",
            "timestamp": pl.int_range(1133, eager=True),
            "segment": [0] * 333 + [1] * 800,
            "bar_index": pl.int_range(1133, eager=True),
            "close": np.concatenate((first, second)),
        }
    )
    made = compute_features(frame, [instance])
    assert made.columns == [f"garch_{what}_200_60_120" for what in ("volatility_next", "volatility_now", "residual")]
    column = made["garch_volatility_next_200_60_120"]
    assert np.flatnonzero(column.is_not_null().to_numpy()).tolist() == [*range(120, 333), *range(453, 1133)]
    alone = run("garch", second, first_bar=333)["next"]
    assert np.array_equal(column.to_numpy()[453:], alone[120:])
    assert instance.memory == settle(SMALL) == 500
    for begin in (300, 470, 901, 1100, 1132):
        assert compute_features(frame, [instance], begin).equals(made.slice(begin))


@pytest.mark.parametrize("name", NAMES)
def test_better_than_an_exponential_mean_on_the_index(name: str) -> None:
    """QLIKE = mean of ln s2 + r2 / s2 out of sample, S&P 500 daily, against RiskMetrics 0.94."""
    from arch.data import sp500

    close = sp500.load()["Close"].to_numpy().astype(float)
    returns = log_returns(close)
    forecast = run(name, close, RefitParams())["next"][499 + 1 : -1] ** 2
    squared = returns[501 + 1 - 1 :][: forecast.size] ** 2
    average = filters.ewma(returns[1:], 0.0, 0.94, float(returns[1:100].var()))[500:][: forecast.size]

    def qlike(variance: np.ndarray) -> float:
        return float(np.mean(np.log(variance) + squared / variance))

    assert forecast.size == 4530
    assert qlike(forecast) < qlike(average) - 0.015


@pytest.mark.parametrize("name", NAMES)
def test_check_passes(name: str) -> None:
    params = RefitParams(fit_window=100, refit_every=130, min_fit=100)
    assert [str(finding) for finding in check_indicator(RECORDS[f"{name}_volatility"], params)] == []


def test_other_libraries_make_other_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their versions are part of the definition, so that columns of older fits become stale."""
    now = RECORDS["garch_volatility"].revision
    assert {record.revision for record in tftctl_indicators()} == {now}
    monkeypatch.setattr(tftctl_garch, "version", lambda name: "99.0")
    assert {record.revision for record in tftctl_indicators()} != {now}


def test_parameters_are_checked() -> None:
    with pytest.raises(ValidationError, match="min_fit 500 is more than fit_window 400"):
        RefitParams(fit_window=400)
    with pytest.raises(ValidationError):
        RefitParams(refit_every=0)
    assert settle(RefitParams()) == 4500
