"""Split and dividend adjustment at build time (SEMANTICS T5)."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from feature_bars import DAY, PRICES, START, builtin_names, indicators, numbers, prepared, row_of_bars

from tftctl.core.errors import ConfigError
from tftctl.features.adjust import adjust_bars
from tftctl.features.engine import compute_features

# (last date on which they apply, price factor, split factor): a 7:1 split after day 40, dividends after 20 and 70
FACTORS = [(20, 0.95, 1 / 7), (40, 0.97, 1 / 7), (70, 0.98, 1.0)]


def factors() -> pl.DataFrame:
    """The table, not in order."""
    rows = [(START + DAY * day, price, split) for day, price, split in reversed(FACTORS)]
    return pl.DataFrame(rows, schema=["timestamp", "price_factor", "split_factor"], orient="row")


def factor_of(day: int) -> tuple[float, float]:
    """The first entry whose date is not before the day; none is left after the last."""
    for last, price, split in FACTORS:
        if day <= last:
            return price, split
    return 1.0, 1.0


def unadjusted(adjusted: pl.DataFrame, total: bool) -> pl.DataFrame:
    """What was traded, if these are the adjusted bars."""
    found = [factor_of(day) for day in range(adjusted.height)]
    split = np.array([s for _, s in found])
    scale = split * np.array([p for p, _ in found]) if total else split
    prices = {name: adjusted[name].to_numpy() / scale for name in PRICES}
    return adjusted.with_columns(
        volume=pl.Series(adjusted["volume"].to_numpy() * split),
        **{name: pl.Series(array) for name, array in prices.items()},
    )


@pytest.mark.parametrize(("wanted", "total"), [("split", False), ("total", True)])
def test_raw_bars_with_factors_become_the_adjusted_ones(wanted: str, total: bool) -> None:
    """T5: factors apply up to and including their date; dividends do not touch the volume."""
    adjusted = row_of_bars(100, "1d")
    found = adjust_bars(unadjusted(adjusted, total), factors(), basis="raw", wanted=wanted)
    for name in (*PRICES, "volume"):
        np.testing.assert_allclose(found[name], adjusted[name], rtol=1e-12)


@pytest.mark.parametrize(("wanted", "total"), [("split", False), ("total", True)])
@pytest.mark.parametrize("name", builtin_names("indicator"))
def test_features_of_raw_bars_with_factors_are_those_of_adjusted_bars(name: str, wanted: str, total: bool) -> None:
    """T5: no indicator sees the split."""
    adjusted = row_of_bars(100, "1d", seed=2).with_columns(taker_buy_volume=0.6 * pl.col("volume"))
    raw = unadjusted(adjusted, total)
    raw = raw.with_columns(taker_buy_volume=0.6 * pl.col("volume"))
    rebuilt = adjust_bars(raw, factors(), basis="raw", wanted=wanted)
    expected, found = (compute_features(prepared(bars), indicators(name)) for bars in (adjusted, rebuilt))
    for column in expected.columns:
        np.testing.assert_allclose(numbers(found[column]), numbers(expected[column]), rtol=1e-7, atol=1e-9)


def test_extra_columns_are_adjusted_by_their_scale() -> None:
    """T5: as declared; what vendors publish in shares or prices is known, the rest is left alone."""
    adjusted = row_of_bars(100, "1d")
    raw = unadjusted(adjusted, total=False).with_columns(
        vwap=pl.col("close"), taker_buy_volume="volume", best="high", shares="volume", trades="volume"
    )
    found = adjust_bars(raw, factors(), basis="raw", wanted="split", extras={"best": "price", "shares": "volume"})
    for name, like in {"vwap": "close", "taker_buy_volume": "volume", "best": "high", "shares": "volume"}.items():
        np.testing.assert_allclose(found[name], adjusted[like], rtol=1e-12)
    assert found["trades"].equals(raw["trades"])


def test_the_split_would_be_seen_without_factors() -> None:
    """T5: what the test above proves is not trivial."""
    raw = unadjusted(row_of_bars(100, "1d", seed=2), total=False)
    assert compute_features(prepared(raw), indicators("log_return"))["log_return"][41] < -1.5


def test_hours_use_the_factor_of_their_day() -> None:
    """T5: up to and including the date, all hours of it."""
    bars = row_of_bars(72, "1h")
    table = pl.DataFrame({"timestamp": [START + DAY], "price_factor": [0.9], "split_factor": [0.5]})
    found = adjust_bars(bars, table, basis="raw", wanted="total")
    scale = np.where(np.arange(72) < 48, 0.45, 1.0)
    np.testing.assert_allclose(found["close"], bars["close"].to_numpy() * scale, rtol=1e-12)
    np.testing.assert_allclose(found["volume"], bars["volume"].to_numpy() / np.where(scale < 1, 0.5, 1), rtol=1e-12)


@pytest.mark.parametrize("basis", ["raw", "split", "total"])
def test_the_basis_of_the_file_stays_when_it_is_wanted(basis: str) -> None:
    """T5: nothing is adjusted twice."""
    bars = row_of_bars(100, "1d")
    assert adjust_bars(bars, factors(), basis=basis, wanted=basis).equals(bars)


def test_raw_bars_without_factors_stay_raw() -> None:
    """T5: nothing says that they ever split."""
    bars = row_of_bars(10, "1d")
    assert adjust_bars(bars, None, basis="raw", wanted="total").equals(bars)
    assert adjust_bars(bars, factors().clear(), basis="raw", wanted="split").equals(bars)


@pytest.mark.parametrize(("basis", "wanted"), [("split", "raw"), ("split", "total"), ("total", "raw")])
def test_an_adjusted_file_cannot_be_undone(basis: str, wanted: str) -> None:
    """T5: files that carry only adjusted prices say so; the message names the symbol and a way out."""
    with pytest.raises(ConfigError) as error:
        adjust_bars(row_of_bars(10, "1d"), factors(), basis=basis, wanted=wanted)
    assert "AAA" in error.value.message
    assert f"adjust: {basis}" in error.value.hint
