"""Levels: support and resistance from confirmed swings, breakouts, pullbacks, and volume where a level is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationInfo, field_validator

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]
    Stages = list[dict[str, pl.Expr]]

Wing = Annotated[int, Field(ge=1, le=500)]


class SwingParams(Params):
    """Bars that a swing towers over before and after it, and bars that are searched for swings."""

    left: Wing = 5
    right: Wing = 5
    bars: Window = 100

    @field_validator("bars")
    @classmethod
    def _room_for_a_swing(cls, bars: int, info: ValidationInfo) -> int:
        if bars < info.data.get("left", 0) + info.data.get("right", 0) + 1:
            raise ValueError("fewer than left + right + 1 bars hold no swing")
        return bars


class LevelVolumeParams(SwingParams):
    """Besides the swings: bars of the mean volume and range, and the reach of a level in mean ranges."""

    period: Window = 20
    width: Annotated[float, Field(ge=0)] = 0.25


class BreakoutParams(Params):
    """Bars before the current one."""

    period: Window = 20


class PullbackParams(Params):
    """Bars up to and with the current one."""

    period: Window = 50


def support_resistance(columns: Mapping[str, Array], params: SwingParams) -> dict[str, Array]:
    """The nearest confirmed swing high above the close and swing low below it, and how far they are from it.

    A swing at bar i is a high above those of `left` bars before and not below those of `right` bars after; it is
    known at bar i + right. Where none is above the close, the highest high of the window stands in (distance 0 at
    a new closing high), likewise below. Distances are in units of the close and never negative.
    """
    close = columns["close"]
    resistance, support = _levels(columns, params)
    return {
        "resistance": resistance,
        "support": support,
        "resistance_distance": (resistance - close) / close,
        "support_distance": (close - support) / close,
    }


def level_volume(columns: Mapping[str, Array], params: LevelVolumeParams) -> dict[str, Array]:
    """volume / its mean of n bars before, where the bar comes near a level that the bar before knew; else 0.

    Near is within `width` mean ranges (high - low, n bars before). Undefined where the mean volume is 0.
    """
    import numpy as np

    from tftctl.builtins.indicators.kernels_swings import mean_before

    high, low = columns["high"], columns["low"]
    usual = mean_before(columns["volume"], params.period)
    reach = params.width * mean_before(high - low, params.period)
    made = {}
    for name, level in zip(("resistance_volume", "support_volume"), _levels(columns, params), strict=True):
        before = np.append(np.nan, level[:-1])
        near = (low - reach <= before) & (before <= high + reach)
        spike = np.where(np.isnan(before) | ~(usual > 0), np.nan, 0.0)
        made[name] = np.divide(columns["volume"], usual, out=spike, where=near & (usual > 0))
    return made


def _levels(columns: Mapping[str, Array], params: SwingParams) -> tuple[Array, Array]:
    """Resistance and support; lows are the highs of the mirrored prices."""
    from tftctl.builtins.indicators.kernels_swings import nearest_above

    close, sizes = columns["close"], (params.left, params.right, params.bars)
    return nearest_above(columns["high"], close, *sizes), -nearest_above(-columns["low"], -close, *sizes)


def breakout(params: BreakoutParams) -> Stages:
    """close/max(high) - 1 and close/min(low) - 1 over the n bars before; 1 above the one, -1 below the other, or 0."""
    import polars as pl

    close, high, low = pl.col("close"), pl.col("_high"), pl.col("_low")
    flag = (close > high).cast(pl.Float64) - (close < low).cast(pl.Float64)
    return [
        {
            "_high": pl.col("high").rolling_max(params.period).shift(1),
            "_low": pl.col("low").rolling_min(params.period).shift(1),
        },
        {"breakout_high": close / high - 1, "breakout_low": close / low - 1, "breakout_flag": flag},
    ]


def pullback(params: PullbackParams) -> Stages:
    """close / highest high - 1 (0 to -1) and close / lowest low - 1 (from 0) of the last n bars."""
    import polars as pl

    return [
        {
            "pullback_from_high": pl.col("close") / pl.col("high").rolling_max(params.period) - 1,
            "rebound_from_low": pl.col("close") / pl.col("low").rolling_min(params.period) - 1,
        }
    ]


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Support and resistance, volume at them, breakout, pullback."""
    yield Indicator(
        name="support_resistance",
        summary="nearest confirmed swing high above the close and swing low below it, and the distances to them",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(
            Output("resistance", "price"),
            Output("support", "price"),
            Output("resistance_distance"),
            Output("support_distance"),
        ),
        params=SwingParams,
        kernel=support_resistance,
        first_valid=lambda p: p.bars - 1,
        settle=lambda p: p.bars - 1,
    )
    yield Indicator(
        name="level_volume",
        summary="volume relative to its mean where the bar comes near the resistance or support known before, else 0",
        inputs=lambda p: ("high", "low", "close", "volume"),
        outputs=(Output("resistance_volume"), Output("support_volume")),
        params=LevelVolumeParams,
        kernel=level_volume,
        first_valid=lambda p: max(p.bars, p.period),
        settle=lambda p: max(p.bars, p.period),
    )
    yield Indicator(
        name="breakout",
        summary="close against the highest high and lowest low of the n bars before, and the side it broke out of",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("breakout_high"), Output("breakout_low"), Output("breakout_flag")),
        params=BreakoutParams,
        expr=breakout,
        first_valid=lambda p: p.period,
        settle=lambda p: p.period,
    )
    yield Indicator(
        name="pullback",
        summary="close against the highest high and the lowest low of the last n bars",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(Output("pullback_from_high"), Output("rebound_from_low")),
        params=PullbackParams,
        expr=pullback,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
    )
