"""Every TA-Lib function by its own name: the table, the calls, the scales, and what is said of memory."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import make_table
import numpy as np
import pytest
import talib
from pydantic import ValidationError
from talib.abstract import Function
from tftctl_talib import load_functions, memory, tftctl_indicators

from tftctl.core.names import name_problem
from tftctl.plugins import load_registry
from tftctl.testing import check_indicator
from tftctl.testing.bars import make_bars

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "tftctl-talib"
RECORDS = {record.name: record for record in tftctl_indicators()}
FUNCTIONS = {f"talib_{function.name.lower()}": function for function in load_functions()}
TABLE = {row["name"]: row for row in make_table.make_table()}
SAMPLE = random.Random(20).sample(sorted(RECORDS), 40)


def bars(size: int = 600, seed: int = 11) -> dict[str, np.ndarray]:
    frame = make_bars(size, seed=seed).drop("timestamp")
    return {name: frame[name].to_numpy(writable=True) for name in frame.columns}


def random_parameters(name: str, rng: random.Random) -> dict[str, Any]:
    """Any that the record takes."""
    chosen = {}
    for key, field in RECORDS[name].params.model_fields.items():
        if key.endswith("matype"):
            chosen[key] = rng.randrange(14)
        elif isinstance(field.default, int):
            chosen[key] = rng.choice([2, 3, 5, 8, 13, 21])
        else:
            chosen[key] = rng.uniform(0.05, 0.95)
    return chosen


def by_abstract_api(name: str, market: dict[str, np.ndarray], parameters: dict[str, Any]) -> Iterator[np.ndarray]:
    """TA-Lib's own way from named bars to outputs; integers are 0 before the first value."""
    function = Function(FUNCTIONS[name].name, **parameters)
    made = function(market)
    for values in made if isinstance(made, (list, tuple)) else [made]:
        expected = np.asarray(values, dtype=float)
        expected[: function.lookback] = np.nan
        yield np.where(np.isinf(expected), np.nan, expected)


def test_table_is_what_the_installed_library_says() -> None:
    import json

    assert json.loads(make_table.TABLE.read_text()) == json.loads(json.dumps(list(TABLE.values())))


def test_every_function_is_there_or_left_out_with_a_reason() -> None:
    assert {function.name for function in FUNCTIONS.values()} | set(make_table.LEFT_OUT) == set(talib.get_functions())
    assert len(FUNCTIONS) == len(RECORDS) == 192
    assert len(make_table.LEFT_OUT) == 9


@pytest.mark.parametrize("name", ["ACOS", "ASIN", "COSH", "EXP", "SINH"])
def test_left_out_because_prices_have_no_such_value(name: str) -> None:
    found = getattr(talib, name)(np.array([711.0, 60_000.0]))
    assert not np.isfinite(found).any()


def test_left_out_because_of_positions() -> None:
    market = bars()["close"]
    whole, later = talib.MAXINDEX(market, 30), talib.MAXINDEX(market[100:].copy(), 30)
    assert np.array_equal(whole[130:], later[30:] + 100)


def test_names_clash_with_nothing() -> None:
    columns = [output.name for record in RECORDS.values() for output in record.outputs]
    assert len(set(columns)) == len(columns) == 224
    assert [name for name in (*RECORDS, *columns) if name_problem(name)] == []
    built_in = [found.record for found in load_registry().provided["indicator"].values() if found.plugin[:5] == "built"]
    taken = {record.name for record in built_in} | {output.name for record in built_in for output in record.outputs}
    assert len(built_in) >= 20
    assert not taken & {*RECORDS, *columns}


