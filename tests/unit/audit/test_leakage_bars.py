"""`audit leakage` of slow bars beside fast ones: later hours in all of them or in some, sessions, real feeds (T1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from leakage_zoo import market, slower, workspace_with

from tftctl.audit.findings import Finding
from tftctl.audit.leakage import classes, judge
from tftctl.audit.leakage.resampling import displaced_bars
from tftctl.core.calendars import open_calendar
from tftctl.core.times import iso, parse_iso
from tftctl.core.workspace import Workspace
from tftctl.features.layout import Layout
from tftctl.ingest.importer import ImportOptions, import_bars
from tftctl.store import Store

HOUR = 3_600_000


def told(workspace: Workspace, periods: Sequence[str], symbols: Sequence[str] = ("AAA",)) -> list[Finding]:
    """What is found in stored bars."""
    layout = cast(Layout, SimpleNamespace(periods=list(periods), symbols={key: list(symbols) for key in periods}))
    with Store(workspace.store).read() as snapshot:
        return list(judge.displaced(displaced_bars(snapshot, layout)))


def found_in(workspace: Workspace, *frames: pl.DataFrame) -> list[Finding]:
    """The same of bars of one symbol."""
    workspace_with(workspace, frames)
    return told(workspace, [frame["period"][0] for frame in frames])


def sliced(hours: pl.DataFrame, hours_more: int) -> pl.DataFrame:
    """4h bars as a loop over `loc[t : t + 4h]` makes them, whose end is in them; their opens are right."""
    stamps, opens, closes = (hours[name].to_list() for name in ("timestamp", "open", "close"))
    slots = sorted({stamp // (4 * HOUR) * 4 * HOUR for stamp in stamps})
    rows = []
    for slot in slots:
        inside = [row for row, stamp in enumerate(stamps) if slot <= stamp < slot + (4 + hours_more) * HOUR]
        rows.append((slot, opens[inside[0]], closes[inside[-1]]))
    made = pl.DataFrame(rows, schema=["timestamp", "open", "close"], orient="row")
    return slower(hours, "4h").drop("open", "close").join(made, on="timestamp").select(hours.columns)


@pytest.mark.parametrize(("more", "kinds"), [(0, []), (1, [classes.LABEL_SIDE]), (2, [classes.LABEL_SIDE])])
def test_a_slice_that_includes_its_end(workspace: Workspace, more: int, kinds: list[str]) -> None:
    hours = market(1500, 3)
    found = found_in(workspace, hours, sliced(hours, more))
    assert [f.kind for f in found] == kinds
    if kinds:
        assert (found[0].verdict, found[0].row) == ("FAIL", iso(slower(hours, "4h")["timestamp"][0]))
        assert f"close of the 1h bar {more} later" in found[0].detail


@pytest.mark.parametrize("share", [0.95, 0.6, 0.3, 0.08])
@pytest.mark.parametrize("midway", [False, True])
def test_some_bars_hold_later_hours(workspace: Workspace, share: float, *, midway: bool) -> None:
    """Scattered ones, or all after a day on which the feed changed its stamps."""
    hours = market(1500, 3)
    right = slower(hours, "4h")
    late = slower(hours.with_columns(timestamp=pl.col("timestamp") - HOUR), "4h")
    size = right.height
    chosen = np.arange(size) > (1 - share) * size if midway else np.random.default_rng(5).random(size) < share
    stamps = right["timestamp"].filter(pl.Series(chosen)).to_list()
    mixed = pl.concat([
        right.filter(~pl.col("timestamp").is_in(stamps)), late.filter(pl.col("timestamp").is_in(stamps))
    ]).sort("timestamp")  # fmt: skip
    (finding,) = found_in(workspace, hours, mixed)
    assert (finding.kind, finding.verdict, finding.period) == (classes.LABEL_SIDE, "FAIL", "4h")
    assert abs(float(finding.detail.split("%")[0]) / 100 - chosen.mean()) < 0.03


@pytest.mark.parametrize("share", [0.0, 0.4, 0.7])
def test_bars_of_earlier_hours_are_told_where_they_are_most(workspace: Workspace, share: float) -> None:
    hours = market(1500, 3)
    right = slower(hours, "4h")
    old = slower(hours.with_columns(timestamp=pl.col("timestamp") + 4 * HOUR), "4h")
    stamps = right["timestamp"].to_list()[: int(share * right.height)]
    mixed = pl.concat([old.filter(pl.col("timestamp").is_in(stamps)), right.filter(~pl.col("timestamp").is_in(stamps))])
    found = found_in(workspace, hours, mixed)
    assert [(f.kind, f.verdict) for f in found] == ([("stamped at the close", "PASS")] if share > 0.5 else [])


def test_prices_that_hardly_move_and_those_of_another_feed_are_no_later_ones(workspace: Workspace) -> None:
    """Rounded to ten prices, and slow bars that differ everywhere by a tick or two."""
    rng = np.random.default_rng(4)
    hours = market(1500, 3)
    hours = hours.with_columns(close=pl.Series(100 + 0.01 * rng.integers(0, 10, hours.height)))
    slow = slower(hours, "4h")
    slow = slow.with_columns(close=pl.col("close") + pl.Series(0.01 * rng.choice([-2, -1, 1, 2], slow.height)))
    assert found_in(workspace, hours, slow) == []


def sessions(workspace: Workspace, ahead: int, *, official: bool) -> list[Finding]:
    """Half-hours and days of New York: the days' prices those of `ahead` sessions later, closes of an auction."""
    calendar = open_calendar("XNYS")
    first, last = parse_iso("2021-03-01"), parse_iso("2022-01-01")
    rng = np.random.default_rng(2)
    frames: dict[str, pl.DataFrame] = {}
    for period in ("30m", "1d"):
        slots = calendar.slots(period, first, last)
        stamps = np.asarray(slots.open_ms)
        frames[period] = pl.DataFrame({"symbol": "AAA", "period": period, "timestamp": stamps,
                                       "available_at": calendar.available_at(period, stamps)})  # fmt: skip
    size = frames["30m"].height
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal(size)))
    fast = frames["30m"].with_columns(open=pl.Series(close * (1 + 0.003 * rng.standard_normal(size))), close=close)
    day = pl.col("timestamp") // (24 * HOUR)
    daily = fast.group_by(day.alias("day"), maintain_order=True).agg(pl.first("open"), pl.last("close"))
    assert daily.height == frames["1d"].height
    slow = frames["1d"].with_columns(daily.select(pl.col("open", "close").shift(-ahead))).drop_nulls()
    if official:
        slow = slow.with_columns(close=pl.col("close") * (1 + 1e-3 * pl.Series(rng.standard_normal(slow.height))))
    whole = [
        frame.with_columns(high=pl.max_horizontal("open", "close"), low=pl.min_horizontal("open", "close"), volume=1.0)
        for frame in (fast, slow)
    ]
    return found_in(workspace, *whole)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize(("ahead", "kinds"), [(0, []), (1, [classes.LABEL_SIDE])])
