"""One example of every hook of tftctl. Heavy libraries are imported inside the functions that need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from tftctl.api import (
    Indicator,
    LabelSpan,
    Loss,
    Metric,
    MetricInput,
    Output,
    Params,
    Source,
    SourceFrame,
    Target,
    Yardstick,
    hookimpl,
    period_ms,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl
    from torch import nn

    Array = npt.NDArray[np.float64]

NAN = float("nan")
START_MS = 1_672_531_200_000  # 2023-01-01
BOLD_SHARE = 0.25


class WindowParams(Params):
    """Bars in the window."""

    period: Annotated[int, Field(ge=2, le=5000)] = 10


class TidesParams(Params):
    """Number of hourly bars, bars per swing, and seed."""

    bars: Annotated[int, Field(ge=2, le=1_000_000)] = 2000
    swing: Annotated[int, Field(ge=2)] = 36
    seed: Annotated[int, Field(ge=0)] = 1


def efficiency_ratio(params: WindowParams) -> list[dict[str, pl.Expr]]:
    """|close[t] - close[t-n]| / sum of |close[i] - close[i-1]| over n bars (Kaufman 1995); null if nothing moved."""
    import polars as pl

    close, path = pl.col("close"), pl.col("_path")
    ratio = close.diff(params.period).abs() / path
    return [
        {"_path": close.diff().abs().rolling_sum(params.period)},
        {"efficiency_ratio": pl.when(path > 0).then(ratio.clip(upper_bound=1.0))},
    ]


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """An indicator in Polars expressions: two stages, a helper column, a parameter."""
    yield Indicator(
        name="efficiency_ratio",
        summary="share of the path of n bars that led somewhere, 0..1",
        inputs=lambda params: ("close",),
        outputs=(Output("efficiency_ratio", scale="free"),),
        params=WindowParams,
        expr=efficiency_ratio,
        first_valid=lambda params: params.period,
        settle=lambda params: params.period,
        tolerance=1e-9,
    )


def mean_true_range(high: Array, low: Array, close: Array, bars: int) -> Array:
    """Simple mean of the last n true ranges, which needs n + 1 bars; NaN before, and where it is 0."""
    import numpy as np

    before = close[:-1]
    spans = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    mean = np.full(close.size, np.nan)
    if spans.size >= bars:
        mean[bars:] = np.lib.stride_tricks.sliding_window_view(spans, bars).mean(axis=1)
    return np.where(mean > 0, mean, np.nan)


def upside(columns: Mapping[str, Array], params: WindowParams, span: LabelSpan) -> Array:
    """(highest high of t+1..t+h - close[t]) / mean true range at t; NaN in the last h rows."""
    import numpy as np

    high, low, close = columns["high"], columns["low"], columns["close"]
    highest = np.full(close.size, np.nan)
    if close.size > span.horizon:
        windows = np.lib.stride_tricks.sliding_window_view(high[1:], span.horizon)
        highest[: -span.horizon] = windows.max(axis=1)
    return (highest - close) / mean_true_range(high, low, close, params.period)


@hookimpl
def tftctl_targets() -> Iterable[Target]:
    """A label whose unit comes from a declared yardstick: the last n + 1 bars of three columns."""
    yield Target(
        name="target_upside_atr",
        summary="rise to the highest high of the next h bars, in mean true ranges of the past",
        kind="regression",
        horizon={"1h": 24, "4h": 6, "*": 5},
        inputs=("high", "low", "close"),
        unit="mean true ranges",
        yardstick=lambda params, span: Yardstick(("high", "low", "close"), params.period + 1),
        params=WindowParams,
        kernel=upside,
        loss="laplace_nll",
        tail="fat",
    )


def laplace_nll() -> nn.Module:
    """-log density of Laplace(m, e^s) less log 2: |y - m| e^-s + s, raw[:, 0] = m, raw[:, 1] = s within +-6."""
    import torch

    class LaplaceNll(torch.nn.Module):
        def forward(self, raw: Any, target: Any, pos_weight: Any = None) -> Any:
            log_spread = raw[:, 1].clamp(-6.0, 6.0)
            return (self.point(raw) - target).abs() * torch.exp(-log_spread) + log_spread

        def point(self, raw: Any) -> Any:
            return raw[:, 0]

    return LaplaceNll()


@hookimpl
def tftctl_losses() -> Iterable[Loss]:
    """A loss that needs two outputs per row."""
    yield Loss(
        name="laplace_nll",
        summary="Laplace likelihood with a learned spread per row",
        kinds=("regression",),
        factory=laplace_nll,
        outputs=lambda options: 2,
        likelihood=True,
    )


def tail_hit_rate() -> Callable[[MetricInput], float]:
    """Share of right signs among the quarter of the rows with the largest forecasts in absolute value."""

    def score(scored: MetricInput) -> float:
        import numpy as np

        if not scored.truth.size:
            return NAN
        size = np.abs(scored.prediction_raw)
        bold = size >= np.quantile(size, 1.0 - BOLD_SHARE)
        return float((np.sign(scored.prediction_raw) == np.sign(scored.truth_raw))[bold].mean())

    return score


@hookimpl
def tftctl_metrics() -> Iterable[Metric]:
    """A score between 0 and 1."""
    yield Metric(
        name="tail_hit_rate",
        summary="right signs among the boldest quarter of the forecasts",
        kinds=("regression",),
        direction="higher",
        lower=0.0,
        upper=1.0,
        no_skill=0.5,
        factory=tail_hit_rate,
    )


def tides(params: TidesParams) -> Iterator[SourceFrame]:
    """One symbol of hourly bars: a random walk on a sine, and the sine as the column `tide`."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(params.seed)
    hours = np.arange(params.bars, dtype=np.int64)
    tide = np.sin(2 * np.pi * hours / params.swing)
    close = 100.0 * np.exp(0.02 * tide + np.cumsum(0.003 * rng.standard_normal(params.bars)))
    opened = np.concatenate(([100.0], close[:-1]))
    frame = pl.DataFrame(
        {
            "timestamp": START_MS + hours * period_ms("1h"),
            "open": opened,
            "high": np.maximum(opened, close) * 1.001,
            "low": np.minimum(opened, close) * 0.999,
            "close": close,
            "volume": rng.lognormal(6.0, 0.5, params.bars),
            "tide": tide,
        }
    )
    yield SourceFrame("TIDE", "1h", frame, extras={"tide": "free"})


@hookimpl
def tftctl_sources() -> Iterable[Source]:
    """Bars that need no download."""
    yield Source(
        name="tides",
        summary="seeded hourly bars that swing, with the swing as an extra column",
        provides="bars",
        fetch=tides,
        params=TidesParams,
        sample=True,
        planted=("tide",),
    )


example = typer.Typer(help="What the example plugin has to show.", no_args_is_help=True)


@example.command("bars")
def bars(rows: Annotated[int, typer.Option(min=1, help="How many bars to print.")] = 5) -> None:
    """Print the first bars of the source `tides` as CSV."""
    (first,) = tides(TidesParams())
    typer.echo(first.frame.head(rows).write_csv(), nl=False)


@hookimpl
def tftctl_commands() -> Iterable[tuple[str, typer.Typer]]:
    """`tftctl example bars`."""
    yield "example", example
