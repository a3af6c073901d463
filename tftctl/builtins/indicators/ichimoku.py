"""Ichimoku Kinko Hyo (Hosoda 1969), causal lines only: the chikou span is the close of a later bar and left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from tftctl.api import Indicator, Output, Params, Scale, hookimpl
from tftctl.builtins.indicators.ratios import ratio
from tftctl.builtins.indicators.relative import distance
from tftctl.builtins.indicators.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class IchimokuParams(Params):
    """Bars of the conversion line, the base line and senkou B, and how many bars ahead the cloud is drawn."""

    tenkan: Window = 9
    kijun: Window = 26
    senkou: Window = 52
    displacement: Window = 26

    @property
    def base(self) -> int:
        """Index of the first bar with both tenkan and kijun."""
        return max(self.tenkan, self.kijun) - 1

    @property
    def cloud(self) -> int:
        """Index of the first bar with both edges of the cloud."""
        return max(self.base, self.senkou - 1) + self.displacement


def ichimoku(columns: Mapping[str, Array], params: IchimokuParams) -> dict[str, Array]:
    """Middles of n-bar ranges; the cloud at t is that drawn there, made `displacement` bars before.

    cross = (tenkan - kijun)/close; kijun_distance = (close - kijun)/close; cloud_distance = (close - nearest
    edge)/close, 0 inside the cloud; cloud_width = (senkou A - senkou B)/close.
    """
    high, low, close = columns["high"], columns["low"], columns["close"]
    tenkan, kijun, wide = (_middle(high, low, bars) for bars in (params.tenkan, params.kijun, params.senkou))
    senkou_a, senkou_b = (_later(line, params.displacement) for line in ((tenkan + kijun) / 2, wide))
    return {
        "ichimoku_tenkan": tenkan,
        "ichimoku_kijun": kijun,
        "ichimoku_senkou_a": senkou_a,
        "ichimoku_senkou_b": senkou_b,
        "ichimoku_cross": ratio(tenkan - kijun, close),
        "ichimoku_kijun_distance": distance(close, kijun),
        "ichimoku_cloud_distance": _cloud_distance(close, senkou_a, senkou_b),
        "ichimoku_cloud_width": ratio(senkou_a - senkou_b, close),
    }


def _middle(high: Array, low: Array, bars: int) -> Array:
    """Middle of the range of n bars; TA-Lib's MIDPRICE looks at all n of them for each bar, MAX and MIN do not."""
    import talib

    return (talib.MAX(high, timeperiod=bars) + talib.MIN(low, timeperiod=bars)) / 2


def _later(line: Array, bars: int) -> Array:
    """The line moved `bars` bars towards the future: bar t shows the value of bar t - bars."""
    import numpy as np

    return np.concatenate((np.full(bars, np.nan), line))[: line.size]


def _cloud_distance(close: Array, senkou_a: Array, senkou_b: Array) -> Array:
    import numpy as np

    edge = np.clip(close, np.minimum(senkou_a, senkou_b), np.maximum(senkou_a, senkou_b))
    return distance(close, edge)


def _line(name: str, scale: Scale, memory: Callable[[IchimokuParams], int]) -> Output:
    """Extremes of a window: what it remembers is what it waits for."""
    return Output(name, scale, first_valid=memory, settle=memory)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Ichimoku."""
    yield Indicator(
        name="ichimoku",
        summary="tenkan, kijun and the cloud as drawn at the bar (no chikou), their distances relative to the close",
        inputs=lambda p: ("high", "low", "close"),
        outputs=(
            _line("ichimoku_tenkan", "price", lambda p: p.tenkan - 1),
            _line("ichimoku_kijun", "price", lambda p: p.kijun - 1),
            _line("ichimoku_senkou_a", "price", lambda p: p.base + p.displacement),
            _line("ichimoku_senkou_b", "price", lambda p: p.senkou - 1 + p.displacement),
            _line("ichimoku_cross", "free", lambda p: p.base),
            _line("ichimoku_kijun_distance", "free", lambda p: p.kijun - 1),
            Output("ichimoku_cloud_distance"),
            Output("ichimoku_cloud_width"),
        ),
        params=IchimokuParams,
        kernel=ichimoku,
        first_valid=lambda p: p.cloud,
        settle=lambda p: p.cloud,
    )
