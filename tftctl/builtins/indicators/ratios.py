"""Ratios: undefined (NaN), never infinite, where the denominator is 0; logarithms that keep all digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


def ratio(numerator: Array, denominator: Array) -> Array:
    """numerator / denominator where the denominator is positive, else NaN."""
    import numpy as np

    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def log_ratio(numerator: Array, denominator: Array) -> Array:
    """ln(numerator / denominator) as log1p of the relative difference.

    Prices a tick apart have an exact difference; the difference of their logarithms would lose up to ten digits.
    """
    import numpy as np

    return np.log1p((numerator - denominator) / denominator)


def log_returns(close: Array) -> Array:
    """ln(close[t] / close[t-1]); NaN at the first bar."""
    from tftctl.builtins.indicators.kernels_recursions import log_changes

    return log_changes(close)
