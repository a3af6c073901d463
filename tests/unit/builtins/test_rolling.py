"""Rolling kernels against exact rational arithmetic, NumPy, SciPy and pandas."""

from __future__ import annotations

import math

import exact
import numpy as np
import pandas as pd
import pytest

from tftctl.core import rolling as kernels

SERIES = {
    "60,000 in half ticks": exact.prices_in_half_ticks,
    "pips": exact.pips,
    "1e12 spikes": exact.spiked_volume,
}


def random_values(size: int = 300, seed: int = 2) -> np.ndarray:
    """Standard normal."""
    return np.random.default_rng(seed).standard_normal(size)


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("window", [2, 3, 20, 64])
def test_moments_are_those_of_exact_arithmetic(name: str, window: int) -> None:
    """Mean, deviation, skewness and kurtosis to 1e-12; nothing is left of a spike that has gone."""
    values = SERIES[name](240)
    mean, m2, m3, m4 = kernels.rolling_moments(values, window)
    assert np.isnan([mean, m2, m3, m4])[:, : window - 1].all()
    for t in range(window - 1, values.size):
        first, second, third, fourth = exact.moments(values[t - window + 1 : t + 1])
        assert mean[t] == pytest.approx(float(first), rel=1e-13)
        if second == 0:
            assert (m2[t], m3[t], m4[t]) == (0.0, 0.0, 0.0)
            continue
        deviation = exact.root(second)
        assert math.sqrt(m2[t]) == pytest.approx(deviation, rel=1e-12)
        assert m3[t] / m2[t] ** 1.5 == pytest.approx(float(third) / deviation**3, rel=1e-12, abs=1e-12)
        assert m4[t] / m2[t] ** 2 == pytest.approx(float(fourth) / deviation**4, rel=1e-12)


@pytest.mark.parametrize("name", SERIES)
def test_the_shorter_kernel_equals_the_longer_one(name: str) -> None:
    """Mean and variance alone are those of the four moments."""
    values = SERIES[name](300)
    for short, long in zip(
        kernels.rolling_mean_variance(values, 20), kernels.rolling_moments(values, 20)[:2], strict=True
    ):
        np.testing.assert_array_equal(short, long)


@pytest.mark.parametrize("window", [500, 5000])
def test_long_windows_stay_exact(window: int) -> None:
    """Rounding does not pile up with the window."""
    values = exact.prices_in_half_ticks(window + 700)
    mean, m2, m3, m4 = kernels.rolling_moments(values, window)
    for t in (window - 1, window + 1, values.size - 1):
        first, second, third, fourth = exact.moments(values[t - window + 1 : t + 1])
        deviation = exact.root(second)
        assert mean[t] == pytest.approx(float(first), rel=1e-13)
        assert math.sqrt(m2[t]) == pytest.approx(deviation, rel=1e-12)
        assert m3[t] / m2[t] ** 1.5 == pytest.approx(float(third) / deviation**3, rel=1e-11, abs=1e-11)
        assert m4[t] / m2[t] ** 2 == pytest.approx(float(fourth) / deviation**4, rel=1e-11)


@pytest.mark.parametrize("value", [0.0, 97.3, 1e-8, 61_234.56, 1e12])
def test_equal_values_have_no_deviation(value: float) -> None:
    """Exactly 0, also after lively values, and the mean is the value itself."""
    values = np.concatenate((value * (1 + random_values(37)), np.full(60, value)))
    for mean, variance, *higher in (kernels.rolling_mean_variance(values, 20), kernels.rolling_moments(values, 20)):
        assert (variance[56:] == 0).all()
        assert (mean[56:] == value).all()
        assert all((moment[56:] == 0).all() for moment in higher)


def test_sums_remember_nothing() -> None:
    """After a spike the sum is that of the window alone, to the last digits; zeros sum to exactly 0."""
    values = np.concatenate((exact.spiked_volume(100), np.zeros(40)))
    found = kernels.rolling_sum(values, 20)
    for t in range(19, 140):
        assert found[t] == pytest.approx(math.fsum(values[t - 19 : t + 1]), rel=1e-14)
    assert (found[-20:] == 0).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 7, 20, 39, 40])
