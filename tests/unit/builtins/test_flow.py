"""Money flow against TA-Lib, pandas-ta-classic and loops; taker imbalance."""

from __future__ import annotations

import math
from pathlib import Path

import exact
import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import arrays, computed, findings, flat_bars, random_bars, real_hours, then

from tftctl.core.errors import DataError

BARS = random_bars(500, seed=18)
OTHER = {
    "chaikin_oscillator": {"fast": 15, "slow": 6},
    "cmf": {"period": 7},
    "taker_imbalance": {"period": 3},
}


@pytest.mark.parametrize("name", ["ad_line", *OTHER])
def test_passes_the_checks_of_plugins(name: str) -> None:
    """First valid bar, settle, causality, scale, short segments, for two sets of parameters."""
    assert findings(name) == []
    assert findings(name, **OTHER.get(name, {})) == []


def against_talib(bars: pl.DataFrame, period: int, fast: int, slow: int) -> None:
    """AD, ADOSC, CMF; and ADOSC in mean volumes."""
    high, low, close, volume = arrays(bars)
    assert exact.difference(computed(bars, "ad_line")["ad_line"], talib.AD(high, low, close, volume)) == 0
    oscillator, relative = computed(bars, "chaikin_oscillator", fast=fast, slow=slow).values()
    expected = talib.ADOSC(high, low, close, volume, fastperiod=fast, slowperiod=slow)
    assert exact.difference(oscillator, expected) == 0
    mean = talib.SMA(volume, timeperiod=max(fast, slow))
    assert exact.difference(relative, expected / mean) <= 1e-9
    (flow,) = computed(bars, "cmf", period=period).values()
    assert exact.difference(flow, talib.CMF(high, low, close, volume, timeperiod=period)) <= 1e-9


@pytest.mark.parametrize(("period", "fast", "slow"), [(20, 3, 10), (5, 6, 19), (50, 12, 4)])
def test_equals_talib(period: int, fast: int, slow: int) -> None:
    """First valid bar included."""
    against_talib(BARS, period, fast, slow)


@pytest.mark.shared
def test_equals_talib_on_real_hours(shared_data: Path) -> None:
    """BTCUSDT."""
    bars = real_hours(shared_data, "BTCUSDT", 30_000, 3000).filter(pl.col("segment") == 0)
    against_talib(bars, 20, 3, 10)


def test_equals_a_second_library() -> None:
    """pandas-ta-classic in its own arithmetic."""
    bars = [pd.Series(values) for values in arrays(BARS)]
    assert exact.difference(computed(BARS, "ad_line")["ad_line"], ta.ad(*bars, talib=False).to_numpy()) <= 1e-9
    oscillator = ta.adosc(*bars, fast=3, slow=10, talib=False).to_numpy()
    assert exact.difference(computed(BARS, "chaikin_oscillator")["chaikin_oscillator"], oscillator) <= 1e-9
    assert exact.difference(computed(BARS, "cmf")["cmf"], ta.cmf(*bars, length=20).to_numpy()) <= 1e-9


def flow(bars: pl.DataFrame) -> list[float]:
    """Chaikin's flow bar by bar; a bar without range moves nothing."""
    return [v * ((c - lo) - (h - c)) / (h - lo) if h > lo else 0.0 for h, lo, c, v in zip(*arrays(bars), strict=True)]


def test_cmf_and_line_against_a_loop_with_flat_bars_between() -> None:
    """Some bars have high = low, some no volume."""
    at = pl.int_range(pl.len())
    bars = BARS.with_columns(
        *(pl.when(at % 7 == 3).then("close").otherwise(name).alias(name) for name in ("high", "low")),
        volume=pl.when(at % 11 == 5).then(0.0).otherwise("volume"),
    )
    moved, volume = flow(bars), bars["volume"].to_list()
    line, ratio = computed(bars, "ad_line")["ad_line"], computed(bars, "cmf")["cmf"]
    for t in range(500):
        assert line[t] == pytest.approx(math.fsum(moved[: t + 1]), rel=1e-9)
        if t >= 19:
            window = slice(t - 19, t + 1)
            assert ratio[t] == pytest.approx(math.fsum(moved[window]) / math.fsum(volume[window]), rel=1e-9, abs=1e-12)


