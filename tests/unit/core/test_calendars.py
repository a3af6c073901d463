"""Which bars each market expects and when each is complete (SEMANTICS T1, T2)."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tftctl.core.calendars import ObservedCalendar, calendar_for, detect_anchor, observed_slots, open_calendar
from tftctl.core.errors import ConfigError
from tftctl.core.times import iso, parse_iso

HOUR = 3_600_000
DAY = 24 * HOUR
NEW_YORK = ZoneInfo("America/New_York")


def ms(*texts: str) -> np.ndarray:
    """Instants from ISO text."""
    return np.array([parse_iso(text) for text in texts], dtype=np.int64)


def new_york(text: str) -> int:
    """An instant from the wall clock in New York."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "opens", "complete"),
    [
        ("15m", "2020-02-29T23:45", "2020-03-01T00:00"),
        ("1h", "2021-03-28T01:00", "2021-03-28T02:00"),
        ("4h", "2020-12-31T20:00", "2021-01-01T00:00"),
        ("1d", "2020-02-28", "2020-02-29"),
        ("1w", "2021-03-01", "2021-03-08"),
    ],
)
def test_a_market_that_never_closes(period: str, opens: str, complete: str) -> None:
    """T2: available_at = timestamp + p, and the next bar opens then."""
    calendar = open_calendar("24x7")
    assert calendar.available_at(period, ms(opens)).tolist() == ms(complete).tolist()
    assert calendar.next_open(period, ms(opens)).tolist() == ms(complete).tolist()


def test_off_the_grid_there_is_no_bar() -> None:
    """T2: weeks open on Monday 00:00 UTC; 2021-03-02 is a Tuesday."""
    calendar = open_calendar("24x7")
    assert calendar.available_at("1w", ms("2021-03-02")).tolist() == [-1]
    assert calendar.available_at("1h", ms("2021-03-02T00:30")).tolist() == [-1]


@pytest.mark.parametrize("period", ["1h", "4h", "1d", "1w"])
def test_slots_between_two_instants(period: str) -> None:
    """T2: both ends count when they are slots; against a loop over hours."""
    first, last = parse_iso("2021-02-28T22:00"), parse_iso("2021-03-09")
    hours = list(range(first, last + 1, HOUR))
    moments = {stamp: dt.datetime.fromtimestamp(stamp / 1000, dt.UTC) for stamp in hours}
    expected = {
        "1h": hours,
        "4h": [stamp for stamp in hours if moments[stamp].hour % 4 == 0],
        "1d": [stamp for stamp in hours if moments[stamp].hour == 0],
        "1w": [stamp for stamp in hours if moments[stamp].hour == 0 and moments[stamp].weekday() == 0],
    }
    assert open_calendar("24x7").slots(period, first, last).open_ms.tolist() == expected[period]


def test_a_delay_moves_completion_only() -> None:
    """T2: `bar_delay` is added to the scheduled completion."""
    calendar, late = open_calendar("XNYS"), open_calendar("XNYS", delay_ms=15 * 60_000)
    days = ms("2018-07-02", "2018-07-03")
    assert (late.available_at("1d", days) - calendar.available_at("1d", days)).tolist() == [900_000, 900_000]
    assert late.next_open("1d", days).tolist() == calendar.next_open("1d", days).tolist()
    assert open_calendar("24x7", delay_ms=7).available_at("1h", ms("2021-01-01")).tolist() == [
        parse_iso("2021-01-01T01:00") + 7
    ]


@pytest.mark.parametrize(
    ("session", "close"),
    [
        ("2018-07-02", "2018-07-02T16:00"),
        ("2018-07-03", "2018-07-03T13:00"),  # half day before Independence Day
        ("2018-07-05", "2018-07-05T16:00"),
        ("2018-03-09", "2018-03-09T16:00"),  # the last session of winter time: 21:00 UTC
        ("2018-03-12", "2018-03-12T16:00"),  # the first of summer time: 20:00 UTC
        ("2018-11-05", "2018-11-05T16:00"),
        ("2019-11-29", "2019-11-29T13:00"),  # the day after Thanksgiving
    ],
)
def test_a_day_in_new_york_is_complete_at_its_close(session: str, close: str) -> None:
    """T2: stamped 00:00 UTC of the session date, available at the scheduled close."""
    assert open_calendar("XNYS").available_at("1d", ms(session)).tolist() == [new_york(close)]


