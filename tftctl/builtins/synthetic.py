"""A seeded market whose next return is predictable to a documented degree (docs/synthetic.md).

With x the mean of the five signal columns of a bar times sqrt(5) (unit variance), the return of the next bar of
the same period is a x + noise, and a^2 is R^2 = 5 % of its variance, at every period.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import Params, SourceFrame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]

SIGNALS = tuple(f"signal_{k}" for k in range(1, 6))
HOURS = {"1h": 1, "4h": 4, "1d": 24}
HOUR_MS = 3_600_000
START_MS = 1_609_459_200_000  # 2021-01-01
PERSISTENCE = 0.8  # of signals and decoys from bar to bar
HOURLY_VOLATILITY = 0.006


class SyntheticParams(Params):
    """Size, seed and strength. `r2` is the oracle's share of the variance of the next return."""

    symbols: Annotated[int, Field(ge=1, le=200)] = 6
    days: Annotated[int, Field(ge=10, le=4000)] = 540
    decoys: Annotated[int, Field(ge=0, le=100)] = 10
    r2: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    seed: Annotated[int, Field(ge=0)] = 2025


def synthetic_market(params: SyntheticParams) -> Iterator[SourceFrame]:
    """Yield every symbol at 1h, 4h and 1d; the slower bars are exact aggregates of the hours."""
    import numpy as np

    root = np.random.SeedSequence(params.seed)
    common, *seeds = root.spawn(params.symbols + 1)
    hours = params.days * 24
    factor = np.random.default_rng(common).standard_normal(hours)
    gains = drift_gains(params.r2)
    for number, seed in enumerate(seeds, 1):
        rng = np.random.default_rng(seed)
        columns = {period: _columns(rng, hours // length, params.decoys) for period, length in HOURS.items()}
        bars = _hourly_bars(rng, factor, columns, gains)
        for period, length in HOURS.items():
            frame = _aggregate(bars, length).with_columns(**columns[period])
            yield SourceFrame(f"SYN{number:02d}", period, frame, extras=dict.fromkeys(columns[period], "free"))


def drift_gains(r2: float) -> dict[str, float]:
    """Hourly drift per unit of each period's signal, in hourly volatilities, so that R^2 is met at every period.

    The variance of the return over n hours is n + sum over periods q of g_q^2 v(n, q), v the variance of the sum
    over n hours of q's signal; period p's own share, g_p^2 v(p, p), shall be r2 of it: three linear equations.
    """
    import numpy as np

    lengths = list(HOURS.values())
    spread = np.array([[_summed_variance(n, q) for q in lengths] for n in lengths])
    own = np.diag(np.diag(spread))
    squares = np.linalg.solve(own - r2 * spread, r2 * np.array(lengths, dtype=float))
    return dict(zip(HOURS, np.sqrt(squares).tolist(), strict=True))


def _summed_variance(hours: int, length: int) -> float:
    """Variance of the sum over `hours` of a unit AR(1) that changes every `length` hours."""
    if hours <= length:
        return float(hours**2)
    blocks = hours // length
    lags = sum((blocks - lag) * PERSISTENCE**lag for lag in range(1, blocks))
    return float(length**2 * (blocks + 2 * lags))


def _columns(rng: np.random.Generator, bars: int, decoys: int) -> dict[str, Array]:
    names = [*SIGNALS, *(f"decoy_{k}" for k in range(1, decoys + 1))]
    return {name: autoregression(rng, bars, PERSISTENCE) for name in names}


def autoregression(rng: np.random.Generator, size: int, persistence: float) -> Array:
    """A stationary AR(1) of unit variance."""
    import numpy as np
    from scipy.signal import lfilter

    shocks = rng.standard_normal(size) * np.sqrt(1 - persistence**2)
    shocks[0] = rng.standard_normal()
    return lfilter([1.0], [1.0, -persistence], shocks)


def _hourly_bars(
    rng: np.random.Generator, factor: Array, columns: dict[str, dict[str, Array]], gains: dict[str, float]
) -> pl.DataFrame:
    """Hours with clustered volatility, one common factor, and the drift that the signals announce."""
    import numpy as np
    import polars as pl

    size = factor.size
    log_vol = 0.35 * autoregression(rng, size, 0.98)
    volatility = HOURLY_VOLATILITY * np.exp(log_vol - 0.35**2)  # mean square is HOURLY_VOLATILITY^2
    noise = np.sqrt(0.4) * factor + np.sqrt(0.6) * rng.standard_normal(size)
    drift = sum(gains[period] * _announced(columns[period], HOURS[period], size) for period in HOURS)
    returns = HOURLY_VOLATILITY * drift + volatility * noise
    close = 100 * np.exp(np.cumsum(returns))
    opens = np.concatenate(([100.0], close[:-1]))
    up, down = _bridge_extremes(rng, returns, volatility)
    log_volume = 6 + log_vol + 0.5 * np.abs(noise) + 0.3 * rng.standard_normal(size)
    return pl.DataFrame(
        {
            "timestamp": START_MS + HOUR_MS * np.arange(size, dtype=np.int64),
            "open": opens,
            "high": np.maximum(opens * np.exp(up), np.maximum(opens, close)),
            "low": np.minimum(opens * np.exp(down), np.minimum(opens, close)),
            "close": close,
            "volume": np.exp(log_volume),
        }
    )


def _announced(columns: dict[str, Array], length: int, size: int) -> Array:
    """Per hour, the unit-variance signal that the last complete bar of `length` hours carried; 0 in the first."""
    import numpy as np

    signal = sum(columns[name] for name in SIGNALS) / np.sqrt(len(SIGNALS))
    hourly = np.repeat(signal, length)
    return np.concatenate((np.zeros(length), hourly))[:size]


def _bridge_extremes(rng: np.random.Generator, returns: Array, volatility: Array) -> tuple[Array, Array]:
    """Maximum and minimum of a Brownian bridge from 0 to each return (Borodin and Salminen 2002, IV.26)."""
    import numpy as np

    def reach(uniform: Array) -> Array:
        return np.sqrt(returns**2 - 2 * volatility**2 * np.log(uniform))

    size = returns.size
    return (returns + reach(rng.random(size))) / 2, (returns - reach(rng.random(size))) / 2


def _aggregate(hours: pl.DataFrame, length: int) -> pl.DataFrame:
    import polars as pl

    block = pl.int_range(pl.len()) // length
    return (
        hours.group_by(block.alias("block"), maintain_order=True)
        .agg(
            pl.col("timestamp").first(), pl.col("open").first(), pl.col("high").max(), pl.col("low").min(),
            pl.col("close").last(), pl.col("volume").sum(),
        )
        .drop("block")
    )  # fmt: skip
