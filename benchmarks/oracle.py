"""What could be known of the synthetic market (docs/synthetic.md), and the share of it that forecasts have found.

The oracle is not fitted: its forecast of a bar's next log return is a x, with x the five signals' mean times sqrt(5) in
the bar's own row and a the planted coefficient. It is scored at the very origins that a network has forecast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from tftctl.builtins.synthetic import HOURLY_VOLATILITY, HOURS, SIGNALS, drift_gains

DAY_MS = 86_400_000
BLOCK_DAYS = 4  # twice the longest label, a day, and as much again (SEMANTICS M6)
DRAWS = 1000
RETURN, TREND = "target_logreturn", "target_binarytrend"
POOLED = "all"


@dataclass(frozen=True, slots=True)
class Score:
    """One target at one period, or `all` of them: R2 or AUC of the network, with its 95 % and 99 % interval, and of
    the oracle; `share` is the network's R2, or AUC - 1/2, over the oracle's, with its 95 % interval."""

    target: str
    period: str
    origins: int
    chance: float
    model: float
    interval: tuple[float, float]
    wide_interval: tuple[float, float]
    oracle: float
    share: float
    share_interval: tuple[float, float]

    @property
    def measure(self) -> str:
        """R2 or AUC."""
        return "R2" if self.target == RETURN else "AUC"

    @property
    def is_skilled(self) -> bool:
        """Better than chance, or (an AUC) worse, beyond the 99 % interval; an R2 below 0 is no skill either."""
        low, high = self.wide_interval
        return low > self.chance or (self.target == TREND and high < self.chance)


def with_oracle(predictions: pl.DataFrame, bars: pl.DataFrame, r2: float) -> pl.DataFrame:
    """Rows of predictions.parquet of the two targets beside `x`, the signal, and `oracle`, the expected log return.

    `bars` has symbol, period, timestamp and the signals. Raises ValueError where an origin has no bar.
    """
    gains = drift_gains(r2)
    planted = {period: HOURLY_VOLATILITY * gains[period] * hours for period, hours in HOURS.items()}
    signal = pl.mean_horizontal(SIGNALS) * np.sqrt(len(SIGNALS))
    known = bars.select("symbol", "period", "timestamp", signal.alias("x"))
    wanted = predictions.filter(pl.col("target").is_in([RETURN, TREND]))
    rows = wanted.join(known, on=["symbol", "period", "timestamp"], how="left")
    if rows["x"].null_count():
        raise ValueError("a forecast has no bar")
    return rows.with_columns(oracle=pl.col("x") * pl.col("period").replace_strict(planted, return_dtype=pl.Float64))


def scores(rows: pl.DataFrame, seed: int = 0) -> Iterator[Score]:
    """Both targets at each period and over all of them; errors by a bootstrap over blocks of days, symbols together."""
    spread = rows.filter(target=RETURN).group_by("period").agg(pl.col("truth").std().alias("spread"))
    rows = rows.join(spread, on="period")  # so that periods can be pooled: a day's return is five times an hour's
    for target in (RETURN, TREND):
        mine = rows.filter(target=target)
        for period in [*(period for period in HOURS if period in set(mine["period"])), POOLED]:
            part = mine if period == POOLED else mine.filter(period=period)
            yield _score(target, period, part, np.random.default_rng(seed))


def _score(target: str, period: str, rows: pl.DataFrame, rng: np.random.Generator) -> Score:
    truth, model = rows["truth"].to_numpy(), rows["prediction"].to_numpy()
    if target == RETURN:
        unit = rows["spread"].to_numpy()
        skill = Determination(truth / unit, model / unit), Determination(truth / unit, rows["oracle"].to_numpy() / unit)
    else:
        skill = Ranking(truth, model), Ranking(truth, rows["x"].to_numpy())
    block = (rows["timestamp"].to_numpy() // (BLOCK_DAYS * DAY_MS)).astype(int)
    block -= block.min()
    draws = np.array([[measure(weight) for measure in skill] for weight in _resampled(block, rng)])
    found, possible = (measure(np.ones(rows.height)) for measure in skill)
    chance = skill[0].chance
    return Score(
        target=target,
        period=period,
        origins=rows.height,
        chance=chance,
        model=found + chance,
        interval=_middle(draws[:, 0] + chance, 0.95),
        wide_interval=_middle(draws[:, 0] + chance, 0.99),
        oracle=possible + chance,
        share=found / possible,
        share_interval=_middle(draws[:, 0] / draws[:, 1], 0.95),
    )


def _resampled(block: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each row is drawn, when blocks are drawn with replacement."""
    size = int(block.max()) + 1
    for _ in range(DRAWS):
        yield np.bincount(rng.integers(size, size=size), minlength=size)[block].astype(float)


def _middle(draws: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class Determination:
    """R2 under weights of rows."""

    chance = 0.0

    def __init__(self, truth: np.ndarray, forecast: np.ndarray) -> None:
        self._truth, self._errors = truth, (truth - forecast) ** 2

    def __call__(self, weight: np.ndarray) -> float:
        mean = np.average(self._truth, weights=weight)
        return float(1 - weight @ self._errors / (weight @ (self._truth - mean) ** 2))


class Ranking:
    """ROC AUC - 1/2 under weights of rows, ties counted half; rows are sorted once for all draws."""

    chance = 0.5

    def __init__(self, truth: np.ndarray, score: np.ndarray) -> None:
        self._order = np.argsort(score, kind="stable")
        self._positive = truth[self._order] == 1
        ordered = score[self._order]
        self._starts = np.flatnonzero(np.concatenate(([True], np.diff(ordered) > 0)))

    def __call__(self, weight: np.ndarray) -> float:
        weight = weight[self._order]
        ones = np.add.reduceat(np.where(self._positive, weight, 0.0), self._starts)
        zeros = np.add.reduceat(np.where(self._positive, 0.0, weight), self._starts)
        below = np.cumsum(zeros) - zeros
        return float(ones @ (below + zeros / 2) / (ones.sum() * zeros.sum()) - 0.5)
