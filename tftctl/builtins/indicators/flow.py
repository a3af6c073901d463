"""Money flow: Chaikin's accumulation/distribution line, oscillator and money flow; who took, buyers or sellers.

Chaikin's flow of a bar is volume * ((close - low) - (high - close)) / (high - low), 0 where high = low.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.windows import Window, ema_settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Columns = Mapping[str, Array]

BARS = ("high", "low", "close", "volume")
TAKER = "taker_buy_volume"


class FlowParams(Params):
    """Bars in the window."""

    period: Window = 20


class OscillatorParams(Params):
    """Fast and slow EMA lengths."""

    fast: Window = 3
    slow: Window = 10


def ad_line(columns: Columns, params: Params) -> dict[str, Array]:
    """Running sum of the flow, from the start of the segment. `cmf` is its scale-free change."""
    import talib

    return {"ad_line": talib.AD(*(columns[name] for name in BARS))}


def chaikin_oscillator(columns: Columns, params: OscillatorParams) -> dict[str, Array]:
    """EMA(fast) - EMA(slow) of the A/D line, both seeded with its first value, TA-Lib's ADOSC.

    Relative: divided by the mean volume of as many bars as the slower EMA; undefined when nothing was traded.
    """
    import talib

    from tftctl.core.rolling import rolling_sum

    high, low, close, volume = (columns[name] for name in BARS)
    oscillator = talib.ADOSC(high, low, close, volume, fastperiod=params.fast, slowperiod=params.slow)
    window = max(params.fast, params.slow)
    mean = rolling_sum(volume, window) / window
    return {"chaikin_oscillator": oscillator, "chaikin_oscillator_relative": ratio(oscillator, mean)}


def cmf(columns: Columns, params: FlowParams) -> dict[str, Array]:
    """Sum of the flow over n bars / sum of volume, -1..1; undefined when nothing was traded."""
    from tftctl.core.rolling import rolling_sum

    flow = rolling_sum(_chaikin_flow(columns), params.period)
    return {"cmf": ratio(flow, rolling_sum(columns["volume"], params.period))}


def taker_imbalance(columns: Columns, params: FlowParams) -> dict[str, Array]:
    """(taker buys - taker sells) / volume, -1..1, of the bar and over n bars; bars without volume add nothing."""
    import numpy as np

    from tftctl.core.rolling import rolling_sum

    volume = columns["volume"]
    balance = 2 * columns[TAKER] - volume
    # filled bars have no volume and no taker column
    total = rolling_sum(np.where(volume == 0, 0.0, balance), params.period)
    return {
        "taker_imbalance": ratio(balance, volume),
        "taker_imbalance_mean": ratio(total, rolling_sum(volume, params.period)),
    }


def _chaikin_flow(columns: Columns) -> Array:
    import numpy as np

    high, low, close, volume = (columns[name] for name in BARS)
    location = ratio((close - low) - (high - close), high - low)
    return volume * np.where(high == low, 0.0, location)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """A/D line, Chaikin oscillator, Chaikin money flow, taker imbalance."""
    yield Indicator(
        name="ad_line",
        summary="Chaikin's accumulation/distribution line, from the start of the segment (it never forgets its start)",
        inputs=lambda p: BARS,
        outputs=(Output("ad_line", "volume"),),
        kernel=ad_line,
        settle=lambda p: -1,
    )
    yield Indicator(
        name="chaikin_oscillator",
        summary="EMA(fast) - EMA(slow) of the A/D line, as it is and in mean volumes",
        inputs=lambda p: BARS,
        outputs=(Output("chaikin_oscillator", "volume"), Output("chaikin_oscillator_relative")),
        params=OscillatorParams,
        kernel=chaikin_oscillator,
        first_valid=lambda p: max(p.fast, p.slow) - 1,
        settle=lambda p: ema_settle(max(p.fast, p.slow)),
        tolerance=1e-9,
    )
    yield Indicator(
        name="cmf",
        summary="Chaikin money flow over n bars, -1..1",
        inputs=lambda p: BARS,
        outputs=(Output("cmf"),),
        params=FlowParams,
        kernel=cmf,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
    yield Indicator(
        name="taker_imbalance",
        summary=f"taker buys less taker sells over volume, of the bar and over n bars; needs the column {TAKER}",
        inputs=lambda p: ("volume", TAKER),
        outputs=(
            Output("taker_imbalance", first_valid=lambda p: 0, settle=lambda p: 0),
            Output("taker_imbalance_mean"),
        ),
        params=FlowParams,
        kernel=taker_imbalance,
        first_valid=lambda p: p.period - 1,
        settle=lambda p: p.period - 1,
        tolerance=1e-9,
    )
