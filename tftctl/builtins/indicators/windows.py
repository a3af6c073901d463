"""Lengths of windows, and how long a recursion remembers its seed. Shared by the families of indicators."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

Window = Annotated[int, Field(ge=2, le=5000)]
# The start differs from what follows by up to ten times its size, so less than 1e-9 of the values is left of it
MEMORY = 1e-10


def ema_settle(period: int) -> int:
    """Bars until the seed of an EMA of alpha = 2/(period+1) weighs less than 1e-10."""
    return period + _bars_to_forget(1 - 2 / (period + 1))


def wilder_settle(period: int) -> int:
    """Bars until the seed of Wilder's smoothing (alpha = 1/period) weighs less than 1e-10."""
    return period + _bars_to_forget(1 - 1 / period)


def decay_settle(decay: float, memory: float = MEMORY) -> int:
    """Bars until the seed of an exponential mean with that decay per bar weighs less than `memory`."""
    return 1 + _bars_to_forget(decay, memory)


def _bars_to_forget(decay: float, memory: float = MEMORY) -> int:
    return math.ceil(math.log(memory) / math.log(decay))
