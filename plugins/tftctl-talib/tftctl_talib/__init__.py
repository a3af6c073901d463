"""Every TA-Lib function as an indicator, by its own name: talib_rsi, talib_macd, talib_cdldoji, ..."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from tftctl.api import Indicator, Output, hookimpl
from tftctl_talib.functions import Function, load_functions, run
from tftctl_talib.memory import settle

TOLERANCE = 1e-9  # running sums round differently from another start


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """One indicator per function of the table; TA-Lib itself is imported when one is computed."""
    for function in load_functions():
        yield _indicator(function)


def _indicator(function: Function) -> Indicator:
    return Indicator(
        name=f"talib_{function.name.lower()}",
        summary=f"TA-Lib {function.name}: {function.summary}",
        inputs=lambda params: function.inputs,
        outputs=tuple(Output(column, scale) for column, scale in function.outputs.items()),
        params=function.params,
        kernel=partial(run, function),
        first_valid=function.lookback_for,
        settle=lambda params: settle(function.name, function.lookback_for(params), params),
        tolerance=TOLERANCE,
    )
