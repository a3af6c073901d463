"""Make tftctl_talib/functions.json from the installed TA-Lib: python make_table.py (a test holds them together).

What TA-Lib says of itself: inputs, parameters with defaults, outputs, first value. What it does not say is measured:
the limits of parameters by asking, the scale of columns on synthetic bars at two price levels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import talib
from talib.abstract import Function

Array = npt.NDArray[np.float64]
Bars = Mapping[str, Array]

TABLE = Path(__file__).parent / "tftctl_talib" / "functions.json"
PREFIX = "talib_"

LEFT_OUT: dict[str, str] = {
    "MAVP": "needs a series of periods, which bars do not have",
    "ACOS": "not defined for prices above 1",
    "ASIN": "not defined for prices above 1",
    "COSH": "overflows at prices above 710",
    "EXP": "overflows at prices above 709",
    "SINH": "overflows at prices above 710",
    "MAXINDEX": "gives positions in the array that was passed; AROON has them as ages",
    "MININDEX": "gives positions in the array that was passed; AROON has them as ages",
    "MINMAXINDEX": "gives positions in the array that was passed; AROON has them as ages",
}

# index numbers that start at a fixed level and wander: no unit, but no ratio either
WANDERING = ("NVI", "PVI")

# narrower than what TA-Lib takes: at 1 it gives the true range itself, not normalised
SMALLEST = {("NATR", "timeperiod"): 2}

SIZE = 1500
FACTOR = 7.3
SMALL_PRICE = 0.003  # bars around 100 become bars around 0.3: what is only flat far from zero shows
FAR = 1e30  # TA-Lib takes up to 3e37 where it has no limit
# from the widest to the narrowest, smallest and largest
LIMITS_INT = (0, 1, 2), (100_000, 13)
LIMITS_FLOAT = (-FAR, 0.0, 0.01), (FAR, 100.0, 1.0, 0.99)


def make_table() -> list[dict[str, Any]]:
    """One row per function that can be an indicator, in the order of TA-Lib's groups."""
    samples = [_bars(1.0), _bars(SMALL_PRICE)]
    return [_row(name, samples) for name in talib.get_functions() if name not in LEFT_OUT]


def input_columns(name: str) -> list[str]:
    """Bar columns in the order of the function's arguments; two free series are high and low, as in TA-Lib's API."""
    return [
        column
        for columns in Function(name).input_names.values()
        for column in (columns if isinstance(columns, list) else [columns])
    ]


def call(name: str, bars: Bars, parameters: Mapping[str, Any]) -> list[Array]:
    """All outputs as floats, from the first value on."""
    made = getattr(talib, name)(*(bars[column] for column in input_columns(name)), **parameters)
    first = Function(name, **parameters).lookback
    return [np.asarray(values, dtype=float)[first:] for values in (made if isinstance(made, tuple) else (made,))]


def _row(name: str, samples: list[Bars]) -> dict[str, Any]:
    info = Function(name).info
    columns = _column_names(name, info["output_names"])
    powers = zip(*(_powers(name, bars) for bars in samples), strict=True)
    return {
        "name": name,
        "group": info["group"],
        "summary": info["display_name"],
        "inputs": input_columns(name),
        "parameters": {key: [value, *_limits(name, key, value)] for key, value in info["parameters"].items()},
        "outputs": dict(zip(columns, (_scaled(name, *pair) for pair in powers), strict=True)),
        "lookback": Function(name).lookback,
    }


def _column_names(name: str, outputs: list[str]) -> list[str]:
    """`talib_rsi`; of several outputs `talib_macd_macdsignal`."""
    stem = PREFIX + name.lower()
    return [stem] if len(outputs) == 1 else [f"{stem}_{output.lower()}" for output in outputs]


def _scaled(name: str, usual: list[int] | None, small: list[int] | None) -> dict[str, Any]:
    """`powers`: by which powers of a factor of prices, and of volumes, the column changes; None where by none."""
    powers = usual if usual == small else None
    if powers is None or name in WANDERING:
        scale = "price"
    elif powers == [0, 0]:
        scale = "free"
    else:
        scale = "volume" if powers[1] else "price"
    return {"scale": scale, "powers": powers}


def _powers(name: str, bars: Bars) -> Iterator[list[int] | None]:
    parameters = dict(Function(name).info["parameters"])
    dearer = {column: values * (1 if column == "volume" else FACTOR) for column, values in bars.items()}
    busier = {column: values * (FACTOR if column == "volume" else 1) for column, values in bars.items()}
    made = (call(name, market, parameters) for market in (bars, dearer, busier))
    for before, by_price, by_volume in zip(*made, strict=True):
        found = [_power(before, after) for after in (by_price, by_volume)]
        yield None if None in found else found  # type: ignore[misc]


def _power(before: Array, after: Array) -> int | None:
    scale = np.median(np.abs(before))
    for power in (0, 1, -1, 2, -2):
        expected = before * FACTOR**power
        if np.allclose(after, expected, rtol=1e-9, atol=1e-9 * scale * FACTOR**power):
            return power
    return None


def _limits(name: str, key: str, default: float) -> tuple[float | None, float | None]:
    """Smallest and largest value of a parameter that TA-Lib takes; None where it takes anything."""
    lows, highs = LIMITS_INT if isinstance(default, int) else LIMITS_FLOAT
    low = SMALLEST.get((name, key)) or next(value for value in lows if _takes(name, key, value))
    high = next(value for value in highs if _takes(name, key, value))
    return (None if low == -FAR else low), (None if high == FAR else high)


def _takes(name: str, key: str, value: float) -> bool:
    parameters = dict(Function(name).info["parameters"]) | {key: value}
    three_bars = [np.array([1.0, 2.0, 3.0])] * len(input_columns(name))
    try:
        getattr(talib, name)(*three_bars, **parameters)
    except Exception as error:  # TA-Lib raises no other kind
        if "Bad Parameter" not in str(error):
            raise
        return False
    return True


def _bars(level: float) -> Bars:
    """A seeded random walk with wandering volatility around 100 * level."""
    rng = np.random.default_rng(5)
    steps = rng.standard_normal((4, SIZE)) * 0.01 * np.exp(0.3 * np.sin(np.arange(SIZE) / 17.0))
    close = 100 * level * np.exp(np.cumsum(steps[0]))
    opened = np.concatenate(([100.0 * level], close[:-1])) * np.exp(0.1 * steps[1])
    high = np.maximum(opened, close) * np.exp(np.abs(steps[2]))
    low = np.minimum(opened, close) * np.exp(-np.abs(steps[3]))
    return {"open": opened, "high": high, "low": low, "close": close, "volume": rng.lognormal(5.0, 0.8, SIZE)}


def write_table(rows: list[dict[str, Any]]) -> None:
    """One row a line, so that a change of TA-Lib reads well in a diff."""
    TABLE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    write_table(make_table())