def test_daylight_saving_moves_the_close_by_an_hour_in_utc() -> None:
    """T2: 21:00 UTC in winter, 20:00 UTC in summer."""
    found = open_calendar("XNYS").available_at("1d", ms("2018-03-09", "2018-03-12"))
    assert [iso(stamp)[11:16] for stamp in found] == ["21:00", "20:00"]


def test_weekends_and_holidays_are_no_slots() -> None:
    """T3: a weekend in stocks is no gap."""
    calendar = open_calendar("XNYS")
    slots = calendar.slots("1d", *ms("2018-06-29", "2018-07-06").tolist())
    assert [iso(stamp)[:10] for stamp in slots.open_ms] == [
        "2018-06-29", "2018-07-02", "2018-07-03", "2018-07-05", "2018-07-06"
    ]  # fmt: skip
    assert calendar.available_at("1d", ms("2018-07-04", "2018-07-07")).tolist() == [-1, -1]
    assert calendar.next_open("1d", ms("2018-07-03")).tolist() == ms("2018-07-05").tolist()


def test_hours_in_new_york_from_the_full_hour() -> None:
    """T2: slots that intersect the session, complete at min(timestamp + p, close)."""
    calendar = open_calendar("XNYS")
    slots = calendar.slots("1h", *ms("2018-07-03", "2018-07-04").tolist())
    assert slots.open_ms.tolist() == [new_york(f"2018-07-03T{hour:02d}:00") for hour in (9, 10, 11, 12)]
    assert slots.due_ms.tolist() == [new_york(f"2018-07-03T{hour:02d}:00") for hour in (10, 11, 12, 13)]
    assert calendar.next_open("1h", slots.open_ms[-1:]).tolist() == [new_york("2018-07-05T09:00")]


def test_hours_in_new_york_from_the_open() -> None:
    """T2: the last bar of a full day is half an hour, that of a half day too."""
    calendar = open_calendar("XNYS", anchor={"1h": "open"})
    slots = calendar.slots("1h", *ms("2018-07-02", "2018-07-04").tolist())
    full = [new_york(f"2018-07-02T{hour:02d}:30") for hour in range(9, 16)]
    half = [new_york(f"2018-07-03T{hour:02d}:30") for hour in range(9, 13)]
    assert slots.open_ms.tolist() == full + half
    closes = (new_york("2018-07-02T16:00"), new_york("2018-07-03T13:00"))
    assert slots.due_ms.tolist() == [*full[1:], closes[0], *half[1:], closes[1]]


def test_hours_follow_daylight_saving() -> None:
    """T2: 10:00 New York is 15:00 UTC on 2018-03-09 and 14:00 UTC on 2018-03-12."""
    slots = open_calendar("XNYS").slots("1h", *ms("2018-03-09", "2018-03-13").tolist())
    assert [iso(stamp)[5:13] for stamp in slots.open_ms[[1, 8]]] == ["03-09T15", "03-12T14"]
    assert slots.open_ms.size == 14


def test_a_week_in_new_york_is_complete_at_its_last_close() -> None:
    """T2: weeks open Monday 00:00 UTC; Good Friday 2018-03-30 was a holiday, so Thursday's close ends that week."""
    found = open_calendar("XNYS").available_at("1w", ms("2018-03-26", "2018-07-02"))
    assert found.tolist() == [new_york("2018-03-29T16:00"), new_york("2018-07-06T16:00")]


def test_the_anchor_is_read_off_the_bars() -> None:
    """T2: full hour or session open."""
    for anchor in ("hour", "open"):
        opens = open_calendar("XNYS", anchor={"1h": anchor}).slots("1h", *ms("2018-03-01", "2018-04-01").tolist())
        assert detect_anchor("XNYS", "1h", opens.open_ms) == anchor


@pytest.mark.parametrize(
    ("calendar", "period", "bars"),
    [
        ("24x7", "1h", 8760), ("24x7", "4h", 2190), ("24x7", "1d", 365), ("24x7", "1w", 52),
        ("XNYS", "1d", 252), ("XNYS", "1h", 7 * 252), ("XNYS", "1w", 52),
    ],
)  # fmt: skip
def test_bars_per_year(calendar: str, period: str, bars: int) -> None:
    """T2: constants."""
    assert open_calendar(calendar).bars_per_year(period) == bars


