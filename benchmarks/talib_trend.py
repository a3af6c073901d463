"""What TA-Lib has of trend and momentum: columns of one unbroken segment, from its functions or one step from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import talib

Array = np.ndarray
Reference = Callable[[Any, Any], Mapping[str, Array]]
SMA, EMA, RMA = talib.MA_Type.SMA, talib.MA_Type.EMA, talib.MA_Type.RMA


def named(names: str, values: Any) -> dict[str, Array]:
    """Columns by name."""
    return dict(zip(names.split(), values, strict=True))


def hlc(b: Any) -> tuple[Array, Array, Array]:
    """high, low, close."""
    return b.high, b.low, b.close


def atr(b: Any, period: int) -> Array:
    """Wilder's."""
    return talib.ATR(*hlc(b), period)


def shifted(values: Array, bars: int) -> Array:
    """NaN at the first bars."""
    made = np.full(values.size, np.nan)
    made[bars:] = values[: values.size - bars]
    return made


def average(name: str) -> Reference:
    """The line of that name, and the share of the close by which it is passed."""

    def made(b: Any, p: Any) -> dict[str, Array]:
        line = getattr(talib, name.upper())(b.close, p.period)
        return {name: line, f"{name}_distance": (b.close - line) / b.close}

    return made


def cross(b: Any, p: Any) -> dict[str, Array]:
    """Two averages."""
    fast, slow = (talib.MA(b.close, n, EMA if p.kind == "ema" else SMA) for n in (p.fast, p.slow))
    return {"ma_cross": (fast - slow) / slow, "ma_cross_atr": (fast - slow) / atr(b, p.atr)}


def ppo(b: Any, p: Any) -> dict[str, Array]:
    """PPO of EMAs, and an EMA of it."""
    line = talib.PPO(b.close, p.fast, p.slow, EMA)
    signal = talib.EMA(line, p.signal)
    return {"ppo": line, "ppo_signal": signal, "ppo_hist": line - signal}


def with_ema(name: str, line: Array, period: int) -> dict[str, Array]:
    """A line and its EMA."""
    return {name: line, f"{name}_signal": talib.EMA(line, period)}


def aroon(b: Any, p: Any) -> dict[str, Array]:
    """Two functions."""
    down, up = talib.AROON(b.high, b.low, p.period)
    return {"aroon_up": up, "aroon_down": down, "aroon_oscillator": talib.AROONOSC(b.high, b.low, p.period)}


def adx(b: Any, p: Any) -> dict[str, Array]:
    """Three functions."""
    return {name: getattr(talib, name.upper())(*hlc(b), p.period) for name in ("adx", "plus_di", "minus_di")}


def channel(name: str, lines: Any, close: Array) -> dict[str, Array]:
    """The lines, the place of the close between them, and the width."""
    upper, middle, lower = lines
    rest = {f"{name}_position": (close - lower) / (upper - lower), f"{name}_width": (upper - lower) / close}
    return {f"{name}_upper": upper, f"{name}_middle": middle, f"{name}_lower": lower} | rest


def ichimoku(b: Any, p: Any) -> dict[str, Array]:
    """Middles of ranges, the cloud shifted to the bars that see it."""
    tenkan, kijun, wide = (talib.MIDPRICE(b.high, b.low, n) for n in (p.tenkan, p.kijun, p.senkou))
    a, other = shifted((tenkan + kijun) / 2, p.displacement), shifted(wide, p.displacement)
    above, below = b.close - np.maximum(a, other), b.close - np.minimum(a, other)
    values = (
        tenkan, kijun, a, other, (tenkan - kijun) / b.close, (b.close - kijun) / b.close,
        np.where(above > 0, above, np.minimum(below, 0)) / b.close, (a - other) / b.close,
    )  # fmt: skip
    names = "tenkan kijun senkou_a senkou_b cross kijun_distance cloud_distance cloud_width"
    return {f"ichimoku_{name}": line for name, line in zip(names.split(), values, strict=True)}


def stop(name: str, line: Array, side: Array, close: Array) -> dict[str, Array]:
    """The line, the side, and the distance."""
    return {name: line, f"{name}_direction": side, f"{name}_distance": (close - line) / close}


def psar(b: Any, p: Any) -> dict[str, Array]:
    """The side follows from the bar, which lies above the stop or below it."""
    line = talib.SAR(b.high, b.low, p.acceleration, p.maximum)
    # at a bar without range both hold, and the side is that of the bar before
    side = np.where(b.high == b.low, np.nan, np.where(line >= b.high, -1.0, np.where(line <= b.low, 1.0, np.nan)))
    last = np.maximum.accumulate(np.where(np.isnan(side), 0, np.arange(side.size)))
    return stop("psar", line, np.where(np.isnan(line), np.nan, side[last]), b.close)