def test_daily_bars_of_an_exchange(workspace: Workspace, ahead: int, kinds: list[str], *, official: bool) -> None:
    """They are stamped at midnight, where no fast bar opens; official closes are no trade's, opens tell."""
    assert [f.kind for f in sessions(workspace, ahead, official=official)] == kinds


@pytest.mark.shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "SOLUSDT"])
def test_real_crypto_is_silent(shared_data: Path, workspace: Workspace, symbol: str) -> None:
    """Native 1h, 4h and 1d, with their outages and the few bars that differ."""
    paths = [path for period in ("1h", "4h", "1d") for path in (shared_data / "crypto" / period).glob(f"{symbol}.*")]
    import_bars(Store(workspace.store), workspace.root / "reports", paths, ImportOptions())
    assert told(workspace, ["1h", "4h", "1d"], [symbol]) == []


@pytest.mark.shared
def test_real_stocks_are_silent(shared_data: Path, workspace: Workspace) -> None:
    """Raw hours and days of New York: trades here, official prices there."""
    stocks = shared_data / "stocks"
    paths = [stocks / f"lean_raw_{period}" / f"{name}.zip" for period in ("1h", "1d") for name in ("aapl", "spy")]
    options: Any = ImportOptions(calendar="XNYS", basis="raw")
    import_bars(Store(workspace.store), workspace.root / "reports", paths, options)
    assert told(workspace, ["1h", "1d"], ["AAPL", "SPY"]) == []
