"""The same 17 outputs from this engine and its peers.

A side is three functions: `prepare` brings prepared bars into the form that its users hold (not timed), `run` computes
(timed), `columns` gives the outputs as one array each, in order of symbols and time (not timed). Groups are unbroken
stretches: (symbol, segment).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

OUTPUTS = (
    "sma ema rsi macd macd_signal macd_hist bollinger_upper bollinger_middle bollinger_lower atr adx obv "
    "kdj_k kdj_d kdj_j rolling_volatility return_skewness"
).split()
ENGINE_PACK = "sma ema rsi macd bollinger_bands atr adx obv kdj rolling_volatility return_skewness".split()
PRICES = ("open", "high", "low", "close", "volume")
# pandas' rolling skewness is the sample's; ours the population's
_POPULATION_SKEW = (20 - 2) / (20 * 19) ** 0.5

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Side:
    """One way to compute the outputs. `needs` is the module that it cannot do without."""

    name: str
    needs: str
    prepare: Callable[[list[pl.DataFrame]], Any]
    run: Callable[[Any], Any]
    columns: Callable[[Any], Columns]

    @property
    def installed(self) -> bool:
        """Whether it can run here."""
        return find_spec(self.needs) is not None


def stretches(frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Unbroken stretches of all symbols."""
    return [part for frame in frames for part in frame.partition_by("segment", maintain_order=True)]


def joined(parts: Sequence[Columns]) -> Columns:
    """Stretch after stretch."""
    return {name: np.concatenate([np.asarray(part[name], dtype=float) for part in parts]) for name in OUTPUTS}


# this engine


def engine_prepare(frames: list[pl.DataFrame]) -> Any:
    """Prepared bars by symbol, and instances as a configuration makes them."""
    from tftctl.core.config.features import IndicatorEntry
    from tftctl.features.definitions import resolve_indicators
    from tftctl.plugins import load_registry

    return frames, resolve_indicators([IndicatorEntry(name=name) for name in ENGINE_PACK], load_registry())


def engine_run(data: Any) -> list[pl.DataFrame]:
    """Symbol by symbol, as a build does."""
    from tftctl.features.engine import compute_features

    frames, instances = data
    return [compute_features(frame, instances) for frame in frames]


def engine_columns(made: list[pl.DataFrame]) -> Columns:
    """Null as NaN."""
    return joined([{name: part[name].fill_null(float("nan")).to_numpy() for name in OUTPUTS} for part in made])


# TA-Lib's C functions


def arrays(frames: list[pl.DataFrame]) -> list[dict[str, np.ndarray]]:
    """NumPy arrays of each stretch."""
    return [{name: part[name].to_numpy() for name in PRICES} for part in stretches(frames)]


