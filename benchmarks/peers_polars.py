"""The 17 outputs as Polars expressions over (symbol, segment)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from peers import OUTPUTS, PRICES, Columns

if TYPE_CHECKING:
    import polars as pl

GROUP = ["symbol", "segment"]
# a column of an earlier stage by name
Get = Callable[[str], Any]


def stages() -> list[dict[str, Callable[[Get], Any]]]:
    """Columns stage by stage, each from those before it: `macd_hist` from `macd` and its signal, and so on.

    Recursions begin with their first value (`adjust=False`), which is forgotten after some hundred bars.
    """
    import polars as pl

    def ewm(values: Any, alpha: float) -> Any:
        return values.ewm_mean(alpha=alpha, adjust=False)

    def true_range(get: Get) -> Any:
        before, high, low = get("close").shift(1), get("high"), get("low")
        return pl.max_horizontal(high - low, (high - before).abs(), (low - before).abs())

    def directed(up: Any, down: Any) -> Any:
        return pl.when((up > down) & (up > 0)).then(up).otherwise(0.0)

    def index(side: str) -> Callable[[Get], Any]:
        return lambda get: 100 * ewm(get(side), 1 / 14) / get("atr")

    def spread(get: Get) -> Any:
        # 0/0 until something has moved
        return ((get("plus_di") - get("minus_di")).abs() / (get("plus_di") + get("minus_di"))).fill_nan(None)

    def fast_k(get: Get) -> Any:
        low = get("low").rolling_min(9)
        return 100 * (get("close") - low) / (get("high").rolling_max(9) - low)

    return [
        {
            "up": lambda get: get("high").diff(),
            "down": lambda get: -get("low").diff(),
            "move": lambda get: get("close").diff(),
            "return": lambda get: get("close").log().diff(),
            "true_range": true_range,
            "fast_k": fast_k,
            "sma": lambda get: get("close").rolling_mean(20),
            "ema": lambda get: ewm(get("close"), 2 / 21),
            "macd": lambda get: ewm(get("close"), 2 / 13) - ewm(get("close"), 2 / 27),
            "deviation": lambda get: get("close").rolling_std(20, ddof=0),
        },
        {
            "plus": lambda get: directed(get("up"), get("down")),
            "minus": lambda get: directed(get("down"), get("up")),
            "gain": lambda get: ewm(get("move").clip(lower_bound=0), 1 / 14),
            "loss": lambda get: ewm((-get("move")).clip(lower_bound=0), 1 / 14),
            "atr": lambda get: ewm(get("true_range"), 1 / 14),
            "macd_signal": lambda get: ewm(get("macd"), 2 / 10),
            "kdj_k": lambda get: ewm(get("fast_k"), 1 / 3),
            "bollinger_middle": lambda get: get("sma"),
            "bollinger_upper": lambda get: get("sma") + 2 * get("deviation"),
            "bollinger_lower": lambda get: get("sma") - 2 * get("deviation"),
            "obv": lambda get: (get("move").sign() * get("volume")).fill_null(0.0).cum_sum(),
            "rolling_volatility": lambda get: get("return").rolling_std(20, ddof=1),
            "return_skewness": lambda get: get("return").rolling_skew(20, bias=True),
        },
        {
            "plus_di": index("plus"),
            "minus_di": index("minus"),
            "rsi": lambda get: 100 * get("gain") / (get("gain") + get("loss")),
            "macd_hist": lambda get: get("macd") - get("macd_signal"),
            "kdj_d": lambda get: ewm(get("kdj_k"), 1 / 3),
        },
        {
            "adx": lambda get: 100 * ewm(spread(get), 1 / 14),
            "kdj_j": lambda get: 3 * get("kdj_k") - 2 * get("kdj_d"),
        },
    ]


def polars_frame(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """One long frame."""
    import polars as pl

    return pl.concat([frame.select(*GROUP, *PRICES) for frame in frames])


def staged_run(frame: pl.DataFrame) -> pl.DataFrame:
    """A `with_columns` per stage: every expression is shallow."""
    import polars as pl

    for stage in stages():
        frame = frame.with_columns(**{name: make(pl.col).over(GROUP) for name, make in stage.items()})
    return frame.select(OUTPUTS)


def deep_run(frame: pl.DataFrame) -> pl.DataFrame:
    """One expression per output, written out from the bars."""
    import polars as pl

    makers = {name: make for stage in stages() for name, make in stage.items()}

    def get(name: str) -> Any:
        return makers[name](get) if name in makers else pl.col(name)

    return frame.select(**{name: get(name).over(GROUP) for name in OUTPUTS})


def polars_columns(made: pl.DataFrame) -> Columns:
    """Null as NaN."""
    return {name: np.asarray(made[name].fill_null(float("nan")).to_numpy()) for name in OUTPUTS}
