"""The six hooks of tftctl. Each returns an iterable of frozen records; nothing is mutated by a hook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from tftctl.core.records import Indicator, Loss, Metric, Source, Target

hookspec = pluggy.HookspecMarker("tftctl")


@hookspec
def tftctl_indicators() -> Iterable[Indicator]:  # type: ignore[empty-body]
    """Indicators: pure functions over the bars of one unbroken segment.

    Example::

        from tftctl.api import Indicator, Output, hookimpl

        @hookimpl
        def tftctl_indicators():
            import polars as pl

            yield Indicator(
                name="body_share",
                summary="(close - open) / (high - low); null when the bar has no range",
                inputs=lambda params: ("open", "high", "low", "close"),
                outputs=(Output("body_share"),),
                expr=lambda params: [{
                    "body_share": (pl.col("close") - pl.col("open")) / (pl.col("high") - pl.col("low"))
                }],
            )
    """


@hookspec
def tftctl_targets() -> Iterable[Target]:  # type: ignore[empty-body]
    """Targets: labels over the bars t+1..t+h.

    Example::

        import numpy as np
        from tftctl.api import Target, hookimpl

        def range_ahead(columns, params, span):
            high, low, close = columns["high"], columns["low"], columns["close"]
            label = np.full(close.size, np.nan)
            for t in range(close.size - span.horizon):
                ahead = slice(t + 1, t + 1 + span.horizon)
                label[t] = np.log(high[ahead].max() / low[ahead].min())
            return label

        @hookimpl
        def tftctl_targets():
            yield Target(
                name="target_range",
                summary="log range of the next h bars",
                kind="regression",
                horizon={"*": 5},
                inputs=("high", "low", "close"),
                unit="log price ratio",
                kernel=range_ahead,
            )
    """


@hookspec
def tftctl_losses() -> Iterable[Loss]:  # type: ignore[empty-body]
    """Losses of one head.

    Example::

        from tftctl.api import Loss, hookimpl

        def absolute_error():
            import torch

            class AbsoluteError(torch.nn.Module):
                def forward(self, raw, target, pos_weight=None):
                    return (self.point(raw) - target).abs()

                def point(self, raw):
                    return raw[:, 0]

            return AbsoluteError()

        @hookimpl
        def tftctl_losses():
            yield Loss(name="absolute_error", summary="mean absolute error", kinds=("regression",),
                       factory=absolute_error)
    """


@hookspec
def tftctl_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """Scores of one (target, period).

    Example::

        import numpy as np
        from tftctl.api import Metric, hookimpl

        def hit_rate():
            return lambda scored: float(np.mean(np.sign(scored.prediction_raw) == np.sign(scored.truth_raw)))

        @hookimpl
        def tftctl_metrics():
            yield Metric(name="hit_rate", summary="share of forecasts with the right sign",
                         kinds=("regression",), direction="higher", lower=0.0, upper=1.0, no_skill=0.5,
                         factory=hit_rate)
    """


@hookspec
def tftctl_sources() -> Iterable[Source]:  # type: ignore[empty-body]
    """Sources of bars or macro series.

    Example::

        from tftctl.api import Source, SourceFrame, hookimpl

        def flat_market(params):
            import polars as pl

            hours = pl.Series("timestamp", [1_700_000_000_000 // 3_600_000 * 3_600_000 + i * 3_600_000
                                            for i in range(48)], dtype=pl.Int64)
            price = pl.lit(100.0)
            frame = hours.to_frame().with_columns(open=price, high=price, low=price, close=price,
                                                  volume=pl.lit(1.0))
            yield SourceFrame("FLAT", "1h", frame)

        @hookimpl
        def tftctl_sources():
            yield Source(name="flat_market", summary="two days of one price", provides="bars",
                         fetch=flat_market)
    """


@hookspec
def tftctl_commands() -> Iterable[tuple[str, typer.Typer]]:  # type: ignore[empty-body]
    """Commands under `tftctl <name>`: pairs of a name and a `typer.Typer`.

    Example::

        import typer
        from tftctl.api import hookimpl

        hello = typer.Typer(help="Say hello.")

        @hello.command()
        def world() -> None:
            typer.echo("hello")

        @hookimpl
        def tftctl_commands():
            yield "hello", hello
    """
