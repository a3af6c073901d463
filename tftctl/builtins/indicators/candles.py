"""Candlesticks as numbers: the shape of one bar, and the patterns of TA-Lib."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Indicator, Output, Params, hookimpl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]
    Stages = list[dict[str, pl.Expr]]

PRICES = ("open", "high", "low", "close")
PRICE_BITS = 40

# column -> TA-Lib's functions, of which at most one speaks at a time, and the bars before the first answer
PATTERNS: dict[str, tuple[tuple[str, ...], int]] = {
    "candle_doji": (("CDLDOJI",), 10),
    "candle_marubozu": (("CDLMARUBOZU",), 10),
    "candle_hammer": (("CDLHAMMER",), 11),
    "candle_hanging_man": (("CDLHANGINGMAN",), 11),
    "candle_inverted_hammer": (("CDLINVERTEDHAMMER",), 11),
    "candle_shooting_star": (("CDLSHOOTINGSTAR",), 11),
    "candle_engulfing": (("CDLENGULFING",), 2),
    "candle_harami": (("CDLHARAMI",), 11),
    "candle_piercing": (("CDLPIERCING", "CDLDARKCLOUDCOVER"), 11),
    "candle_star": (("CDLMORNINGSTAR", "CDLEVENINGSTAR"), 12),
    "candle_soldiers": (("CDL3WHITESOLDIERS", "CDL3BLACKCROWS"), 13),
}


class PatternParams(Params):
    """How far the last close must reach into the body before: of a star, and of a dark cloud."""

    star: Annotated[float, Field(ge=0, le=1)] = 0.3
    cloud: Annotated[float, Field(ge=0, le=1)] = 0.5


def candle_shape(params: Params) -> Stages:
    """Body (signed) and wicks as shares of high - low, 0 for a bar without range; gap; sign of the body.

    Body (close - open), upper wick (high - max(open, close)), lower wick (min(open, close) - low); the gap is
    open / previous close - 1.
    """
    import polars as pl

    opened, high, low, close = (pl.col(name) for name in PRICES)
    width = pl.col("_range")
    parts = {
        "candle_body": close - opened,
        "candle_upper_wick": high - pl.max_horizontal("open", "close"),
        "candle_lower_wick": pl.min_horizontal("open", "close") - low,
    }
    shares = {name: pl.when(width > 0).then(part / width).otherwise(0.0) for name, part in parts.items()}
    return [
        {"_range": high - low},
        {**shares, "candle_gap": opened / close.shift(1) - 1, "candle_direction": (close - opened).sign()},
    ]


def candle_patterns(columns: Mapping[str, Array], params: PatternParams) -> dict[str, Array]:
    """TA-Lib's patterns / 100: 1 bullish, -1 bearish, 0 none; an engulfing or harami that touches counts 0.8.

    TA-Lib compares bodies and wicks with running sums over the bars before. A bar of extreme range, as on the first
    day of a listing, leaves its rounding in the sum for good, which then decides where body and mean are equal, as
    they often are in coarse ticks. Prices are therefore rounded to 40 bits (1e-12), with which the sums are exact
    and a result depends on the bars of its pattern alone; it differs from TA-Lib's own only in such ties.
    """
    prices = [rounded(columns[name]) for name in PRICES]
    options = {
        "CDLMORNINGSTAR": {"penetration": params.star},
        "CDLEVENINGSTAR": {"penetration": params.star},
        "CDLDARKCLOUDCOVER": {"penetration": params.cloud},
    }
    return {name: _pattern(prices, functions, warm_up, options) for name, (functions, warm_up) in PATTERNS.items()}


def rounded(prices: Array) -> Array:
    """The nearest numbers of 40 bits."""
    import numpy as np

    fraction, exponent = np.frexp(prices)
    return np.ldexp(np.rint(np.ldexp(fraction, PRICE_BITS)), exponent - PRICE_BITS)


def _pattern(
    prices: list[Array], functions: tuple[str, ...], warm_up: int, options: Mapping[str, Mapping[str, float]]
) -> Array:
    import numpy as np
    import talib

    found = np.zeros(prices[0].size)
    for name in functions:
        found += getattr(talib, name)(*prices, **options.get(name, {})) / 100
    found[:warm_up] = np.nan
    return found


def _pattern_output(name: str, warm_up: int) -> Output:
    return Output(name, first_valid=lambda p: warm_up, settle=lambda p: warm_up)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Shape of the bar, and patterns."""
    yield Indicator(
        name="candle_shape",
        summary="body and wicks as shares of the bar's range (0 without range), gap from the close before, direction",
        inputs=lambda p: PRICES,
        outputs=(
            Output("candle_body"),
            Output("candle_upper_wick"),
            Output("candle_lower_wick"),
            Output("candle_gap", first_valid=lambda p: 1, settle=lambda p: 1),
            Output("candle_direction"),
        ),
        expr=candle_shape,
    )
    yield Indicator(
        name="candle_patterns",
        summary="well-known candlestick patterns by TA-Lib: 1 bullish, -1 bearish, 0 none",
        inputs=lambda p: PRICES,
        outputs=tuple(_pattern_output(name, warm_up) for name, (_, warm_up) in PATTERNS.items()),
        params=PatternParams,
        kernel=candle_patterns,
    )
