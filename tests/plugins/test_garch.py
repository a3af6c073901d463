"""Volatility of the GARCH family as columns: the schedule of refits, causality, segments, updates, skill."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import tftctl_garch
from garch_markets import NAMES, SMALL, THETA, log_returns, naive_variances, run, simulated
from pydantic import ValidationError
from tftctl_garch import filters, fitting, tftctl_indicators
from tftctl_garch.rolling import refit_bars
from tftctl_garch.settings import RefitParams, settle

from tftctl.core.config.features import IndicatorEntry
from tftctl.core.registry import Provided, Registry
from tftctl.features.definitions import resolve_indicators
from tftctl.features.engine import compute_features
from tftctl.testing import check_indicator

pytestmark = pytest.mark.usefixtures("forgotten_fits")
RECORDS = {record.name: record for record in tftctl_indicators()}


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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "aparch" else []) for name in NAMES]
)
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
