"""Rolling median and median absolute deviation against NumPy and SciPy, window by window."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tftctl.features.order_statistics import rolling_median_mad


def values(name: str, size: int = 200) -> np.ndarray:
    """Random, with many ties, with a spike, or all equal."""
    made = np.random.default_rng(4).standard_normal(size)
    if name == "ties":
        return np.round(made)
    if name == "spike":
        made[size // 2] = 1e12
    return np.full(size, 60_000.5) if name == "flat" else made


@pytest.mark.parametrize("window", [1, 2, 3, 20, 21])
@pytest.mark.parametrize("name", ["random", "ties", "spike", "flat"])
def test_every_window_is_numpys_and_scipys(window: int, name: str) -> None:
    """Even and odd windows; NaN before the window is full."""
    series = values(name)
    median, deviation = rolling_median_mad(series, window)
    assert np.isnan(median[: window - 1]).all() and np.isnan(deviation[: window - 1]).all()
    for t in range(window - 1, series.size):
        part = series[t - window + 1 : t + 1]
        assert median[t] == np.median(part)
        assert deviation[t] == scipy.stats.median_abs_deviation(part)


@pytest.mark.parametrize("size", [0, 1, 19])
def test_a_series_shorter_than_the_window_has_no_value(size: int) -> None:
    """All NaN, of the same length."""
    for made in rolling_median_mad(values("random", size), 20):
        assert made.shape == (size,) and np.isnan(made).all()


def test_earlier_values_do_not_depend_on_later_ones() -> None:
    """Bit for bit, wherever the series is cut."""
    series = values("random")
    for cut in (20, 21, 77, 150):
        for whole, head in zip(
            rolling_median_mad(series, 20), rolling_median_mad(series[:cut].copy(), 20), strict=True
        ):
            np.testing.assert_array_equal(whole[:cut], head)
