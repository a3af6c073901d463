"""What indicators declare in bars may depend on the period of the bars (SEMANTICS F3)."""

from __future__ import annotations

import dataclasses
import functools
from operator import itemgetter
from typing import Any

import pytest

from tftctl.core.declared import asks_period, declared_bars
from tftctl.core.validity import record_problems
from tftctl.plugins import load_registry


def of_both(params: Any, period: str) -> int:
    """Takes both."""
    return {"1m": 9, "1h": 7, "1d": 3, "1w": 1, "4h": 5}[period] + params["n"]


@pytest.mark.parametrize(
    ("function", "asks"),
    [
        (lambda params: 3, False),
        (lambda params, period: 3, True),
        (lambda params, factor=2: 3, False),
        (lambda params, *, factor=2: 3, False),
        (functools.partial(lambda factor, params, period: 3, 2), True),
        (itemgetter("n"), False),
    ],
)
def test_only_a_second_argument_without_a_default_is_the_period(function: Any, asks: bool) -> None:
    """`settle(params)` of every plugin written before means what it meant."""
    assert asks_period(function) is asks


def test_without_a_period_the_declaration_is_enough_for_all() -> None:
    """-1 is for ever, and more than any number."""
    assert [declared_bars(of_both, {"n": 10}, period) for period in ("1h", "4h", None)] == [17, 15, 19]
    assert declared_bars(lambda params, period: -1 if period == "1w" else 50, None) == -1
    assert declared_bars(itemgetter("n"), {"n": 4}, "1h") == 4


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda params, period: 0.5 if period == "1d" else 1, "returns 0.5"),
        (lambda params, period: {"1h": 24}[period], "KeyError"),
        (lambda params, period, more: 1, "TypeError"),
    ],
)
def test_a_declaration_that_does_not_answer_is_a_fault_of_the_record(function: Any, words: str) -> None:
    """STYLE 12: found when the plugin is loaded."""
    record = load_registry().indicator("daily_vwap")
    assert record_problems("indicator", record) == []
    (problem,) = record_problems("indicator", dataclasses.replace(record, settle=function))
    assert words in problem
