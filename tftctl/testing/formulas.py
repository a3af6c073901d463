"""What is asked of indicators and targets alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tftctl.features.engine import input_arrays
from tftctl.testing.bars import Array, difference, flat


def short_segments(run: Callable[[pl.DataFrame], Any], bars: pl.DataFrame, sizes: Iterable[int]) -> Iterator[str]:
    """Segments may have any length; the engine hands all of them over."""
    for size in sorted({1, 2, 3, *sizes}):
        try:
            run(bars.head(size))
        except Exception as error:  # noqa: BLE001 - the guest's own failure is what we report
            yield f"a segment of {size} bars raises {type(error).__name__}: {error}"
            return


def spoilt_inputs(
    kernel: Callable[[Mapping[str, Array]], Any], bars: pl.DataFrame, names: Sequence[str]
) -> Iterator[str]:
    """Inputs that a kernel writes into."""
    given, copies = input_arrays(bars, names), input_arrays(bars, names)
    with np.errstate(all="ignore"):
        kernel(given)
    for name, values in copies.items():
        if difference(values, given[name], 0.0) is not None:
            yield f"it changes its input {name!r} in place"


def infinities(name: str, values: Array, where: str = "") -> Iterator[str]:
    """The first infinite value."""
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        yield f"{name} is infinite at bar {infinite[0]}{where}; make it NaN where it is undefined"


def still_markets(bars: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Prices that stand still without volume, always and from the middle on."""
    half = bars.height // 2
    return {
        " of flat prices without volume": flat(bars, 0),
        f" where prices are flat and without volume from bar {half} on": flat(bars, half),
    }