def test_a_bad_value_spoils_its_windows_only(bad: float, at: int) -> None:
    """Wherever it stands in its block."""
    values = random_values(100)
    good = kernels.rolling_moments(values, 20), kernels.rolling_sum(values, 20)
    values[at] = bad
    inside = (np.arange(100) >= at) & (np.arange(100) < at + 20) & (np.arange(100) >= 19)
    for found, expected in zip(kernels.rolling_moments(values, 20), good[0], strict=True):
        assert not np.isfinite(found[inside]).any()
        np.testing.assert_allclose(found[~inside], expected[~inside], rtol=1e-10, atol=1e-13)
    found = kernels.rolling_sum(values, 20)
    assert not np.isfinite(found[inside]).any()
    np.testing.assert_allclose(found[~inside], good[1][~inside], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("size", [0, 1, 19])
def test_a_series_shorter_than_the_window_has_no_value(size: int) -> None:
    """It is all NaN, of the same length."""
    values = random_values(size)
    made = [
        kernels.rolling_sum(values, 20), *kernels.rolling_mean_variance(values, 20),
        *kernels.rolling_moments(values, 20), *kernels.rolling_covariance(values, values, 20),
        kernels.rolling_dot(values, np.ones(20)), *kernels.rolling_extremes(values, 20),
        kernels.rolling_skewness(values, 20),
        kernels.rolling_hill(values, 20, 3),
    ]  # fmt: skip
    for array in made:
        assert array.shape == (size,)
        assert np.isnan(array).all()


def test_earlier_values_do_not_depend_on_later_ones() -> None:
    """Bit for bit, wherever the series is cut."""
    values, other = random_values(130), random_values(130, seed=8)
    for cut in (20, 21, 39, 40, 41, 77):
        changed = np.concatenate((values[:cut], other[cut:]))
        for function in (kernels.rolling_moments, kernels.rolling_mean_variance):
            for whole, head, moved in zip(
                function(values, 20), function(values[:cut].copy(), 20), function(changed, 20), strict=True
            ):
                np.testing.assert_array_equal(whole[:cut], head)
                np.testing.assert_array_equal(moved[:cut], head)


@pytest.mark.parametrize("name", SERIES)
def test_covariance_is_that_of_exact_arithmetic(name: str) -> None:
    """To 1e-12 of the product of the deviations."""
    x, y = SERIES[name](120), exact.pips(120, seed=9)
    of_x, of_y, of_both = kernels.rolling_covariance(x, y, 20)
    for t in range(19, 120):
        a, b = x[t - 19 : t + 1], y[t - 19 : t + 1]
        scale = exact.root(exact.covariance(a, a)) * exact.root(exact.covariance(b, b))
        assert of_x[t] == pytest.approx(float(exact.covariance(a, a)), rel=1e-12)
        assert of_y[t] == pytest.approx(float(exact.covariance(b, b)), rel=1e-12)
        assert of_both[t] == pytest.approx(float(exact.covariance(a, b)), abs=1e-12 * scale)


@pytest.mark.parametrize("window", [1, 2, 5, 20, 700])
def test_dot_is_a_correlation_with_the_weights(window: int) -> None:
    """The newest value by the last weight; longer than a block of 512."""
    values, weights = random_values(1500), random_values(window, seed=3)
    found = kernels.rolling_dot(values, weights)
    np.testing.assert_allclose(found[window - 1 :], np.correlate(values, weights, "valid"), rtol=1e-9, atol=1e-11)


def test_cumulative_sum_begins_anew_with_each_group() -> None:
    """Also with a group that was there before."""
    values, group = random_values(50), np.repeat([3.0, 1.0, 4.0, 1.0], [10, 1, 30, 9])
    runs = pd.Series(group).diff().ne(0).cumsum()
    np.testing.assert_allclose(kernels.cumulative_by(values, group), pd.Series(values).groupby(runs).cumsum())


def test_hill_is_the_mean_excess_of_the_largest() -> None:
    """Logarithms of 0 are -inf; a window without k + 1 finite ones has no value."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(np.round(random_values(200), 1)) * (np.arange(200) < 150))
    found = kernels.rolling_hill(logs, 20, 4)
    for t in range(19, 200):
        top = sorted(logs[t - 19 : t + 1])[-5:]
        expected = sum(value - top[0] for value in top[1:]) / 4 if top[0] > -math.inf else math.nan
        assert found[t] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert np.isnan(found[-20:]).all()


@pytest.mark.parametrize("window", [1, 2, 9, 40, 300])
def test_extremes_are_numpys(window: int) -> None:
    """Of every window, also with equal values and at either end of a block."""
    values = random_values(300).round(1)
    low, high = kernels.rolling_extremes(values, window)
    seen = np.lib.stride_tricks.sliding_window_view(values, window)
    assert np.isnan(low[: window - 1]).all() and np.isnan(high[: window - 1]).all()
    np.testing.assert_array_equal(low[window - 1 :], seen.min(axis=1))
    np.testing.assert_array_equal(high[window - 1 :], seen.max(axis=1))


@pytest.mark.parametrize("name", SERIES)
def test_skewness_is_that_of_the_moments(name: str) -> None:
    """The shorter kernel equals m3 / m2^1.5, NaN where nothing moves."""
    values = np.concatenate((SERIES[name](240), np.full(50, 3.0)))
    _, m2, m3, _ = kernels.rolling_moments(values, 20)
    with np.errstate(invalid="ignore"):
        expected = np.where(m2 > 0, m3 / (m2 * np.sqrt(m2)), np.nan)
    np.testing.assert_allclose(kernels.rolling_skewness(values, 20), expected, rtol=1e-12, atol=1e-12)
    assert np.isnan(kernels.rolling_skewness(values, 20)[-20:]).all()
