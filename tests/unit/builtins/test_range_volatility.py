"""Volatility from open, high, low and close against loops over the published formulas, and on a known diffusion."""

from __future__ import annotations

import math
import statistics

import exact
import numpy as np
import polars as pl
import pytest
from builtin_bars import computed, findings, flat_bars, frame, random_bars

WALK = random_bars(400, seed=15)
HIGH, LOW, CLOSE = ([float(value) for value in WALK[name]] for name in ("high", "low", "close"))
# opens that jump away from the close before, so that the overnight part is not nothing
OPEN = [min(max(value * math.exp(0.003 * math.sin(i)), LOW[i]), HIGH[i]) for i, value in enumerate(WALK["open"])]
BARS = WALK.with_columns(open=pl.Series(OPEN))
NAMES = ["parkinson_volatility", "garman_klass_volatility", "rogers_satchell_volatility", "yang_zhang_volatility"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("period", [20, 2])
def test_passes_the_checks_of_plugins(name: str, period: int) -> None:
    """First valid bar, settle, causality, scale, short segments."""
    assert findings(name, period=period) == []


def parkinson(t: int, n: int) -> float:
    """Parkinson (1980), equation for the variance of the extreme value method."""
    return math.sqrt(math.fsum(math.log(HIGH[i] / LOW[i]) ** 2 for i in window(t, n)) / (4 * n * math.log(2)))


def garman_klass(t: int, n: int) -> float:
    """Garman and Klass (1980), the practical estimator: 0.5 [ln H/L]^2 - (2 ln 2 - 1) [ln C/O]^2."""
    terms = (
        0.5 * (math.log(HIGH[i]) - math.log(LOW[i])) ** 2
        - (2 * math.log(2) - 1) * (math.log(CLOSE[i]) - math.log(OPEN[i])) ** 2
        for i in window(t, n)
    )
    return math.sqrt(math.fsum(terms) / n)


def rogers_satchell_variance(t: int, n: int) -> float:
    """Rogers and Satchell (1991): u (u - c) + d (d - c) with u, d, c = ln H/O, ln L/O, ln C/O."""
    total = []
    for i in window(t, n):
        u, d, c = (math.log(price[i] / OPEN[i]) for price in (HIGH, LOW, CLOSE))
        total.append(u * (u - c) + d * (d - c))
    return math.fsum(total) / n


def yang_zhang(t: int, n: int) -> float:
    """Yang and Zhang (2000): V_o + k V_c + (1 - k) V_rs, k = 0.34 / (1.34 + (n + 1)/(n - 1))."""
    overnight = statistics.variance([math.log(OPEN[i] / CLOSE[i - 1]) for i in window(t, n)])
    inside = statistics.variance([math.log(CLOSE[i] / OPEN[i]) for i in window(t, n)])
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    return math.sqrt(overnight + k * inside + (1 - k) * rogers_satchell_variance(t, n))


def window(t: int, n: int) -> range:
    """The last n bars."""
    return range(t - n + 1, t + 1)


@pytest.mark.parametrize("n", [2, 20, 55])
def test_equals_the_published_formula(n: int) -> None:
    """First valid bar included: Yang and Zhang need one close before the window."""
    expected = {
        "parkinson_volatility": exact.by_loop(400, n - 1, lambda t: parkinson(t, n)),
        "garman_klass_volatility": exact.by_loop(400, n - 1, lambda t: garman_klass(t, n)),
        "rogers_satchell_volatility": exact.by_loop(400, n - 1, lambda t: math.sqrt(rogers_satchell_variance(t, n))),
        "yang_zhang_volatility": exact.by_loop(400, n, lambda t: yang_zhang(t, n)),
    }
    for name, reference in expected.items():
        (found,) = computed(BARS, name, period=n).values()
        assert exact.difference(found, reference) <= 1e-11, name


@pytest.mark.parametrize(("name", "bias"), [(name, 0.06) for name in NAMES])
def test_finds_the_volatility_of_a_known_diffusion(name: str, bias: float) -> None:
    """A Brownian motion of 500 steps a bar; the extremes of a discrete path lie a little inside, hence the bias."""
    rng = np.random.default_rng(3)
    steps = 0.02 / math.sqrt(500) * rng.standard_normal((1500, 500))
    path = np.exp(np.cumsum(steps.ravel())).reshape(1500, 500)
    opens = np.concatenate(([1.0], path[:-1, -1]))
    high, low = np.maximum(opens, path.max(axis=1)), np.minimum(opens, path.min(axis=1))
    bars = frame(opens, high, low, path[:, -1], np.ones(1500))
    (found,) = computed(bars, name, period=1499).values()
    assert found[-1] == pytest.approx(0.02, rel=bias)


def test_yang_zhang_counts_jumps_between_bars() -> None:
    """Flat bars whose level jumps: the range estimators see nothing, Yang and Zhang the deviation of the jumps."""
    level = np.exp(np.cumsum(0.01 * np.random.default_rng(4).standard_normal(100)))
    bars = frame(level, level, level, level, np.ones(100))
    for name in NAMES[:3]:
        np.testing.assert_array_equal(computed(bars, name)[name][19:], 0.0)
    found = computed(bars, "yang_zhang_volatility")["yang_zhang_volatility"]
    for t in range(20, 100):
        assert found[t] == pytest.approx(np.std(np.diff(np.log(level))[t - 20 : t], ddof=1), rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_market_that_never_moves(name: str) -> None:
    """Volatility 0; one bar has no value."""
    np.testing.assert_array_equal(computed(flat_bars(60), name)[name][20:], 0.0)
    assert np.isnan(computed(flat_bars(1), name)[name]).all()