def test_names_follow_the_library() -> None:
    assert [output.name for output in RECORDS["talib_rsi"].outputs] == ["talib_rsi"]
    assert [output.name for output in RECORDS["talib_macd"].outputs] == [
        "talib_macd_macd",
        "talib_macd_macdsignal",
        "talib_macd_macdhist",
    ]
    assert RECORDS["talib_obv"].inputs(None) == ("close", "volume")
    assert RECORDS["talib_beta"].inputs(None) == ("high", "low")
    assert RECORDS["talib_macdext"].params().model_dump() == {
        "fastperiod": 12,
        "fastmatype": 0,
        "slowperiod": 26,
        "slowmatype": 0,
        "signalperiod": 9,
        "signalmatype": 0,
    }


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_equals_the_library(name: str) -> None:
    record, market, rng = RECORDS[name], bars(), random.Random(name)
    for parameters in ({}, random_parameters(name, rng), random_parameters(name, rng)):
        params = record.params(**parameters)
        assert record.kernel is not None
        found = record.kernel(market, params)
        expected = list(by_abstract_api(name, market, params.model_dump()))
        assert list(found) == [output.name for output in record.outputs]
        for values, wanted in zip(found.values(), expected, strict=True):
            np.testing.assert_array_equal(values, wanted)
            assert np.flatnonzero(np.isfinite(values))[0] == record.first_valid(params)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_columns_scale_as_the_table_says(name: str) -> None:
    """Prices times 7.3 and volumes times 7.3, each alone, on other bars than the table was made from."""
    record, market = RECORDS[name], bars(1200, seed=77)
    dearer = {key: values * (1 if key == "volume" else 7.3) for key, values in market.items()}
    busier = {key: values * (7.3 if key == "volume" else 1) for key, values in market.items()}
    assert record.kernel is not None
    before, by_price, by_volume = (record.kernel(given, record.params()) for given in (market, dearer, busier))
    for output in record.outputs:
        powers = TABLE[FUNCTIONS[name].name]["outputs"][output.name]["powers"]
        if powers is None:
            assert output.scale == "price"
            assert not np.allclose(by_price[output.name], before[output.name] * 7.3, rtol=1e-9, equal_nan=True)
            continue
        size = np.nanmedian(np.abs(before[output.name]))
        for after, power in ((by_price, powers[0]), (by_volume, powers[1])):
            expected = before[output.name] * 7.3**power
            np.testing.assert_allclose(after[output.name], expected, rtol=1e-9, atol=1e-9 * size * 7.3**power)
        wandering = name in ("talib_nvi", "talib_pvi")
        assert output.scale == ("price" if wandering else scale_of(powers))


def scale_of(powers: list[int]) -> str:
    if powers == [0, 0]:
        return "free"
    return "price" if powers[1] == 0 else "volume"


