"""How long each function remembers where its series began.

Windows forget at once when the first bar leaves them. A moving average with weight alpha of the newest value keeps
(1 - alpha)^n of its seed after n bars; one average of another needs the bars of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

# what is left of a seed: smaller than the 1e-9 of a settled column, as a seed can be many times the values themselves
LEFT = 1e-12
KAMA_SLOWEST = (2 / 31) ** 2


def settle(name: str, lookback: int, params: Any) -> int:
    """Bars after which the start of the segment is forgotten, -1 for never (or where no bound is known)."""
    extra = math.inf if name in NEVER else BEYOND_LOOKBACK.get(name, lambda params: 0)(params)
    return lookback + int(extra) if math.isfinite(extra) else -1


def _forget(alpha: float) -> float:
    return 0 if alpha >= 1 else math.ceil(math.log(LEFT) / math.log(1 - alpha))


def _ema(period: int) -> float:
    return _forget(2 / (period + 1))


def _wilder(period: int) -> float:
    return _forget(1 / period)


def _average(period: int, matype: int) -> float:
    """Of TA-Lib's MA_Type: SMA, EMA, WMA, DEMA, TEMA, TRIMA, KAMA, MAMA, T3, HMA, none, default, ZLEMA, RMA."""
    ema = _ema(period)
    kama, rma = _forget(KAMA_SLOWEST), _wilder(period)
    memory = (0, ema, 0, 2 * ema, 3 * ema, 0, kama, math.inf, 6 * ema, 0, 0, math.inf, ema, rma)
    return memory[matype]


def _slower(params: Any, fast: str = "matype", slow: str = "matype") -> float:
    return max(
        _average(params.fastperiod, getattr(params, fast)),
        _average(params.slowperiod, getattr(params, slow)),
    )


def _macdext(params: Any) -> float:
    return _slower(params, "fastmatype", "slowmatype") + _average(params.signalperiod, params.signalmatype)


def _stochastic(params: Any) -> float:
    return _average(params.slowk_period, params.slowk_matype) + _average(params.slowd_period, params.slowd_matype)


# cumulative from the first bar, or states that depend on the path: SAR, SUPERTREND. The Hilbert transforms and MAMA
# feed a period back that they measure themselves: they seem to settle within 300 bars, but nothing says they must
NEVER = frozenset(
    """AD ADOSC CUMSUM NVI OBV PVI PVT WAD VWAP SAR SAREXT SUPERTREND
    HT_DCPERIOD HT_DCPHASE HT_PHASOR HT_SINE HT_TRENDLINE HT_TRENDMODE MAMA""".split()
)

BEYOND_LOOKBACK: dict[str, Callable[[Any], float]] = {
    **dict.fromkeys(("EMA", "ZLEMA", "ERI", "EFI", "CVI"), lambda p: _ema(p.timeperiod)),
    "DEMA": lambda p: 2 * _ema(p.timeperiod),
    **dict.fromkeys(("TEMA", "TRIX"), lambda p: 3 * _ema(p.timeperiod)),
    "T3": lambda p: 6 * _ema(p.timeperiod),
    **dict.fromkeys(
        ("RMA", "RSI", "CMO", "ATR", "NATR", "DX", "MINUS_DI", "MINUS_DM", "PLUS_DI", "PLUS_DM", "RVI"),
        lambda p: _wilder(p.timeperiod),
    ),
    **dict.fromkeys(("ADX", "ADXR"), lambda p: 2 * _wilder(p.timeperiod)),
    "KAMA": lambda p: _forget(KAMA_SLOWEST),
    "HA": lambda p: _forget(0.5),
    **dict.fromkeys(("MA", "BBANDS"), lambda p: _average(p.timeperiod, p.matype)),
    **dict.fromkeys(("APO", "PPO", "PVO"), _slower),
    "MACD": lambda p: _ema(max(p.fastperiod, p.slowperiod)) + _ema(p.signalperiod),
    "MACDFIX": lambda p: _ema(26) + _ema(p.signalperiod),
    "MACDEXT": _macdext,
    "MASSI": lambda p: 2 * _ema(p.fastperiod),
    "TSI": lambda p: _ema(p.firstperiod) + _ema(p.secondperiod),
    "SMI": lambda p: _ema(p.fastperiod) + _ema(p.slowperiod) + _ema(p.signalperiod),
    "KC": lambda p: max(_ema(p.timeperiod), _wilder(p.atrperiod)),
    **dict.fromkeys(("STOCH", "KDJ"), _stochastic),
    "STOCHF": lambda p: _average(p.fastd_period, p.fastd_matype),
    "STOCHRSI": lambda p: _wilder(p.timeperiod) + _average(p.fastd_period, p.fastd_matype),
}
