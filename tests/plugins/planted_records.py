"""Records with one fault each, and what they are made of. The name of a fault is the check that must find it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.records import Indicator, Loss, Metric, MetricInput, Output, Source, SourceFrame, Target
from tftctl.testing import Finding

Columns = Mapping[str, np.ndarray]


def checks_of(findings: list[Finding]) -> set[str]:
    """Names of the checks that found something."""
    return {finding.check for finding in findings}


def indicator(make: Any = None, **changes: Any) -> Indicator:
    """A sound indicator, the change over three bars, unless something is changed."""
    fields: dict[str, Any] = {
        "name": "three_bars",
        "summary": "change over three bars",
        "inputs": lambda params: ("close",),
        "outputs": (Output("three_bars"),),
        "first_valid": lambda params: 3,
        "settle": lambda params: 3,
    }
    formula = {} if "expr" in changes else {"kernel": lambda columns, params: {"three_bars": make(columns["close"])}}
    return Indicator(**(fields | formula | changes))


def over_three(close: np.ndarray) -> np.ndarray:
    """close[t] / close[t-3] - 1."""
    change = np.full(close.size, np.nan)
    change[3:] = close[3:] / close[:-3] - 1
    return change


def seen_ahead(close: np.ndarray) -> np.ndarray:
    """Reads the next bar in every row but the last."""
    change = over_three(close)
    change[3:-1] += 1e-6 * np.diff(np.log(close[3:]))
    return change


def whole_series(close: np.ndarray) -> np.ndarray:
    """Standardises with the spread of the whole series."""
    change = over_three(close)
    return change / np.nanstd(change) if close.size > 4 else change


def price_units(close: np.ndarray) -> np.ndarray:
    """close[t] - close[t-3], in units of the price."""
    change = np.full(close.size, np.nan)
    change[3:] = close[3:] - close[:-3]
    return change


def long_memory(close: np.ndarray) -> np.ndarray:
    """An exponential mean, which remembers its start for hundreds of bars."""
    mean = pl.Series(np.nan_to_num(over_three(close))).ewm_mean(alpha=0.05, adjust=False).to_numpy(writable=True)
    mean[:3] = np.nan
    return mean


def division_by_move(close: np.ndarray) -> np.ndarray:
    """1 / (close[t] - close[t-3]) x close: infinite where the price stands still."""
    with np.errstate(divide="ignore"):
        return 1 / over_three(close)


def spoils_input(close: np.ndarray) -> np.ndarray:
    """Writes into its input."""
    change = over_three(close)
    close[0] += 1.0
    return change


def infinite(close: np.ndarray) -> np.ndarray:
    """Infinite in one row."""
    change = over_three(close)
    change[50:51] = np.inf
    return change


def needs_many(close: np.ndarray) -> np.ndarray:
    """Fails on short segments."""
    if close.size < 10:
        raise ValueError("at least ten bars")
    return over_three(close)


def falls_silent(columns: Columns, params: Any) -> dict[str, np.ndarray]:
    """Knows whether the next bar will be one without trades: less than one row in a hundred."""
    change = over_three(columns["close"])
    change[3:-1][columns["volume"][4:] == 0] += 1.0
    return {"three_bars": change}


def marked_outliers(close: np.ndarray) -> np.ndarray:
    """Null where the next return is the largest of all: a leak by what is missing."""
    change = over_three(close)
    returns = np.diff(np.log(close))
    change[:-1][(returns > 0.03) & ~np.isnan(change[:-1])] = np.nan
    return change


def backward_filled(close: np.ndarray) -> np.ndarray:
    """The change where the price rose, and elsewhere the next one."""
    change = pl.Series(np.where(np.diff(close, prepend=np.nan) > 0, over_three(close), np.nan))
    filled = change.fill_nan(None).fill_null(strategy="backward").cast(pl.Float64).to_numpy(writable=True)
    filled[:3] = np.nan
    return filled


def clipped_at_quantile(close: np.ndarray) -> np.ndarray:
    """Clips to what one in a thousand of all bars exceeds: nothing is clipped in a few hundred bars."""
    change = pl.Series(over_three(close)).fill_nan(None)
    low, high = (change.quantile(share, "nearest") for share in (0.001, 0.999))
    return change.clip(low, high).cast(pl.Float64).fill_null(float("nan")).to_numpy(writable=True)


def quiet_volume(columns: Columns, params: Any) -> dict[str, np.ndarray]:
    """Null where the volume is below that of one bar in a thousand of all."""
    least = pl.Series(columns["volume"]).quantile(0.001, "lower")
    change = over_three(columns["close"])
    change[3:][columns["volume"][3:] < least] = np.nan
    return {"three_bars": change}


class Counting:
    """Gives other numbers each time it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, close: np.ndarray) -> np.ndarray:
        self.calls += 1
        return over_three(close) + self.calls


def target(make: Any, **changes: Any) -> Target:
    """A target of `make(columns, h)` with horizon 3."""
    fields: dict[str, Any] = {
        "name": "target_planted",
        "summary": "a label",
        "kind": "regression",
        "horizon": {"*": 3},
        "inputs": ("open", "close"),
        "unit": "log return",
        "kernel": lambda columns, params, span: make(columns, span.horizon),
    }
    return Target(**(fields | changes))