def test_cmf_forgets_a_spike() -> None:
    """1e12 leaves the window, and nothing of it stays."""
    bars = BARS.with_columns(volume=pl.Series(exact.spiked_volume(500)))
    moved, volume, found = flow(bars), bars["volume"].to_list(), computed(bars, "cmf")["cmf"]
    for t in range(19, 500):
        window = slice(t - 19, t + 1)
        assert found[t] == pytest.approx(math.fsum(moved[window]) / math.fsum(volume[window]), rel=1e-11, abs=1e-12)


def test_no_volume() -> None:
    """Ratios are null; the line stands still, and the oscillator dies away."""
    bars = then(random_bars(50), flat_bars(200))
    assert np.isnan(computed(bars, "cmf")["cmf"][-150:]).all()
    oscillator, relative = computed(bars, "chaikin_oscillator").values()
    assert np.isnan(relative[-150:]).all()
    assert abs(oscillator[-1]) < 1e-12 * abs(oscillator[49])
    assert np.unique(computed(bars, "ad_line")["ad_line"][50:]).size == 1
    for values in computed(bars, "taker_imbalance").values():
        assert np.isnan(values[-150:]).all()


def test_taker_imbalance_against_a_loop() -> None:
    """(buys - sells) / volume; over n bars the sums are divided, so that small bars weigh little."""
    volume, buys = BARS["volume"].to_list(), BARS["taker_buy_volume"].to_list()
    bar, mean = computed(BARS, "taker_imbalance").values()
    signed = [b - (v - b) for v, b in zip(volume, buys, strict=True)]
    for t in range(500):
        assert bar[t] == pytest.approx(signed[t] / volume[t], rel=1e-11, abs=1e-12)
        if t >= 19:
            window = slice(t - 19, t + 1)
            assert mean[t] == pytest.approx(math.fsum(signed[window]) / math.fsum(volume[window]), rel=1e-10, abs=1e-12)


def test_taker_imbalance_of_filled_and_of_unknown_bars() -> None:
    """A filled bar has no volume and no taker column: it adds nothing. Volume without the column makes nulls."""
    at = pl.int_range(pl.len())
    filled = BARS.with_columns(
        volume=pl.when(at == 100).then(0.0).otherwise("volume"),
        taker_buy_volume=pl.when(at != 100).then("taker_buy_volume"),
    )
    zero = filled.with_columns(pl.col("taker_buy_volume").fill_null(0.0))
    bar, mean = computed(filled, "taker_imbalance").values()
    assert np.flatnonzero(np.isnan(bar)).tolist() == [100]
    np.testing.assert_array_equal(mean, computed(zero, "taker_imbalance")["taker_imbalance_mean"])
    unknown = BARS.with_columns(taker_buy_volume=pl.when(at != 100).then("taker_buy_volume"))
    bar, mean = computed(unknown, "taker_imbalance").values()
    assert np.flatnonzero(np.isnan(bar)).tolist() == [100]
    assert np.flatnonzero(np.isnan(mean)).tolist() == [*range(19), *range(100, 120)]


def test_bars_without_the_taker_column_are_named() -> None:
    """Indicator, column and symbol stand in one line."""
    with pytest.raises(DataError) as error:
        computed(BARS.drop("taker_buy_volume"), "taker_imbalance")
    for word in ("taker_imbalance", "taker_buy_volume", "AAA"):
        assert word in error.value.message


def test_one_bar() -> None:
    """The line and the imbalance of the bar have a value, windows have none."""
    bars = BARS.head(1)
    assert computed(bars, "ad_line")["ad_line"].tolist() == [pytest.approx(flow(bars)[0])]
    bar, mean = computed(bars, "taker_imbalance").values()
    assert np.isfinite(bar).all()
    assert np.isnan(mean).all()
    assert np.isnan(computed(bars, "cmf")["cmf"]).all()