def supertrend(b: Any, p: Any) -> dict[str, Array]:
    """TA-Lib's direction is 0 before its first value."""
    line, side = talib.SUPERTREND(*hlc(b), p.period, p.k)
    return stop("supertrend", line, np.where(side == 0, np.nan, side), b.close)


def linreg(b: Any, p: Any) -> dict[str, Array]:
    """R2 is the squared correlation with time."""
    slope = talib.LINEARREG_SLOPE(b.close, p.period)
    r2 = talib.CORREL(b.close, np.arange(b.close.size, dtype=float), p.period) ** 2
    return {"linreg_slope": slope, "linreg_slope_relative": slope / b.close, "linreg_r2": r2}


def heikin_ashi(b: Any, p: Any) -> dict[str, Array]:
    """Open and close of its candles."""
    start, _, _, end = talib.HA(b.open, b.high, b.low, b.close)
    return {"heikin_ashi_body": (end - start) / b.close, "heikin_ashi_direction": np.sign(end - start)}


def in_atr(name: str, line: Array, b: Any, p: Any) -> dict[str, Array]:
    """A line and what it is of the ATR."""
    return {name: line, f"{name}_atr": line / atr(b, p.atr)}


TREND: dict[str, tuple[str, Reference]] = {
    **{name: (name.upper(), average(name)) for name in ("sma", "ema", "wma", "dema", "tema", "kama")},
    "ma_cross": ("MA, ATR", cross),
    "macd": ("MACD", lambda b, p: named("macd macd_signal macd_hist", talib.MACD(b.close, p.fast, p.slow, p.signal))),
    "ppo": ("PPO, EMA", ppo),
    "trix": ("TRIX, EMA", lambda b, p: with_ema("trix", talib.TRIX(b.close, p.period), p.signal)),
    "adx": ("ADX, PLUS_DI, MINUS_DI", adx),
    "aroon": ("AROON, AROONOSC", aroon),
    "vortex": ("VORTEX", lambda b, p: named("vortex_plus vortex_minus", talib.VORTEX(*hlc(b), p.period))),
    "donchian": ("DONCHIAN", lambda b, p: channel("donchian", talib.DONCHIAN(b.high, b.low, p.period), b.close)),
    "keltner": ("KC", lambda b, p: channel("keltner", talib.KC(*hlc(b), p.period, p.atr, p.k), b.close)),
    "ichimoku": ("MIDPRICE, shifted", ichimoku),
    "psar": ("SAR", psar),
    "supertrend": ("SUPERTREND", supertrend),
    "linreg": ("LINEARREG_SLOPE, CORREL²", linreg),
    "heikin_ashi": ("HA", heikin_ashi),
    "rsi": ("RSI", lambda b, p: {"rsi": talib.RSI(b.close, p.period)}),
    "stochrsi": (
        "STOCHRSI",
        lambda b, p: named("stochrsi_k stochrsi_d", talib.STOCHRSI(b.close, p.period, p.stochastic, p.d, SMA)),
    ),
    "tsi": ("TSI, EMA", lambda b, p: with_ema("tsi", talib.TSI(b.close, p.slow, p.fast), p.signal)),
    "roc": ("ROC", lambda b, p: {"roc": talib.ROC(b.close, p.period)}),
    "momentum": ("MOM, ATR", lambda b, p: in_atr("momentum", talib.MOM(b.close, p.period), b, p)),
    "kdj": ("KDJ", lambda b, p: named("kdj_k kdj_d kdj_j", talib.KDJ(*hlc(b), p.period, p.k, RMA, p.d, RMA))),
    "stochastic": ("STOCH", lambda b, p: named("stoch_k stoch_d", talib.STOCH(*hlc(b), p.period, p.k, SMA, p.d, SMA))),
    "cci": ("CCI", lambda b, p: {"cci": talib.CCI(*hlc(b), p.period)}),
    "williams_r": ("WILLR", lambda b, p: {"williams_r": talib.WILLR(*hlc(b), p.period)}),
    "ultimate_oscillator": (
        "ULTOSC",
        lambda b, p: {"ultimate_oscillator": talib.ULTOSC(*hlc(b), p.short, p.medium, p.long)},
    ),
    "awesome_oscillator": (
        "AO, ATR",
        lambda b, p: in_atr("awesome_oscillator", talib.AO(b.high, b.low, p.fast, p.slow), b, p),
    ),
    "mfi": ("MFI", lambda b, p: {"mfi": talib.MFI(*hlc(b), b.volume, p.period)}),
}
