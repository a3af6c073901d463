"""Oscillators over highs, lows and closes: stochastics, CCI, Williams %R, ultimate, awesome.

Sources: Lane's stochastics (1957), KDJ with J = 3K - 2D; Lambert, Commodity Channel Index (Commodities, 1980);
Williams, How I Made One Million Dollars (1973) and The Ultimate Oscillator (Stocks & Commodities, 1985); B. Williams,
New Trading Dimensions (1998) for the awesome oscillator. TA-Lib's C functions, every parameter explicit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.relative import in_ranges
from tftctl.builtins.indicators.windows import Window, wilder_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Smoothing = Annotated[int, Field(ge=1, le=500)]


class KdjParams(Params):
    """Length of the raw stochastic, and of the Wilder means that make K and D."""

    period: Window = 9
    k: Annotated[int, Field(ge=2, le=500)] = 3
    d: Annotated[int, Field(ge=2, le=500)] = 3


class StochParams(Params):
    """Length of the raw stochastic, and of the plain means that make K and D."""

    period: Window = 14
    k: Smoothing = 3
    d: Smoothing = 3


class CciParams(Params):
    """Bars in the mean and in the mean deviation, which takes a step per bar of the window."""

    period: Annotated[int, Field(ge=2, le=500)] = 20


class WilliamsParams(Params):
    """Bars in the window."""

    period: Window = 14


class UltimateParams(Params):
    """Bars in the three sums, of weights 4, 2 and 1 from the shortest on."""

    short: Window = 7
    medium: Window = 14
    long: Window = 28

    @property
    def longest(self) -> int:
        """The longest of the three."""
        return max(self.short, self.medium, self.long)


class AwesomeParams(Params):
    """Lengths of the two means, and Wilder length of the ATR."""

    fast: Window = 5
    slow: Window = 34
    atr: Window = 14

    @property
    def longest(self) -> int:
        """The longer of the two means."""
        return max(self.fast, self.slow)


def kdj(columns: Mapping[str, Array], params: KdjParams) -> dict[str, Array]:
    """RSV = 100 (close - low_n)/(high_n - low_n); K = RMA_k(RSV); D = RMA_d(K); J = 3K - 2D."""
    import talib

    from tftctl.builtins.indicators.kernels_recursions import smoothed_stochastic

    lowest = talib.MIN(columns["low"], timeperiod=params.period)
    highest = talib.MAX(columns["high"], timeperiod=params.period)
    k, d = smoothed_stochastic(columns["close"], lowest, highest, params.period - 1, params.k, params.d)
    return {"kdj_k": k, "kdj_d": d, "kdj_j": 3 * k - 2 * d}


def stochastic(columns: Mapping[str, Array], params: StochParams) -> dict[str, Array]:
    """RSV as for KDJ, 0 for 0/0; K = mean of the last k RSV; D = mean of the last d K."""
    import talib

    k, d = talib.STOCH(
        *_bars(columns),
        fastk_period=params.period,
        slowk_period=params.k,
        slowk_matype=talib.MA_Type.SMA,
        slowd_period=params.d,
        slowd_matype=talib.MA_Type.SMA,
    )
    return {"stoch_k": k, "stoch_d": d}


def cci(columns: Mapping[str, Array], params: CciParams) -> dict[str, Array]:
    """(typical price - its mean) / (0.015 mean absolute deviation) over n bars, 0 for 0/0."""
    import talib

    return {"cci": talib.CCI(*_bars(columns), timeperiod=params.period)}


def williams_r(columns: Mapping[str, Array], params: WilliamsParams) -> dict[str, Array]:
    """-100 (high_n - close)/(high_n - low_n), 0 for 0/0."""
    import talib

    return {"williams_r": talib.WILLR(*_bars(columns), timeperiod=params.period)}


def ultimate_oscillator(columns: Mapping[str, Array], params: UltimateParams) -> dict[str, Array]:
    """100 (4 a1/b1 + 2 a2/b2 + a3/b3)/7; a = sum of close - true low, b = sum of true ranges; a/b is 0 for 0/0."""
    import talib

    line = talib.ULTOSC(*_bars(columns), timeperiod1=params.short, timeperiod2=params.medium, timeperiod3=params.long)
    return {"ultimate_oscillator": line}


def awesome_oscillator(columns: Mapping[str, Array], params: AwesomeParams) -> dict[str, Array]:
    """Mean of (high + low)/2 over `fast` bars minus that over `slow` bars, and the same in units of the ATR."""
    import talib

    line = talib.AO(columns["high"], columns["low"], fastperiod=params.fast, slowperiod=params.slow)
    average_range = talib.ATR(*_bars(columns), timeperiod=params.atr)
    return {"awesome_oscillator": line, "awesome_oscillator_atr": in_ranges(line, average_range, columns["close"])}


def _bars(columns: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    return columns["high"], columns["low"], columns["close"]


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """KDJ, stochastic, CCI, Williams %R, ultimate and awesome oscillators."""
    yield Indicator(
        name="kdj",
        summary="stochastic K and D by Wilder's means, and J = 3K - 2D",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("kdj_k"), Output("kdj_d"), Output("kdj_j")),
        params=KdjParams,
        kernel=kdj,
        first_valid=lambda p: p.period + p.k + p.d - 3,
        settle=lambda p: p.period + wilder_settle(p.k) + wilder_settle(p.d),
        tolerance=1e-9,
    )
    yield Indicator(
        name="stochastic",
        summary="slow stochastic K and D by plain means, 0..100; 0 where the price never moves",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("stoch_k"), Output("stoch_d")),
        params=StochParams,
        kernel=stochastic,
        first_valid=lambda p: p.period + p.k + p.d - 3,
        settle=lambda p: p.period + p.k + p.d - 3,
        tolerance=1e-9,
    )
    yield Indicator(
        name="cci",
        summary="commodity channel index: typical price against its mean, in mean deviations; 0 where flat",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("cci"),),
        params=CciParams,
        kernel=cci,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
    yield Indicator(
        name="williams_r",
        summary="Williams %R, -100 at the lowest low to 0 at the highest high of n bars; 0 where flat",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("williams_r"),),
        params=WilliamsParams,
        kernel=williams_r,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
    )
    yield Indicator(
        name="ultimate_oscillator",
        summary="buying pressure over three windows in true ranges, 0..100; 0 where the price never moves",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("ultimate_oscillator"),),
        params=UltimateParams,
        kernel=ultimate_oscillator,
        first_valid=lambda p: p.longest,
        settle=lambda p: p.longest,
        tolerance=1e-9,
    )
    yield Indicator(
        name="awesome_oscillator",
        summary="fast minus slow mean of the bar's middle, in units of price and of the ATR (null for ATR 0)",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(
            Output("awesome_oscillator", "price", settle=lambda p: p.longest - 1),
            Output("awesome_oscillator_atr", first_valid=lambda p: max(p.longest - 1, p.atr)),
        ),
        params=AwesomeParams,
        kernel=awesome_oscillator,
        first_valid=lambda p: p.longest - 1,
        settle=lambda p: max(p.longest - 1, wilder_settle(p.atr)),
        tolerance=1e-9,
    )
