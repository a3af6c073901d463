"""Rolling normalisation against a loop over the valid values before each bar (SEMANTICS T4)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from feature_bars import indicators, numbers, prepared, real_bars, row_of_bars

from tftctl.core.config.features import Normaliser
from tftctl.features.engine import compute_features
from tftctl.features.normalise import normalise_columns


def naive(values: list[float], real: list[bool], window: int, method: str, clip: float | None) -> list[float]:
    """T4: statistics of the last `window` valid values of real bars strictly before each bar."""
    seen: list[float] = []
    made = []
    for value, is_real in zip(values, real, strict=True):
        made.append(naive_value(value, seen[-window:], window, method, clip))
        if is_real and math.isfinite(value):
            seen.append(value)
    return made


def naive_value(value: float, sample: list[float], window: int, method: str, clip: float | None) -> float:
    """Null is NaN."""
    if len(sample) < window or math.isnan(value) or max(sample) == min(sample):
        return math.nan
    if method == "zscore":
        found = (value - np.mean(sample)) / np.std(sample, ddof=1)
    else:
        found = (value - min(sample)) / (max(sample) - min(sample))
    return found if clip is None else min(max(found, -clip), clip)


def normalised(frame: pl.DataFrame, method: str, window: int, column: str = "x", clip: float | None = 10.0) -> list:
    """One column as the engine makes it."""
    settings = Normaliser(window={"1h": window}, columns=[column], clip=clip)
    (name, made), *others = normalise_columns(frame, {method: settings}, "1h").items()
    assert name == f"{column}_{method}"
    assert not others
    return numbers(made)


@pytest.mark.parametrize("method", ["zscore", "minmax"])
@pytest.mark.parametrize("window", [2, 7, 40])
def test_against_a_loop_with_nulls_and_filled_bars(method: str, window: int) -> None:
    """T4: nulls and filled bars are no samples, and a filled bar still has a value."""
    rng = np.random.default_rng(window)
    values = np.where(rng.random(300) < 0.2, np.nan, rng.standard_normal(300).cumsum())
    values[120:200] = 3.25
    filled = rng.random(300) < 0.1
    frame = pl.DataFrame({"x": pl.Series(values).fill_nan(None), "is_filled": filled})
    expected = naive(values.tolist(), (~filled).tolist(), window, method, 10.0)
    np.testing.assert_allclose(normalised(frame, method, window), expected, rtol=1e-9, atol=1e-9)
    assert np.isfinite(expected).sum() > 80


@pytest.mark.parametrize("method", ["zscore", "minmax"])
@pytest.mark.parametrize("column", ["close", "volume", "macd_hist"])
def test_real_hours_across_segments(shared_data: Path, method: str, column: str) -> None:
    """T4: the window reaches over the outage of February 2018, where indicators restart."""
    rows = prepared(real_bars(shared_data, "BTCUSDT", "1h", "2018-01-10", "2018-03-01"))
    assert rows["segment"].max() > 0
    rows = rows.with_columns(compute_features(rows, indicators("macd")))
    found = normalised(rows, method, 100, column, clip=None)
    expected = naive(numbers(rows[column]).tolist(), (~rows["is_filled"]).to_list(), 100, method, None)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)
    first_after = int(np.flatnonzero(rows["segment"].to_numpy() == 1)[0])
    assert np.isfinite(found[first_after]) == (column != "macd_hist")


def test_the_current_bar_is_no_sample_of_its_own() -> None:
    """T4: an outlier is far out by the bars before it."""
    frame = pl.DataFrame({"x": [0.0, 1.0, 0.0, 1.0, 0.5, 8.0], "is_filled": [False] * 6})
    assert normalised(frame, "minmax", 4)[5] == 8.0
    assert normalised(frame, "zscore", 2)[5] == 10.0  # clipped: (8 - 0.75) / 0.35


def test_a_flat_window_is_null() -> None:
    """F6: 0/0 is null, also after the window had been lively."""
    values = [*np.random.default_rng(1).standard_normal(50) * 1e5, *[0.1] * 30, 0.2]
    frame = pl.DataFrame({"x": values, "is_filled": [False] * 81})
    for method in ("zscore", "minmax"):
        assert np.isnan(normalised(frame, method, 20)[70:]).all()


def test_a_period_without_a_window_is_null() -> None:
    """F4: the schema is the same for all periods."""
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0], "is_filled": [False] * 3})
    made = normalise_columns(frame, {"zscore": Normaliser(window={"4h": 2}, columns=["x"])}, "1h")
    assert made["x_zscore"].to_list() == [None] * 3


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_later_bars_change_no_bit(method: str) -> None:
    """A1: the same numbers from a series cut anywhere."""
    bars = row_of_bars(200, "1h", missing=[50, 51, 90, 91, 92, 93]).with_columns(x=pl.col("volume"))
    rows = prepared(bars)
    whole = normalised(rows, method, 30)
    for cut in (31, 49, 55, 100, 150):
        np.testing.assert_array_equal(normalised(rows.head(cut), method, 30), whole[:cut])
