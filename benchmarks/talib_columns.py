"""What TA-Lib has of the catalogue: trend and momentum from beside, and volatility, volume and candles."""

from __future__ import annotations

from typing import Any

import numpy as np
import talib
from talib import abstract
from talib_trend import SMA, TREND, Array, Reference, atr, hlc, named, shifted

DAY_MS = 86_400_000
PATTERNS = {
    "doji": ["CDLDOJI"],
    "marubozu": ["CDLMARUBOZU"],
    "hammer": ["CDLHAMMER"],
    "hanging_man": ["CDLHANGINGMAN"],
    "inverted_hammer": ["CDLINVERTEDHAMMER"],
    "shooting_star": ["CDLSHOOTINGSTAR"],
    "engulfing": ["CDLENGULFING"],
    "harami": ["CDLHARAMI"],
    "piercing": ["CDLPIERCING", "CDLDARKCLOUDCOVER"],
    "star": ["CDLMORNINGSTAR", "CDLEVENINGSTAR"],
    "soldiers": ["CDL3WHITESOLDIERS", "CDL3BLACKCROWS"],
}


def returns(b: Any) -> Array:
    """ln(close[t] / close[t-1]), NaN at the first bar."""
    before = shifted(b.close, 1)
    return talib.LN(b.close / before)


def bollinger(b: Any, p: Any) -> dict[str, Array]:
    """From the bands."""
    upper, middle, lower = talib.BBANDS(b.close, p.period, p.k, p.k, SMA)
    return {
        "bollinger_pctb": (b.close - lower) / (upper - lower),
        "bollinger_bandwidth": (upper - lower) / middle,
    }


def atr_slope(b: Any, p: Any) -> dict[str, Array]:
    """Change of the ATR per bar, of what it was."""
    now = atr(b, p.period)
    before = shifted(now, p.bars)
    return {"atr_slope": (now - before) / (p.bars * before)}


def semivariance(b: Any, p: Any) -> dict[str, Array]:
    """Means of squared losses and gains."""
    r = returns(b)
    down, up = (np.where(np.isnan(r), np.nan, side) ** 2 for side in (np.minimum(r, 0), np.maximum(r, 0)))
    return {"semivariance_down": talib.SMA(down, p.period), "semivariance_up": talib.SMA(up, p.period)}


def obv_trend(b: Any, p: Any) -> dict[str, Array]:
    """In mean volumes."""
    line, mean = talib.OBV(b.close, b.volume), talib.SMA(b.volume, p.period)
    change = (line - shifted(line, p.period)) / (mean * p.period)
    return {"obv_slope": talib.LINEARREG_SLOPE(line, p.period) / mean, "obv_change": change}


def chaikin(b: Any, p: Any) -> dict[str, Array]:
    """ADOSC, and in mean volumes."""
    line = talib.ADOSC(*hlc(b), b.volume, p.fast, p.slow)
    return {
        "chaikin_oscillator": line,
        "chaikin_oscillator_relative": line / talib.SMA(b.volume, max(p.fast, p.slow)),
    }


def daily_vwap(b: Any, p: Any) -> dict[str, Array]:
    """TA-Lib's of each day."""
    starts = np.flatnonzero(np.diff(b.timestamp // DAY_MS, prepend=-1))
    days = zip(starts, [*starts[1:], b.close.size], strict=True)
    line = np.concatenate([talib.VWAP(*(x[i:j].copy() for x in (*hlc(b), b.volume))) for i, j in days])
    return {"daily_vwap": line, "daily_vwap_distance": b.close / line - 1}


def correlation(b: Any, p: Any) -> dict[str, Array]:
    """Of price, and of return."""
    return {
        "price_volume_correlation": talib.CORREL(b.close, b.volume, p.period),
        "return_volume_correlation": talib.CORREL(returns(b), b.volume, p.period),
    }


def candles(b: Any, p: Any) -> dict[str, Array]:
    """Sums of TA-Lib's answers / 100, null where one of them has none yet."""
    found = {}
    for column, functions in PATTERNS.items():
        made = sum(getattr(talib, name)(b.open, b.high, b.low, b.close) for name in functions) / 100
        made[: max(abstract.Function(name).lookback for name in functions)] = np.nan
        found[f"candle_{column}"] = made
    return found


REFERENCES: dict[str, tuple[str, Reference]] = {
    **TREND,
    "atr": ("ATR", lambda b, p: {"atr": atr(b, p.period)}),
    "natr": ("NATR", lambda b, p: {"natr": talib.NATR(*hlc(b), p.period)}),
    "atr_to_price": ("ATR / close", lambda b, p: {"atr_to_price": atr(b, p.period) / b.close}),
    "range_to_atr": ("range / ATR", lambda b, p: {"range_to_atr": (b.high - b.low) / atr(b, p.period)}),
    "atr_slope": ("from ATR", atr_slope),
    "tail_bias": ("from ATR", lambda b, p: {"tail_bias": ((b.high - b.close) - (b.close - b.low)) / atr(b, 14)}),
    "bollinger": ("from BBANDS", bollinger),
    "bollinger_bands": (
        "BBANDS",
        lambda b, p: named(
            "bollinger_upper bollinger_middle bollinger_lower", talib.BBANDS(b.close, p.period, p.k, p.k, SMA)
        ),
    ),
    "log_return": ("LN", lambda b, p: {"log_return": returns(b)}),
    "rolling_volatility": (
        "STDDEV of LN returns",
        lambda b, p: {"rolling_volatility": talib.STDDEV(returns(b), p.period, (p.period / (p.period - 1)) ** 0.5)},
    ),
    "parkinson_volatility": (
        "SMA of LN(high / low)²",
        lambda b, p: {
            "parkinson_volatility": np.sqrt(talib.SMA(talib.LN(b.high / b.low) ** 2, p.period) / (4 * np.log(2)))
        },
    ),
    "realized_semivariance": ("SMA of squared LN returns", semivariance),
    "obv": ("OBV", lambda b, p: {"obv": talib.OBV(b.close, b.volume)}),
    "obv_trend": ("LINEARREG_SLOPE(OBV), SMA", obv_trend),
    "relative_volume": ("RVOL", lambda b, p: {"relative_volume": talib.RVOL(b.volume, p.period)}),
    "volume_percentile": ("PERCENTRANK", lambda b, p: {"volume_percentile": talib.PERCENTRANK(b.volume, p.period)}),
    "ad_line": ("AD", lambda b, p: {"ad_line": talib.AD(*hlc(b), b.volume)}),
    "chaikin_oscillator": ("ADOSC, SMA", chaikin),
    "cmf": ("CMF", lambda b, p: {"cmf": talib.CMF(*hlc(b), b.volume, p.period)}),
    "daily_vwap": ("VWAP, day by day", daily_vwap),
    "price_volume_correlation": ("CORREL", correlation),
    "candle_patterns": ("CDL...", candles),
}
