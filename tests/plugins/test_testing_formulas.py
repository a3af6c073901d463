"""Indicators and targets: each check finds its planted fault, and sound records pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import planted_records as planted
import polars as pl
import pytest
from planted_records import checks_of

from tftctl import testing
from tftctl.core.records import CrossSectionParams, Output, Params, Yardstick


def test_sound_indicators_pass() -> None:
    stages = [{"_before": pl.col("close").shift(3)}, {"three_bars": pl.col("close") / pl.col("_before") - 1}]
    assert testing.check_indicator(planted.indicator(planted.over_three)) == []
    assert testing.check_indicator(planted.indicator(expr=lambda params: stages)) == []
    in_price = planted.indicator(planted.price_units, outputs=(Output("three_bars", "price"),))
    assert testing.check_indicator(in_price) == []
    assert testing.check_indicator(planted.indicator(planted.long_memory, settle=lambda params: 420)) == []
    assert testing.check_indicator(planted.indicator(planted.long_memory, settle=lambda params: -1)) == []


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("causality", planted.indicator(planted.seen_ahead)),
        ("record", planted.indicator(planted.over_three, tolerance=1e-3)),
        ("first_valid", planted.indicator(planted.over_three, first_valid=lambda params: 2)),
        ("first_valid", planted.indicator(planted.over_three, first_valid=lambda params: 4)),
        ("settle", planted.indicator(planted.long_memory)),
        ("settle", planted.indicator(planted.over_three, settle=lambda params: 2)),
        ("flat", planted.indicator(planted.division_by_move)),
        ("short", planted.indicator(planted.needs_many)),
        ("scale", planted.indicator(planted.price_units)),
        ("finite", planted.indicator(planted.infinite)),
        ("pure", planted.indicator(planted.spoils_input)),
        ("causality", planted.indicator(kernel=planted.falls_silent, inputs=lambda params: ("close", "volume"))),
        ("causality", planted.indicator(planted.marked_outliers)),
        ("causality", planted.indicator(planted.clipped_at_quantile)),
        ("causality", planted.indicator(kernel=planted.quiet_volume, inputs=lambda params: ("close", "volume"))),
    ],
)
def test_indicator_fault(check: str, record: Any) -> None:
    assert checks_of(testing.check_indicator(record)) == {check}


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("causality", planted.indicator(planted.whole_series)),
        ("causality", planted.indicator(planted.backward_filled)),
        ("causality", planted.indicator(expr=lambda params: [{"three_bars": pl.col("close") / pl.col("close").max()}])),
        ("causality", planted.indicator(expr=lambda params: [{"three_bars": pl.col("close").pct_change(-1)}])),
        ("pure", planted.indicator(planted.Counting())),
    ],
)
def test_indicator_fault_among_others(check: str, record: Any) -> None:
    assert check in checks_of(testing.check_indicator(record))


def test_indicator_that_cannot_run() -> None:
    undeclared = planted.indicator(expr=lambda params: [{"three_bars": pl.col("close") / pl.col("open")}])
    (finding,) = testing.check_indicator(undeclared)
    assert finding.check == "run" and "open" in finding.detail and "inputs are close" in finding.detail
    kernel = planted.indicator(kernel=lambda columns, params: {"three_bars": columns["volume"]})
    assert "'volume'" in testing.check_indicator(kernel)[0].detail
    nothing = planted.indicator(kernel=lambda columns, params: {})
    assert "got nothing" in testing.check_indicator(nothing)[0].detail
    short = planted.indicator(lambda close: close[1:])
    assert checks_of(testing.check_indicator(short)) == {"run"}


def test_indicator_outputs() -> None:
    more = planted.indicator(
        kernel=lambda columns, params: {
            "three_bars": planted.over_three(columns["close"]),
            "four_bars": columns["close"],
        }
    )
    (finding,) = testing.check_indicator(more)
    assert finding.check == "outputs" and "'four_bars'" in finding.detail
    known = planted.indicator(planted.over_three, known=True)
    assert checks_of(testing.check_indicator(known)) == {"outputs"}


def test_parameters_reach_the_formula() -> None:
    class Length(Params):
        bars: int = 3

    record = planted.indicator(
        expr=lambda params: [{"three_bars": pl.col("close").pct_change(params.bars)}],
        params=Length,
        settle=lambda params: params.bars,
    )
    assert testing.check_indicator(record) == []
    (finding,) = testing.check_indicator(record, Length(bars=5))
    assert finding.detail == "three_bars: 3 is declared, the first value is at bar 5"


def test_extra_columns_may_have_any_scale() -> None:
    ratio = planted.indicator(
        expr=lambda params: [{"three_bars": pl.col("close") / pl.col("vwap")}],
        inputs=lambda params: ("close", "vwap"),
        first_valid=lambda params: 0,
        settle=lambda params: 0,
    )
    assert testing.check_indicator(ratio) == []


def change_since_block(columns: planted.Columns, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """close / close of the last bar whose number is a multiple of 50, in blocks that are whole."""
    change = np.full(numbers.size, np.nan)
    for t in range(49, numbers.size):
        change[t] = columns["close"][t] / columns["close"][t - int(numbers[t]) % 50]
    return {"three_bars": change}


def test_blocks_are_anchored_to_numbers_of_bars() -> None:
    """`bar_index` counts as in a build, also in an update that begins later; a position in the array does not."""
    fields = {"inputs": lambda params: ("close", "bar_index"), "first_valid": lambda params: 49}
    by_number = planted.indicator(
        kernel=lambda columns, params: change_since_block(columns, columns["bar_index"]),
        settle=lambda params: 49,
        **fields,
    )
    assert testing.check_indicator(by_number) == []
    by_position = planted.indicator(
        kernel=lambda columns, params: change_since_block(columns, np.arange(columns["close"].size)),
        settle=lambda params: 49,
        **fields,
    )
    assert checks_of(testing.check_indicator(by_position)) == {"settle"}


def test_a_cross_section_clipped_by_all_instants_is_found() -> None:
    """A quantile of the whole time is the largest value in a few hundred instants, and leaks in a long store."""

    def clipped(columns: planted.Columns, params: Any, symbols: Any) -> dict[str, np.ndarray]:
        returns = columns["log_return"]
        return {"three_bars": np.minimum(returns, np.quantile(np.nan_to_num(returns), 0.999, axis=0, method="nearest"))}

    def sound(columns: planted.Columns, params: Any, symbols: Any) -> dict[str, np.ndarray]:
        return {"three_bars": columns["log_return"] - np.nanmean(columns["log_return"], axis=1, keepdims=True)}

    fields: dict[str, Any] = {
        "inputs": lambda params: ("log_return",),
        "params": CrossSectionParams,
        "scope": "cross_section",
        "first_valid": lambda params: 0,
        "settle": lambda params: 0,
    }
    assert "causality" in checks_of(testing.check_indicator(planted.indicator(kernel=clipped, **fields)))
    with np.errstate(invalid="ignore"):
        assert testing.check_indicator(planted.indicator(kernel=sound, **fields)) == []


CLOSE = Yardstick(("close",), 2)


def test_sound_targets_pass() -> None:
    assert testing.check_target(planted.target(planted.ahead)) == []
    assert testing.check_target(planted.target(planted.up, kind="binary")) == []
    assert testing.check_target(planted.target(planted.from_yesterday, yardstick=lambda params, span: CLOSE)) == []
    both = Yardstick(("open", "close"), 1)
    assert testing.check_target(planted.target(planted.from_open, yardstick=lambda params, span: both)) == []


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("future", planted.target(planted.one_too_far)),
        ("future", planted.target(planted.up_too_far, kind="binary")),
        ("future", planted.target(planted.clipped_labels)),
        ("end", planted.target(planted.early_barrier, kind="binary")),
        ("past", planted.target(planted.from_yesterday)),
        ("past", planted.target(planted.from_yesterday, yardstick=lambda params, span: Yardstick(("close",), 1))),
        ("past", planted.target(planted.from_open)),
        ("past", planted.target(planted.from_open, yardstick=lambda params, span: CLOSE)),
        ("reach", planted.target(planted.never_ahead)),
        ("conventions", planted.target(planted.ahead, ties=lambda columns, params, span: columns["close"])),
        ("conventions", planted.target(planted.ahead, inside_bar=lambda columns, params, span: np.array([True]))),
        ("record", planted.target(planted.ahead, ties=0.5)),
        ("end", planted.target(planted.to_the_end)),
        ("short", planted.target(planted.first_bars)),
        ("values", planted.target(planted.ahead, kind="binary")),
        ("values", planted.target(lambda columns, h: np.full(columns["close"].size, np.nan))),
        ("yardstick", planted.target(planted.ahead, yardstick=lambda params, span: Yardstick(("volume",), 1))),
        ("yardstick", planted.target(planted.ahead, yardstick=lambda params, span: 5)),
        ("run", planted.target(lambda columns, h: columns["close"][h:])),
        ("run", planted.target(lambda columns, h: columns["high"])),
    ],
)
def test_target_fault(check: str, record: Any) -> None:
    assert checks_of(testing.check_target(record)) == {check}


def test_target_in_expressions() -> None:
    close = pl.col("close")
    sound = planted.target(
        None, kernel=None, expr=lambda params, span: [{"label": (close.shift(-span.horizon) / close).log()}]
    )
    assert testing.check_target(sound) == []
    late = planted.target(
        None, kernel=None, expr=lambda params, span: [{"label": (close.shift(-span.horizon) / close.shift(1)).log()}]
    )
    assert checks_of(testing.check_target(late)) == {"past"}


def test_every_horizon_is_checked() -> None:
    def wrong_at_days(columns: planted.Columns, horizon: int) -> np.ndarray:
        return planted.ahead(columns, 6 if horizon == 5 else horizon)

    record = planted.target(wrong_at_days, horizon={"1h": 2, "1d": 5})
    assert "future" in checks_of(testing.check_target(record))
