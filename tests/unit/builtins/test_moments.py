"""Skewness, kurtosis and tail index against SciPy, exact arithmetic, loops and known distributions."""

from __future__ import annotations

import math

import exact
import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import pytest
import scipy.stats
from builtin_bars import computed, findings, flat_bars, frame, indicator, random_bars

from tftctl.core.errors import ConfigError

BARS = random_bars(500, seed=16)
RETURNS = np.diff(np.log(BARS["close"].to_numpy()), prepend=np.nan)
OTHER = {
    "return_skewness": {"period": 3},
    "return_kurtosis": {"period": 4},
    "vol_skewness": {"period": 3},
    "tail_index": {"period": 40, "k": 5, "tail": "lower"},
}


@pytest.mark.parametrize("name", OTHER)
def test_passes_the_checks_of_plugins(name: str) -> None:
    """First valid bar, settle, causality, scale, short segments, for two sets of parameters."""
    assert findings(name) == []
    assert findings(name, **OTHER[name]) == []


@pytest.mark.parametrize("period", [4, 20, 100])
def test_moments_equal_scipy(period: int) -> None:
    """Population skewness and excess kurtosis of log returns, and skewness of volume."""
    volume = BARS["volume"].to_numpy()
    (skewness,), (kurtosis,), (of_volume,) = (
        computed(BARS, name, period=period).values() for name in ("return_skewness", "return_kurtosis", "vol_skewness")
    )
    for t in range(period, 500):
        window = slice(t - period + 1, t + 1)
        assert skewness[t] == pytest.approx(scipy.stats.skew(RETURNS[window]), rel=1e-9, abs=1e-9)
        assert kurtosis[t] == pytest.approx(scipy.stats.kurtosis(RETURNS[window]), rel=1e-9, abs=1e-9)
        assert of_volume[t] == pytest.approx(scipy.stats.skew(volume[window]), rel=1e-9, abs=1e-9)


def test_kurtosis_equals_a_second_library() -> None:
    """pandas-ta-classic's is the sample's: G2 = (n-1)/((n-2)(n-3)) ((n+1) g2 + 6)."""
    n = 20
    theirs = ta.kurtosis(pd.Series(RETURNS[1:]), length=n).to_numpy()
    mine = computed(BARS, "return_kurtosis")["return_kurtosis"][1:]
    assert exact.difference((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * mine + 6), theirs) <= 1e-9


def test_volume_skewness_is_exact_after_a_spike() -> None:
    """1e12 enters and leaves the window."""
    volume = exact.spiked_volume(160)
    level = np.full(160, 100.0)
    found = computed(frame(level, level, level, level, volume), "vol_skewness")["vol_skewness"]
    for t in range(19, 160):
        _, second, third, _ = exact.moments(volume[t - 19 : t + 1])
        assert found[t] == pytest.approx(float(third) / exact.root(second) ** 3, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", ["return_skewness", "return_kurtosis", "vol_skewness", "tail_index"])
def test_a_market_that_never_moves(name: str) -> None:
    """0/0 is null; one bar has no value."""
    assert np.isnan(computed(flat_bars(400, volume=3.3), name)[name]).all()
    assert np.isnan(computed(flat_bars(1), name)[name]).tolist() == [True]


def hill(sizes: list[float], k: int) -> float:
    """Hill (1975): 1 / mean of ln(X_i / X_(k+1)), i = 1..k; NaN without k + 1 sizes above 0."""
    ranked = sorted(sizes, reverse=True)
    if ranked[k] == 0:
        return math.nan
    return 1 / (math.fsum(math.log(size / ranked[k]) for size in ranked[:k]) / k)


@pytest.mark.parametrize(("period", "k", "tail"), [(250, 12, "absolute"), (60, 6, "lower"), (11, 10, "absolute")])
def test_tail_index_against_a_loop(period: int, k: int, tail: str) -> None:
    """Absolute returns, or losses with gains as 0."""
    (found,) = computed(BARS, "tail_index", period=period, k=k, tail=tail).values()
    sizes = np.abs(RETURNS) if tail == "absolute" else np.maximum(-RETURNS, 0)
    expected = exact.by_loop(500, period, lambda t: hill(list(sizes[t - period + 1 : t + 1]), k))
    assert exact.difference(found, expected) <= 1e-9


@pytest.mark.parametrize("alpha", [2.0, 4.0])
def test_tail_index_finds_the_exponent_of_a_pareto_law(alpha: float) -> None:
    """Log returns with tail probability x^-alpha."""
    rng = np.random.default_rng(8)
    steps = 0.001 * (1 + rng.pareto(alpha, 4000)) * rng.choice([-1, 1], 4000)
    close = 100 * np.exp(np.cumsum(steps - steps.mean()))
    bars = frame(close, close, close, close, np.ones(4000))
    (found,) = computed(bars, "tail_index", period=3999, k=400).values()
    assert found[-1] == pytest.approx(alpha, rel=0.12)


def test_tail_index_is_null_while_losses_are_too_few() -> None:
    """A market that rises has no lower tail: X_(k+1) is 0."""
    close = 100 * np.exp(0.001 * np.arange(120) ** 1.1)
    bars = frame(close, close, close, close, np.ones(120))
    (lower,) = computed(bars, "tail_index", period=50, k=5, tail="lower").values()
    (both,) = computed(bars, "tail_index", period=50, k=5).values()
    assert np.isnan(lower).all()
    assert np.isfinite(both[50:]).all()


def test_tail_must_be_part_of_the_window() -> None:
    """The message names both parameters."""
    with pytest.raises(ConfigError, match=r"k = 50 must be less than period = 50"):
        indicator("tail_index", period=50, k=50)


def test_halted_market_in_the_middle() -> None:
    """Windows of equal returns are null, windows that reach a move have a value."""
    moving = random_bars(60, seed=2)["close"].to_numpy()
    close = np.concatenate((moving, np.full(40, moving[-1])))
    bars = frame(close, close, close, close, np.ones(100))
    for name in ("return_skewness", "return_kurtosis"):
        found = computed(bars, name)[name]
        assert np.isfinite(found[20:79]).all()
        assert np.isnan(found[79:]).all()