@pytest.mark.parametrize("name", SAMPLE)
def test_check_passes(name: str) -> None:
    assert [str(finding) for finding in check_indicator(RECORDS[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECORDS))
def test_check_passes_for_all_and_for_other_parameters(name: str) -> None:
    record, rng = RECORDS[name], random.Random(name)
    for parameters in ({}, random_parameters(name, rng)):
        assert [str(finding) for finding in check_indicator(record, record.params(**parameters))] == []


# one of every kind of memory, at lengths that are not the default
MEMORIES = {
    "talib_ema": {"timeperiod": 9},
    "talib_tema": {"timeperiod": 7},
    "talib_t3": {"timeperiod": 4, "vfactor": 0.5},
    "talib_rma": {"timeperiod": 9},
    "talib_adx": {"timeperiod": 6},
    "talib_ma": {"timeperiod": 12, "matype": 12},
    "talib_macdext": {"fastperiod": 5, "fastmatype": 1, "slowperiod": 11, "slowmatype": 4, "signalmatype": 13},
    "talib_kdj": {"slowk_matype": 3, "slowd_matype": 1, "slowk_period": 8},
    "talib_kama": {"timeperiod": 5},
    "talib_smi": {"fastperiod": 9, "slowperiod": 4},
}


@pytest.mark.parametrize("name", sorted(MEMORIES))
def test_memory_at_other_lengths(name: str) -> None:
    record = RECORDS[name]
    params = record.params(**MEMORIES[name])
    assert record.settle(params) > record.first_valid(params)
    assert [str(finding) for finding in check_indicator(record, params)] == []


def test_everything_that_remembers_is_in_the_table_of_memories() -> None:
    """TA-Lib flags what depends on its start; what it builds from averages it does not flag."""
    for function in FUNCTIONS.values():
        flags = " ".join(Function(function.name).function_flags)
        if "path-dependent" in flags:
            assert function.name in memory.NEVER
        if "unstable period" in flags:
            assert function.name in memory.NEVER or function.name in memory.BEYOND_LOOKBACK
    assert memory.NEVER | set(memory.BEYOND_LOOKBACK) <= {function.name for function in FUNCTIONS.values()}
    assert RECORDS["talib_obv"].settle(RECORDS["talib_obv"].params()) == -1
    mama = RECORDS["talib_ma"].params(matype=int(talib.MA_Type.MAMA))
    assert RECORDS["talib_ma"].settle(mama) == -1


@pytest.mark.parametrize("name", ["talib_rsi", "talib_adx", "talib_sma", "talib_cdldoji", "talib_obv"])
def test_nothing_follows_an_input_that_is_no_number(name: str) -> None:
    """TA-Lib goes on with RSI 0 and a frozen ADX after one NaN."""
    record, market = RECORDS[name], bars()
    broken = {key: values.copy() for key, values in market.items()}
    for key in record.inputs(None):
        broken[key][300] = np.nan
    assert record.kernel is not None
    before, after = (record.kernel(given, record.params())[name] for given in (market, broken))
    np.testing.assert_array_equal(after[:300], before[:300])
    assert np.isnan(after[300:]).all()
    assert np.isnan(record.kernel({key: values[300:] for key, values in broken.items()}, record.params())[name]).all()


def test_infinity_is_null() -> None:
    market = bars(60)
    market["volume"][:30] = 0.0
    record = RECORDS["talib_rvol"]
    assert np.isinf(talib.RVOL(market["volume"], timeperiod=20)).any()
    assert record.kernel is not None
    assert not np.isinf(record.kernel(market, record.params())["talib_rvol"]).any()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("talib_rsi", {"timeperiod": 1}),
        ("talib_rsi", {"period": 14}),
        ("talib_natr", {"timeperiod": 1}),
        ("talib_ma", {"matype": 14}),
        ("talib_percentile", {"percentile": 101.0}),
        ("talib_sar", {"maximum": -0.1}),
    ],
)
def test_parameters_are_checked(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RECORDS[name].params(**parameters)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_limits_are_those_of_the_library(name: str) -> None:
    """At every limit the function runs; TA-Lib itself refuses what lies beyond (NATR is stricter here)."""
    function, market = FUNCTIONS[name], bars(50)
    inputs = [market[column] for column in function.inputs]
    for key, (_, low, high) in TABLE[function.name]["parameters"].items():
        defaults = RECORDS[name].params().model_dump()
        for limit, beyond in ((low, -1), (high, 1)):
            if limit is None:
                continue
            getattr(talib, function.name)(*inputs, **defaults | {key: limit})
            step = 1 if isinstance(limit, int) else 0.02
            if name != "talib_natr" or beyond > 0:
                with pytest.raises(Exception, match="Bad Parameter"):
                    getattr(talib, function.name)(*inputs, **defaults | {key: limit + beyond * step})


def test_listing_imports_nothing_heavy() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(PLUGIN)!r})\n"
        "import tftctl_talib\n"
        "from tftctl.core.validity import record_problems\n"
        "records = list(tftctl_talib.tftctl_indicators())\n"
        "assert not [p for record in records for p in record_problems('indicator', record)]\n"
        "heavy = {'talib', 'numpy', 'polars', 'pandas', 'numba'} & set(sys.modules)\n"
        "print(len(records), sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "192 []\n"
