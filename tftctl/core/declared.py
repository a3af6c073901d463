"""What an indicator declares in bars, at bars of one period or of any (SEMANTICS F3)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tftctl.core.records import Indicator, Output

# where no period is known, a declaration is the largest of these
ANY_PERIOD = ("1m", "1h", "1d", "1w")


def declared_bars(function: Callable[..., int], params: Any, period: str | None = None) -> int:
    """Bars that `function(params)` or `function(params, period)` declares; without a period enough for any of them.

    -1, for ever, is the largest.
    """
    if not asks_period(function):
        return function(params)
    found = [function(params, asked) for asked in (ANY_PERIOD if period is None else (period,))]
    return -1 if min(found) < 0 else max(found)


def asks_period(function: Callable[..., int]) -> bool:
    """Whether it has to be told the period of the bars: it takes two arguments that have no default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # functions in C may have no signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters) == 2


def first_valid_of(record: Indicator, output: Output, params: Any, period: str | None = None) -> int:
    """Index of the first bar at which an output has a value."""
    return declared_bars(output.first_valid or record.first_valid, params, period)


def settle_of(record: Indicator, output: Output, params: Any, period: str | None = None) -> int:
    """Bars after which an output has forgotten where its bars begin; -1 for never."""
    return declared_bars(output.settle or record.settle, params, period)


def follows_period(record: Indicator) -> bool:
    """Whether what the indicator declares differs from period to period."""
    of_outputs = [f for output in record.outputs for f in (output.first_valid, output.settle) if f is not None]
    return any(map(asks_period, (record.first_valid, record.settle, *of_outputs)))
