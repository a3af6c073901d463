"""KDJ, stochastic, CCI, Williams %R, ultimate and awesome oscillators: TA-Lib, pandas-ta-classic, loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas_ta_classic as ta
import polars as pl
import pytest
import talib
from builtin_bars import computed, frame
from second_opinion import Array, after_standstill, agree, atr, in_flat_markets, rolled, series

CASES = [
    ("kdj", {}),
    ("kdj", {"period": 14, "k": 5, "d": 4}),
    ("stochastic", {}),
    ("stochastic", {"period": 5, "k": 1, "d": 6}),
    ("cci", {}),
    ("cci", {"period": 5}),
    ("williams_r", {}),
    ("williams_r", {"period": 40}),
    ("ultimate_oscillator", {}),
    ("ultimate_oscillator", {"short": 4, "medium": 9, "long": 15}),
    ("awesome_oscillator", {}),
    ("awesome_oscillator", {"fast": 3, "slow": 10, "atr": 20}),
]
SMA, RMA = talib.MA_Type.SMA, talib.MA_Type.RMA


def bars(b: SimpleNamespace) -> tuple[Array, Array, Array]:
    """high, low, close."""
    return b.high, b.low, b.close


def named(names: str, values: Any) -> dict[str, Array]:
    """Columns by name."""
    return dict(zip(names.split(), values, strict=True))


def awesome_by_talib(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """AO, and its quotient by ATR."""
    line = talib.AO(b.high, b.low, p.fast, p.slow)
    return {"awesome_oscillator": line, "awesome_oscillator_atr": line / talib.ATR(*bars(b), p.atr)}


TALIB = {
    "kdj": lambda b, p: named("kdj_k kdj_d kdj_j", talib.KDJ(*bars(b), p.period, p.k, RMA, p.d, RMA)),
    "stochastic": lambda b, p: named("stoch_k stoch_d", talib.STOCH(*bars(b), p.period, p.k, SMA, p.d, SMA)),
    "cci": lambda b, p: {"cci": talib.CCI(*bars(b), p.period)},
    "williams_r": lambda b, p: {"williams_r": talib.WILLR(*bars(b), p.period)},
    "ultimate_oscillator": lambda b, p: {"ultimate_oscillator": talib.ULTOSC(*bars(b), p.short, p.medium, p.long)},
    "awesome_oscillator": awesome_by_talib,
}


def pandas_kdj(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """pandas-ta-classic has one smoothing for K and D, so D and J are done here where it differs."""
    s = series(b)
    made = ta.kdj(s.high, s.low, s.close, p.period, p.k).to_numpy().T
    return named("kdj_k kdj_d kdj_j", made) if p.k == p.d else {"kdj_k": made[0]}


def pandas_stochastic(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Columns k and d."""
    s = series(b)
    made = ta.stoch(s.high, s.low, s.close, p.period, p.d, p.k, talib=False).to_numpy().T
    return named("stoch_k stoch_d", made[:2])


def awesome_loop(b: SimpleNamespace, p: Any) -> dict[str, Array]:
    """Means of windows, and Wilder's ATR."""
    middle = (b.high + b.low) / 2
    line = rolled(middle, p.fast, np.mean) - rolled(middle, p.slow, np.mean)
    return {"awesome_oscillator": line, "awesome_oscillator_atr": line / atr(b, p.atr)}


def plain(name: str, function: str, *lengths: str) -> Any:
    """A pandas-ta-classic function of high, low, close and lengths, without TA-Lib."""

    def reference(b: SimpleNamespace, p: Any) -> dict[str, Array]:
        s = series(b)
        made = getattr(ta, function)(s.high, s.low, s.close, *(getattr(p, n) for n in lengths), talib=False)
        return {name: made.to_numpy()}

    return reference


SECOND = {
    "kdj": pandas_kdj,
    "stochastic": pandas_stochastic,
    "cci": plain("cci", "cci", "period"),
    "williams_r": plain("williams_r", "willr", "period"),
    "ultimate_oscillator": plain("ultimate_oscillator", "uo", "short", "medium", "long"),
    "awesome_oscillator": awesome_loop,
}


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_talib(market: pl.DataFrame, name: str, params: dict) -> None:
    """F3: with TA-Lib's first bars."""
    agree(market, name, params, TALIB[name])


@pytest.mark.parametrize(("name", "params"), CASES)
def test_equals_a_second_implementation(market: pl.DataFrame, name: str, params: dict) -> None:
    """pandas-ta-classic, which begins some lines some bars earlier, or a loop."""
    agree(market, name, params, SECOND[name], since=0)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("kdj", ["kdj_k", "kdj_d", "kdj_j"]),
        ("stochastic", ["stoch_k", "stoch_d"]),
        ("cci", ["cci"]),
        ("williams_r", ["williams_r"]),
        ("ultimate_oscillator", ["ultimate_oscillator"]),
    ],
)
def test_zero_where_nothing_moves(name: str, columns: list[str]) -> None:
    """Flat: TA-Lib's 0, also after the price has stopped."""
    in_flat_markets(name, dict.fromkeys(columns, 0.0))
    for column, values in after_standstill(name).items():
        assert np.abs(values).max() < 1e-9, column


def test_awesome_where_nothing_moves() -> None:
    """Flat: no difference, and none in units of an ATR of 0."""
    in_flat_markets("awesome_oscillator", {"awesome_oscillator": 0.0, "awesome_oscillator_atr": np.nan})
    assert np.isnan(after_standstill("awesome_oscillator")["awesome_oscillator_atr"]).all()


def test_extremes() -> None:
    """A close at the highest high of the window, and at the lowest low."""
    rise = np.linspace(50, 150, 100)
    up = frame(rise, rise, rise - 1, rise, np.ones(100))
    down = frame(rise[::-1].copy(), rise[::-1] + 1, rise[::-1].copy(), rise[::-1].copy(), np.ones(100))
    for bars_, expected in ((up, (100, 0)), (down, (0, -100))):
        assert computed(bars_, "stochastic")["stoch_k"][20:] == pytest.approx(expected[0], abs=1e-9)
        assert computed(bars_, "williams_r")["williams_r"][20:] == pytest.approx(expected[1], abs=1e-9)