def clipped_labels(columns: Columns, horizon: int) -> np.ndarray:
    """ln(close[t+h] / close[t]), no larger than one in a thousand of all labels."""
    label = pl.Series(ahead(columns, horizon)).fill_nan(None)
    clipped = label.clip(upper_bound=label.quantile(0.999, "nearest"))
    return clipped.cast(pl.Float64).fill_null(float("nan")).to_numpy(writable=True)


def ahead(columns: Columns, horizon: int) -> np.ndarray:
    """ln(close[t+h] / close[t]): sound."""
    close = columns["close"]
    label = np.full(close.size, np.nan)
    label[:-horizon] = np.log(close[horizon:] / close[:-horizon])
    return label


def one_too_far(columns: Columns, horizon: int) -> np.ndarray:
    """Reads t+h, and t+h+1 too."""
    return ahead(columns, horizon) + ahead(columns, horizon + 1)


def up(columns: Columns, horizon: int) -> np.ndarray:
    """1 where the price rises, sound for a binary target."""
    label = ahead(columns, horizon)
    return np.where(np.isnan(label), np.nan, label > 0)


def up_too_far(columns: Columns, horizon: int) -> np.ndarray:
    """1 where the price rises until t+h and until t+h+1."""
    return up(columns, horizon) * up(columns, horizon + 1)


def from_yesterday(columns: Columns, horizon: int) -> np.ndarray:
    """Adds the return of bar t, which needs the close of t-1."""
    returns = np.diff(np.log(columns["close"]), prepend=np.nan)
    return ahead(columns, horizon) + returns


def from_open(columns: Columns, horizon: int) -> np.ndarray:
    """Adds close[t] / open[t]: another column of bar t."""
    return ahead(columns, horizon) + np.log(columns["close"] / columns["open"])


def early_barrier(columns: Columns, horizon: int) -> np.ndarray:
    """1 as soon as the price has risen by a fifth, also while the horizon is not complete (L1 forbids it)."""
    close = columns["close"]
    label = np.full(close.size, np.nan)
    for t in range(close.size - 1):
        hit = (close[t + 1 : t + 1 + horizon] > 1.2 * close[t]).any()
        label[t] = 1.0 if hit else 0.0 if t + horizon < close.size else np.nan
    return label


def never_ahead(columns: Columns, horizon: int) -> np.ndarray:
    """Reads bar t alone."""
    label = np.log(columns["close"])
    label[-horizon:] = np.nan
    return label


def first_bars(columns: Columns, horizon: int) -> np.ndarray:
    """Takes for granted that there are more than h bars."""
    return ahead(columns, horizon) + 0 * columns["close"][horizon]


def to_the_end(columns: Columns, horizon: int) -> np.ndarray:
    """Has labels in the last rows."""
    return np.nan_to_num(ahead(columns, horizon))


def loss(forward: Any, **changes: Any) -> Loss:
    """A loss module with that forward(raw, target) and the first output as its point."""

    def factory() -> Any:
        import torch

        class Planted(torch.nn.Module):
            def forward(self, raw: Any, target: Any, pos_weight: Any = None) -> Any:
                return forward(raw, target, pos_weight) if changes.get("weighted") else forward(raw, target)

            def point(self, raw: Any) -> Any:
                return changes.get("point", lambda values: values[:, 0])(raw)

        module = Planted()
        if "quantiles" in changes:
            module.quantiles = changes["quantiles"]
        return module

    fields = {"kinds": ("regression",), "factory": factory}
    fields |= {name: value for name, value in changes.items() if name in ("kinds", "factory", "levels", "likelihood")}
    return Loss(name="planted", summary="a loss", **fields)


def metric(score: Any, **changes: Any) -> Metric:
    """A metric of 0..1 for regression, higher is better."""
    fields: dict[str, Any] = {"kinds": ("regression",), "direction": "higher", "lower": 0.0, "upper": 1.0}
    fields |= {"no_skill": 0.5, "factory": lambda: score}
    return Metric(name="planted", summary="a score", **(fields | changes))


def hits(scored: MetricInput) -> float:
    """Share of right signs."""
    return float(np.mean(np.sign(scored.prediction) == np.sign(scored.truth)))


def bars(**columns: Any) -> pl.DataFrame:
    """Three sound daily bars, with columns changed."""
    day = 86_400_000
    sound = {"timestamp": [0, day, 2 * day], "open": [1.0, 2.0, 3.0], "high": [2.0, 3.0, 4.0], "low": [0.5, 1.5, 2.5]}
    return pl.DataFrame(sound | {"close": [1.5, 2.5, 3.5], "volume": [1.0, 0.0, 2.0]} | columns)


def source(*frames: Any, **changes: Any) -> Source:
    """A source of those frames."""
    fields: dict[str, Any] = {"name": "planted", "summary": "bars", "provides": "bars"}
    return Source(**(fields | {"fetch": lambda params: iter(frames)} | changes))


def daily(symbol: str = "A", period: str = "1d", extras: Any = None, **columns: Any) -> SourceFrame:
    """A frame of `bars`."""
    return SourceFrame(symbol, period, bars(**columns), extras=extras or {})
