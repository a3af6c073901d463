"""What the built-in losses accept as options; ValueError says what is wrong, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

LEVELS = (0.1, 0.5, 0.9)


def quantile_levels(options: Mapping[str, Any]) -> tuple[float, ...]:
    """The option `levels`: rising and strictly between 0 and 1; 0.1, 0.5, 0.9 where it is not given."""
    levels = options.get("levels", LEVELS)
    if not isinstance(levels, list | tuple) or not levels or not all(map(_is_number, levels)):
        raise ValueError(f"levels is {levels!r}, not a list of numbers like {list(LEVELS)}")
    inside = all(0 < level < 1 for level in levels)
    rising = all(low < high for low, high in pairwise(levels))
    if not (inside and rising):
        raise ValueError(f"levels are {list(levels)}: they must rise and lie between 0 and 1, both excluded")
    return tuple(float(level) for level in levels)


def levels_with_median(options: Mapping[str, Any]) -> tuple[float, ...]:
    """The same, with 0.5 among them."""
    levels = quantile_levels(options)
    if 0.5 not in levels:
        raise ValueError(f"levels are {list(levels)}: 0.5 must be among them, for the median is the forecast")
    return levels


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    if not _is_number(value) or not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value!r}, not a number above 0")
    return float(value)


def at_least_0(name: str, value: Any) -> float:
    """A finite number of at least 0."""
    if not _is_number(value) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}, not a number of at least 0")
    return float(value)


def share(name: str, value: Any) -> float:
    """A number strictly between 0 and 1."""
    if not _is_number(value) or not 0 < value < 1:
        raise ValueError(f"{name} is {value!r}, not a number between 0 and 1")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
