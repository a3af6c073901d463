"""MFI: TA-Lib, pandas-ta-classic, a loop after spikes of volume, no volume."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, flat_bars, frame, random_bars, then
from second_opinion import Array, agree, columns, in_flat_markets, series

TALIB = {"mfi": lambda b, p: {"mfi": talib.MFI(b.high, b.low, b.close, b.volume, p.period)}}


def by_pandas(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """pandas-ta-classic without TA-Lib; it begins one bar earlier."""
    s = series(b)
    return {"mfi": ta.mfi(s.high, s.low, s.close, s.volume, p.period, talib=False).to_numpy()}


def loop(b: SimpleNamespace, n: int) -> Array:
    """Sums of each window."""
    typical = (b.high + b.low + b.close) / 3
    made = np.full(typical.size, np.nan)
    for t in range(n, typical.size):
        window = range(t - n + 1, t + 1)
        up = sum(typical[i] * b.volume[i] for i in window if typical[i] > typical[i - 1])
        down = sum(typical[i] * b.volume[i] for i in window if typical[i] < typical[i - 1])
        made[t] = 100 * up / (up + down) if up + down > 0 else 0.0
    return made


@pytest.mark.parametrize("params", [{}, {"period": 5}, {"period": 60}])
def test_equals_talib_and_pandas_ta(market: pl.DataFrame, params: dict) -> None:
    """F3: with TA-Lib's first bar."""
    agree(market, "mfi", params, TALIB["mfi"])
    agree(market, "mfi", params, by_pandas, since=params.get("period", 14))


@pytest.mark.parametrize("spike", [1e12, 1e16])
def test_a_spike_of_volume_is_forgotten_with_its_bar(spike: float) -> None:
    """Volume of 1e12 amid hundreds: TA-Lib's running sums stay wrong for ever after, these are right at once."""
    bars = random_bars(600).with_columns(
        pl.when(pl.int_range(pl.len()) == 200).then(spike).otherwise(pl.col("volume")).alias("volume")
    )
    b = columns(bars)
    np.testing.assert_allclose(computed(bars, "mfi")["mfi"], loop(b, 14), rtol=1e-11, atol=1e-11)
    assert np.nanmax(np.abs(TALIB["mfi"](b, SimpleNamespace(period=14))["mfi"] - loop(b, 14))) > 1e-7


def test_bars_without_volume_do_not_count() -> None:
    """A third of the bars without volume, and then a whole window."""
    volume = pl.when(pl.int_range(pl.len()) % 3 == 0).then(0.0).otherwise(pl.col("volume"))
    some = random_bars(300).with_columns(volume.alias("volume"))
    np.testing.assert_allclose(computed(some, "mfi")["mfi"], loop(columns(some), 14), rtol=1e-11)
    none = then(random_bars(60), random_bars(60, seed=2).with_columns(volume=pl.lit(0.0)))
    found = computed(none, "mfi")["mfi"]
    assert (found[60:66] > 0).all()
    assert (found[74:] == 0).all()


def test_a_typical_price_that_only_rounding_moves_does_not_move() -> None:
    """Cents that always add up to the same: their float64 sums differ in the last bit, and flow nowhere."""
    rng = np.random.default_rng(2)
    cents = 2_765_207 + np.sort(rng.integers(-400, 400, (200, 3)), axis=1)
    cents[:, 1] = 3 * 2_765_207 - cents[:, 0] - cents[:, 2]
    low, close, high = np.sort(cents, axis=1).T / 100
    assert (np.diff((high + low + close) / 3) != 0).any()
    bars = frame(close, high, low, close, np.full(200, 5.0))
    assert (computed(bars, "mfi")["mfi"][14:] == 0).all()


def test_one_price() -> None:
    """Flat: 0 with and without volume, and as soon as the window is flat."""
    in_flat_markets("mfi", {"mfi": 0.0})
    lively = random_bars(60)
    stopped = then(lively, flat_bars(60, lively["close"][-1], volume=3.3))
    assert (computed(stopped, "mfi")["mfi"][75:] == 0).all()
