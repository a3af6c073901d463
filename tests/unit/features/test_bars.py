"""Prepared bars: short holes filled, long ones breaking segments (SEMANTICS T3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from feature_bars import DAY, HOUR, PRICES, START, bars_at, indicators, numbers, prepared, real_bars, row_of_bars

from tftctl.core.calendars import ObservedCalendar, open_calendar
from tftctl.core.times import iso, parse_iso
from tftctl.features.engine import compute_features


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_hole_of_up_to_three_bars_is_filled(missing: int) -> None:
    """T3: flat at the close before, no volume, flagged, the segment goes on."""
    bars = row_of_bars(20, "1h", missing=range(8, 8 + missing))
    rows = prepared(bars)
    assert rows["timestamp"].to_list() == [START + HOUR * k for k in range(20)]
    assert rows["is_filled"].to_list() == [8 <= k < 8 + missing for k in range(20)]
    assert set(rows["segment"]) == {0}
    filled = rows.filter("is_filled")
    assert all(set(filled[name]) == {bars["close"][7]} for name in PRICES)
    assert set(filled["volume"]) == {0.0}


def test_a_filled_bar_is_known_when_the_next_real_bar_is() -> None:
    """T3: only then is it known that the hole is short."""
    rows = prepared(row_of_bars(20, "4h", missing=[5, 8, 9, 10]))
    known = rows["available_at"].to_list()
    real = [START + 4 * HOUR * (k + 1) for k in range(20)]
    assert known == [real[{5: 6, 8: 11, 9: 11, 10: 11}.get(k, k)] for k in range(20)]


@pytest.mark.parametrize(("limit", "missing", "broken"), [(3, 4, True), (0, 1, True), (5, 5, False), (5, 6, True)])
def test_a_longer_hole_starts_a_segment(limit: int, missing: int, broken: bool) -> None:
    """T3: nothing is filled then."""
    rows = prepared(row_of_bars(30, "1h", missing=range(10, 10 + missing)), max_fill_bars=limit)
    after = rows.filter(pl.col("timestamp") >= START + HOUR * (10 + missing))
    before = rows.filter(pl.col("timestamp") < START + HOUR * 10)
    assert rows["is_filled"].sum() == (0 if broken else missing)
    assert set(before["segment"]) == {0}
    assert set(after["segment"]) == {1 if broken else 0}


def test_a_hole_at_the_end_is_not_filled() -> None:
    """T3: the last row is the last real bar; what comes next is known to the calendar only."""
    rows = prepared(row_of_bars(10, "1d", missing=[7, 8, 9]))
    assert rows.height == 7
    assert not rows["is_filled"].any()
    assert rows["next_timestamp"][-1] == START + 7 * DAY


def test_rows_are_numbered_and_know_the_next_slot() -> None:
    """S1: the next expected bar, which need not be there."""
    rows = prepared(row_of_bars(30, "1h", missing=[3, 10, 11, 12, 13, 14]))
    assert rows["bar_index"].to_list() == list(range(25))
    assert (rows["next_timestamp"] - rows["timestamp"]).to_list() == [HOUR] * 25


def test_weekends_holidays_and_half_days_are_no_holes() -> None:
    """T3: a gap is a missing expected bar; here 2018-07-03 itself is missing and is filled."""
    calendar = open_calendar("XNYS")
    days = [parse_iso(f"2018-{day}") for day in ("06-28", "06-29", "07-02", "07-05", "07-06", "07-09")]
    rows = prepared(bars_at(days, "1d", calendar="XNYS"), calendar)
    assert [iso(stamp)[5:10] for stamp in rows.filter("is_filled")["timestamp"]] == ["07-03"]
    assert rows.filter("is_filled")["available_at"].to_list() == [parse_iso("2018-07-05T20:00")]
    assert set(rows["segment"]) == {0}
    assert iso(rows["next_timestamp"][1])[5:10] == "07-02"


def test_nights_are_no_holes() -> None:
    """T3: hours of two sessions are one segment; four missing ones over a night break it."""
    calendar = open_calendar("XNYS")
    hours = calendar.slots("1h", parse_iso("2018-07-02"), parse_iso("2018-07-07")).open_ms
    whole = prepared(bars_at(hours, "1h", calendar="XNYS"), calendar)
    assert set(whole["segment"]) == {0}
    assert whole.height == hours.size
    over_night = np.delete(hours, [5, 6, 7, 8])
    assert prepared(bars_at(over_night, "1h", calendar="XNYS"), calendar)["segment"].max() == 1
    assert prepared(bars_at(np.delete(hours, [6, 7, 8]), "1h", calendar="XNYS"), calendar)["is_filled"].sum() == 3


def test_on_an_observed_calendar_only_frozen_slots_are_filled() -> None:
    """T2, T3: a day on which nobody traded is no hole, and a bar beside the slots is still real."""
    days = START + DAY * np.arange(10)
    calendar = ObservedCalendar({"1d": np.delete(days, [3, 6])})
    rows = prepared(bars_at(days[[0, 1, 2, 5, 6, 7, 9]], "1d"), calendar)
    assert ((rows["timestamp"] - START) // DAY).to_list() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert ((rows.filter("is_filled")["timestamp"] - START) // DAY).to_list() == [4, 8]


def test_holes_of_real_hours_against_a_loop(shared_data: Path) -> None:
    """T3 on BTC hours of early 2018, among them the outage of 34 hours."""
    bars = real_bars(shared_data, "BTCUSDT", "1h", "2017-12-01", "2018-07-01")
    stamps, close = bars["timestamp"].to_list(), bars["close"].to_list()
    expected, segment = [(stamps[0], close[0], 0, False, stamps[0] + HOUR)], 0
    for k in range(1, len(stamps)):
        hole = list(range(stamps[k - 1] + HOUR, stamps[k], HOUR))
        if len(hole) > 3:
            segment += 1
        else:
            expected += [(stamp, close[k - 1], segment, True, stamps[k] + HOUR) for stamp in hole]
        expected.append((stamps[k], close[k], segment, False, stamps[k] + HOUR))
    rows = prepared(bars).select("timestamp", "close", "segment", "is_filled", "available_at")
    assert rows.rows() == expected
    assert segment > 0


def test_extra_columns_are_null_in_filled_bars() -> None:
    """T3: nothing is known of them."""
    bars = row_of_bars(10, "1h", missing=[4]).with_columns(flow=pl.lit(2.5), ingested_at=pl.lit(1))
    rows = prepared(bars)
    assert rows["flow"].to_list() == [2.5] * 4 + [None] + [2.5] * 5
    assert "ingested_at" not in rows.columns


@pytest.mark.parametrize("name", ["rsi", "macd", "rolling_volatility", "obv", "return_skewness"])
def test_indicators_restart_at_each_segment(name: str) -> None:
    """T4: a segment gives what its bars alone give."""
    bars = row_of_bars(160, "1h", missing=[*range(60, 66), 100], seed=4)
    rows = prepared(bars)
    whole = compute_features(rows, indicators(name))
    late = compute_features(prepared(bars.slice(60)), indicators(name))
    for column in whole.columns:
        np.testing.assert_array_equal(numbers(whole[column])[60:], numbers(late[column]))
    assert rows["segment"][60] == 1
    assert rows.height == whole.height == 154
