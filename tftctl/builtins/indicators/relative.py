"""Lines and moves in units of price made scale-free: relative to the close, to the ATR, to a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tftctl.builtins.indicators.ratios import ratio

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

# Relative to the price: what rounding leaves of a move, and of a range that decays in a market which stands still
STANDSTILL = 1e-12


def distance(close: Array, line: Array) -> Array:
    """(close - line) / close: how far the close stands above the line."""
    return ratio(close - line, close)


def in_ranges(move: Array, average_range: Array, close: Array) -> Array:
    """A move in units of the ATR; NaN where the ATR is no more than 1e-12 of the close."""
    return ratio(move, _moving(average_range, close))


def position(close: Array, lower: Array, upper: Array) -> Array:
    """(close - lower) / (upper - lower); NaN where the channel is no wider than 1e-12 of the close."""
    return ratio(close - lower, _moving(upper - lower, close))


def _moving(extent: Array, close: Array) -> Array:
    """0 for what is only rounding."""
    import numpy as np

    return np.where(extent > STANDSTILL * close, extent, 0.0)
