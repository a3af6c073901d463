"""Calendar columns against Python's datetime."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from builtin_bars import HOUR, computed, family_names, findings, flat_bars, indicator

from tftctl.features.engine import known_columns

START = 1_577_750_400_000  # 2019-12-31 00:00, before a leap year
NAMES = family_names("indicator", "calendar")


def hours(size: int, step: int = HOUR, start: int = START) -> tuple[pl.DataFrame, list[datetime]]:
    """Flat bars, and their open times."""
    stamps = start + step * np.arange(size, dtype=np.int64)
    times = [datetime.fromtimestamp(stamp / 1000, tz=UTC) for stamp in stamps.tolist()]
    return flat_bars(size).with_columns(timestamp=pl.Series(stamps)), times


@pytest.mark.parametrize("step", [HOUR, 24 * HOUR, 7 * HOUR // 4])
def test_month_is_a_point_on_the_circle(step: int) -> None:
    """January is angle 0, July opposite of it."""
    bars, times = hours(800, step)
    angles = np.array([2 * math.pi * (time.month - 1) / 12 for time in times])
    made = computed(bars, "year_clock")
    np.testing.assert_allclose(made["month_sin"], np.sin(angles), atol=1e-12)
    np.testing.assert_allclose(made["month_cos"], np.cos(angles), atol=1e-12)


@pytest.mark.parametrize("step", [HOUR, HOUR // 4])
def test_sessions_by_the_open_hour(step: int) -> None:
    """Asia 0-9, Europe 7-16, US 13-22 UTC; the hour after the last is outside."""
    bars, times = hours(500, step)
    made = computed(bars, "trading_sessions")
    for name, (start, end) in {"asia": (0, 9), "europe": (7, 16), "us": (13, 22)}.items():
        assert made[f"session_{name}"].tolist() == [float(time.hour in range(start, end)) for time in times]


def test_a_session_may_run_over_midnight() -> None:
    """From 22 to 6."""
    bars, times = hours(100)
    made = computed(bars, "trading_sessions", asia_start=22, asia_end=6)
    expected = [float(time.hour >= 22 or time.hour < 6) for time in times]
    assert made["session_asia_22_6_7_16_13_22"].tolist() == expected


@pytest.mark.parametrize(("weekday", "hour"), [(6, 24), (4, 21), (0, 0)])
@pytest.mark.parametrize("step", [HOUR, 11 * HOUR // 4, 24 * HOUR])
def test_hours_to_the_close_of_the_week(weekday: int, hour: int, step: int) -> None:
    """The first close strictly after the open, looked for hour by hour."""
    bars, times = hours(400, step)
    (found,) = computed(bars, "week_close", weekday=weekday, hour=hour).values()
    for time, value in zip(times, found, strict=True):
        monday = datetime(time.year, time.month, time.day, tzinfo=UTC) - timedelta(days=time.weekday())
        closes = [monday + timedelta(days=7 * week + weekday, hours=hour) for week in (-1, 0, 1)]
        ahead = min(close for close in closes if close > time)
        assert value == (ahead - time).total_seconds() / 3600
    assert found.min() > 0 and found.max() <= 168


def test_days_to_the_end_of_the_month() -> None:
    """Also of a leap February, and into the next year."""
    bars, times = hours(24 * 70 + 5)
    found = computed(bars, "month_end")["days_to_month_end"]
    for time, value in zip(times, found, strict=True):
        last = calendar.monthrange(time.year, time.month)[1]
        assert value == pytest.approx(last - (time.day - 1) - time.hour / 24, rel=1e-12)
    assert found.min() == pytest.approx(1 / 24) and found.max() == 31


@pytest.mark.parametrize("name", NAMES)
def test_all_are_known_in_advance_for_any_time(name: str) -> None:
    """S1: the decoder row exists for the next bar; one time alone gives what it gives among others."""
    instance = indicator(name)
    assert instance.record.known
    bars, _ = hours(300, 5 * HOUR, START - 900 * HOUR)
    among = computed(bars, name)
    for row in (0, 17, 299):
        alone = known_columns([instance], bars["timestamp"].to_numpy()[row : row + 1])
        assert {column: values[row] for column, values in among.items()} == {k: v[0] for k, v in alone.items()}
    assert not any(np.isnan(values).any() for values in among.values())


def test_these_are_all() -> None:
    """A new indicator of the family comes with a test."""
    assert NAMES == ["day_clock", "month_end", "trading_sessions", "week_clock", "week_close", "year_clock"]


@pytest.mark.parametrize(
    ("name", "params"),
    [("trading_sessions", {"asia_start": 22, "asia_end": 6}), ("week_close", {"weekday": 4, "hour": 21})],
)
def test_other_parameters_pass_the_checks(name: str, params: dict) -> None:
    """The defaults are checked with all built-ins."""
    assert findings(name, **params) == []