def test_symbols_find_their_calendar() -> None:
    """T2: the exact name, then the longest pattern, then 24x7."""
    patterns = {"*": "24x7", "A*": "XNAS", "AA*": "XNYS", "ABC": "observed"}
    names = ["ABC", "AAPL", "AMZN", "BTC"]
    assert [calendar_for(name, patterns) for name in names] == ["observed", "XNYS", "XNAS", "24x7"]
    assert calendar_for("BTC", {}) == "24x7"


def test_an_unknown_calendar_is_refused() -> None:
    """STYLE 12: what was asked, and the nearest match."""
    with pytest.raises(ConfigError) as error:
        open_calendar("XNYX")
    assert "XNYX" in error.value.message
    assert "XNYS" in error.value.hint


def test_observed_slots_against_a_loop() -> None:
    """T2: at least half of the symbols listed at that time; unlisted after 30 days without a bar."""
    rng = np.random.default_rng(3)
    days = {
        "A": np.sort(rng.choice(200, 150, replace=False)),
        "B": np.sort(rng.choice(np.arange(60, 200), 60, replace=False)),
        "C": np.concatenate((np.arange(40), np.arange(90, 110))),
        "D": np.array([5, 36, 67, 180]),
    }
    expected = []
    for day in range(200):
        listed = [name for name in days if any(0 <= day - other <= 30 for other in days[name])]
        present = [name for name in days if day in days[name]]
        if present and 2 * len(present) >= len(listed):
            expected.append(day * DAY)
    found = observed_slots({name: numbers * DAY for name, numbers in days.items()}, "1d")
    assert found.tolist() == expected
    assert 0 < len(expected) < len(set(np.concatenate(list(days.values()))))


def test_after_the_last_observed_slot_none_is_expected() -> None:
    """T2: a slot counts as soon as bars show it; after a few slots the next open is the next grid point."""
    calendar = ObservedCalendar({"1d": ms("2021-03-01", "2021-03-03")})
    slots = calendar.slots("1d", *ms("2021-03-01", "2021-03-05").tolist())
    assert [iso(stamp)[8:10] for stamp in slots.open_ms] == ["01", "03"]
    assert slots.due_ms.tolist() == ms("2021-03-02", "2021-03-04").tolist()
    opens = calendar.next_open("1d", ms("2021-03-01", "2021-03-03"))
    assert [iso(stamp)[8:10] for stamp in opens] == ["03", "04"]
    assert calendar.available_at("1d", ms("2021-03-01")).tolist() == ms("2021-03-02").tolist()


@pytest.mark.parametrize(("period", "hours"), [("1d", [0]), ("4h", [8, 12, 16])])
def test_the_next_open_after_the_last_observed_slot_keeps_the_week(period: str, hours: list[int]) -> None:
    """T2: against a search over the grid for a time of the week that had a slot in the last four weeks."""
    step = int(period[:-1]) * (DAY if period.endswith("d") else DAY // 24)
    monday = int(ms("2021-03-01")[0])
    weekdays = [monday + day * DAY for day in range(39) if day % 7 < 5 and day not in (4, 9)]
    known = np.array([day + hour * DAY // 24 for day in weekdays for hour in hours])  # ends on a Thursday
    calendar = ObservedCalendar({period: known})
    asked = known[-1] + step * np.arange(60)
    week, recent = 7 * DAY, known[known > known[-1] - 28 * DAY]
    expected = []
    for stamp in asked.tolist():
        coming = stamp + step
        while not any((coming - slot) % week == 0 for slot in recent.tolist()):
            coming += step
        expected.append(coming)
    assert calendar.next_open(period, asked).tolist() == expected
    assert calendar.next_open(period, known[:-1]).tolist() == known[1:].tolist()


def test_odd_periods_go_on_as_the_grid() -> None:
    """T2: where a week is no whole number of bars, no time of the week comes back."""
    known = 5 * DAY * np.arange(100, 140)
    assert ObservedCalendar({"5d": known}).next_open("5d", known[-1:]).tolist() == [int(known[-1]) + 5 * DAY]