def talib_columns(bars: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """One stretch; the skewness, which TA-Lib lacks, from moving averages of powers."""
    import talib

    rma, close = talib.MA_Type.RMA, bars["close"]
    ranges = bars["high"], bars["low"], close
    returns = np.concatenate(([np.nan], np.diff(np.log(close))))
    macd = talib.MACD(close, 12, 26, 9)
    bands = talib.BBANDS(close, 20, 2.0, 2.0, talib.MA_Type.SMA)
    kdj = talib.KDJ(*ranges, 9, 3, rma, 3, rma)
    values = [
        talib.SMA(close, 20),
        talib.EMA(close, 20),
        talib.RSI(close, 14),
        *macd,
        *bands,
        talib.ATR(*ranges, 14),
        talib.ADX(*ranges, 14),
        talib.OBV(close, bars["volume"]),
        *kdj,
        talib.STDDEV(returns, 20, (20 / 19) ** 0.5),
        _skewness(returns, 20),
    ]
    return dict(zip(OUTPUTS, values, strict=True))


def _skewness(returns: np.ndarray, window: int) -> np.ndarray:
    import talib

    square = returns * returns
    mean, second, third = (talib.SMA(power, window) for power in (returns, square, square * returns))
    spread = second - mean * mean
    return (third - 3 * mean * second + 2 * mean**3) / (spread * np.sqrt(spread))


def talib_run(groups: list[dict[str, np.ndarray]]) -> list[Columns]:
    """The bare loop over slices."""
    return [talib_columns(group) for group in groups]


# pandas


def pandas_frame(frames: list[pl.DataFrame]) -> pd.DataFrame:
    """One long frame, as users hold it."""
    import pandas as pd

    columns = ("symbol", "segment", *PRICES)
    return pd.concat([pd.DataFrame({name: frame[name].to_numpy() for name in columns}) for frame in frames])


def by_group(function: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """groupby(...).apply of a function from one group's bars to its columns."""

    def run(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.groupby(["symbol", "segment"], sort=False, group_keys=False)[list(PRICES)].apply(function)

    return run


def pandas_columns(made: pd.DataFrame) -> Columns:
    """In the order of the groups, which is that of the rows."""
    return {name: made[name].to_numpy(dtype=float) for name in OUTPUTS}


def talib_group(group: pd.DataFrame) -> pd.DataFrame:
    """TA-Lib on the columns of a group."""
    import pandas as pd

    return pd.DataFrame(talib_columns({name: group[name].to_numpy() for name in PRICES}), index=group.index)


def pandas_ta_group(group: pd.DataFrame) -> pd.DataFrame:
    """pandas-ta-classic's own code (it would call TA-Lib for some)."""
    import pandas as pd
    import pandas_ta_classic as ta

    high, low, close = group["high"], group["low"], group["close"]
    returns = ta.log_return(close)
    macd = ta.macd(close, 12, 26, 9, talib=False).to_numpy().T
    bands = ta.bbands(close, 20, 2.0, ddof=0, talib=False).to_numpy().T
    values = [
        ta.sma(close, 20, talib=False),
        ta.ema(close, 20, talib=False),
        ta.rsi(close, 14, talib=False),
        *(macd[place] for place in (0, 2, 1)),
        *(bands[place] for place in (2, 1, 0)),
        ta.atr(high, low, close, 14, talib=False),
        ta.adx(high, low, close, 14, talib=False).to_numpy().T[0],
        ta.obv(close, group["volume"], talib=False),
        *ta.kdj(high, low, close, 9, 3).to_numpy().T,
        ta.stdev(returns, 20, ddof=1, talib=False),
        ta.skew(returns, 20) * _POPULATION_SKEW,
    ]
    return pd.DataFrame(dict(zip(OUTPUTS, values, strict=True)), index=group.index)


def ta_group(group: pd.DataFrame) -> pd.DataFrame:
    """`ta`, with pandas for what it lacks: the two smoothings of KDJ and the moments of returns."""
    import pandas as pd
    from ta import momentum, trend, volatility, volume

    high, low, close = group["high"], group["low"], group["close"]
    returns = np.log(close / close.shift())
    macd, bands = trend.MACD(close, 26, 12, 9), volatility.BollingerBands(close, 20, 2)
    fast = momentum.StochasticOscillator(high, low, close, window=9, smooth_window=3).stoch()
    k = fast.ewm(alpha=1 / 3, adjust=False).mean()
    d = k.ewm(alpha=1 / 3, adjust=False).mean()
    values = [
        trend.SMAIndicator(close, 20).sma_indicator(),
        trend.EMAIndicator(close, 20).ema_indicator(),
        momentum.RSIIndicator(close, 14).rsi(),
        macd.macd(),
        macd.macd_signal(),
        macd.macd_diff(),
        bands.bollinger_hband(),
        bands.bollinger_mavg(),
        bands.bollinger_lband(),
        volatility.AverageTrueRange(high, low, close, 14).average_true_range(),
        trend.ADXIndicator(high, low, close, 14).adx(),
        volume.OnBalanceVolumeIndicator(close, group["volume"]).on_balance_volume(),
        k,
        d,
        3 * k - 2 * d,
        returns.rolling(20).std(),
        returns.rolling(20).skew() * _POPULATION_SKEW,
    ]
    return pd.DataFrame(dict(zip(OUTPUTS, values, strict=True)), index=group.index)
