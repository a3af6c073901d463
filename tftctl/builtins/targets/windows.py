"""Windows of bars behind and ahead of a row, shared by the families of targets.

Sums are taken anew for every row: a label is a function of its yardstick and its horizon, to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

HORIZON = {"1h": 24, "4h": 6, "1d": 5}
Bars = Annotated[int, Field(ge=2, le=5000)]
Factor = Annotated[float, Field(gt=0)]


def ahead(values: Array, step: int) -> Array:
    """values[t + step]; NaN past the end."""
    import numpy as np

    shifted = np.full(values.size, np.nan)
    if values.size > step:
        shifted[: values.size - step] = values[step:]
    return shifted


def window_sum(values: Array, bars: int) -> Array:
    """Sum of values[t-n+1..t]; NaN before n values are there."""
    import numpy as np

    total = np.full(values.size, np.nan)
    if values.size >= bars:
        total[bars - 1 :] = np.lib.stride_tricks.sliding_window_view(values, bars).sum(axis=1)
    return total


def window_mean(values: Array, bars: int) -> Array:
    """Mean of values[t-n+1..t], exactly the value itself where all are equal; NaN before n values are there."""
    import numpy as np

    return np.clip(window_sum(values, bars) / bars, lowest(values, bars), highest(values, bars))


def highest(values: Array, bars: int) -> Array:
    """Maximum of values[t-n+1..t]; NaN before n values are there."""
    import polars as pl

    return pl.Series(values).fill_nan(None).rolling_max(bars).fill_null(float("nan")).to_numpy()


def lowest(values: Array, bars: int) -> Array:
    """Minimum of values[t-n+1..t]; NaN before n values are there."""
    return -highest(-values, bars)


def known_where(known: Mask, label: npt.NDArray[np.generic]) -> Array:
    """The label as float64, NaN where it is not known."""
    import numpy as np

    return np.where(known, label, np.nan)


def complete(size: int, horizon: int) -> Mask:
    """Rows whose bars t+1..t+h are all there."""
    import numpy as np

    return np.arange(size) < size - horizon
