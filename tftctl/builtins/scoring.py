"""What the built-in metrics share: the type of a score, and when values say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tftctl.api import MetricInput

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Score = Callable[[MetricInput], float]
NAN = float("nan")


def is_constant(values: Array) -> bool:
    """Whether all values are one, or there are none."""
    return bool((values == values[0]).all()) if values.size else True
