"""Embedded samples: real index bars, and a synthetic market with a planted signal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tftctl.api import Params, Source, SourceFrame, hookimpl
from tftctl.builtins.synthetic import SIGNALS, SyntheticParams, synthetic_market

if TYPE_CHECKING:
    import polars as pl


class IndicesParams(Params):
    """Which of the two indices."""

    symbols: Annotated[frozenset[Literal["SP500", "NASDAQ"]], Field(min_length=1)] = frozenset({"SP500", "NASDAQ"})


def indices(params: IndicesParams) -> Iterator[SourceFrame]:
    """Daily bars 1999-2018 from the package `arch`, and weeks made of them (Monday 00:00 UTC)."""
    from arch.data import nasdaq, sp500

    loaders = {"SP500": sp500.load, "NASDAQ": nasdaq.load}
    for symbol in sorted(params.symbols):
        daily = _daily(loaders[symbol]())
        yield SourceFrame(symbol, "1d", daily, calendar="XNYS")
        yield SourceFrame(symbol, "1w", _weekly(daily), calendar="XNYS")


def _daily(table: Any) -> pl.DataFrame:
    """Bars stamped 00:00 UTC of the session. An index has no splits: its adjusted close is its close."""
    import polars as pl

    frame = pl.from_pandas(table.reset_index())
    return frame.select(
        timestamp=pl.col("Date").dt.epoch("ms"),
        **{name.lower(): pl.col(name).cast(pl.Float64) for name in ("Open", "High", "Low", "Close", "Volume")},
    )


def _weekly(daily: pl.DataFrame) -> pl.DataFrame:
    """Whole weeks; the file ends within its last one, which is left out."""
    import polars as pl

    weeks = (
        daily.with_columns(pl.from_epoch("timestamp", "ms").dt.truncate("1w").dt.epoch("ms"))
        .group_by("timestamp", maintain_order=True)
        .agg(
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
            pl.col("volume").sum(),
        )
    )  # fmt: skip
    return weeks.head(-1)


def synthetic(params: SyntheticParams) -> Iterator[SourceFrame]:
    """The synthetic market at 1h, 4h and 1d; signals and decoys are extra columns of scale free."""
    yield from synthetic_market(params)


@hookimpl
def tftctl_sources() -> Iterable[Source]:
    """Samples that need no download."""
    yield Source(
        name="indices",
        summary="S&P 500 and NASDAQ, daily and weekly, 1999-2018",
        provides="bars",
        fetch=indices,
        params=IndicesParams,
        sample=True,
    )
    yield Source(
        name="synthetic",
        summary="a seeded market at 1h, 4h and 1d with five predictive columns among decoys",
        provides="bars",
        fetch=synthetic,
        params=SyntheticParams,
        sample=True,
        planted=SIGNALS,
    )
