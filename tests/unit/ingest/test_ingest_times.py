"""Times in every usual writing (SEMANTICS T1); the oracle is Python's datetime and zoneinfo, value by value."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tftctl.core.errors import DataError, UsageError
from tftctl.ingest.bars import Clock, read_rows
from tftctl.ingest.columns import map_columns
from tftctl.ingest.reading import LINE, RAGGED
from tftctl.ingest.timestamps import parse_times

UTC = dt.UTC
NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"
MOMENT = dt.datetime(2024, 3, 5, 13, 45, 30, tzinfo=UTC)


def ms(moment: dt.datetime) -> int:
    """Milliseconds UTC, without floats."""
    return (moment - dt.datetime(1970, 1, 1, tzinfo=UTC)) // dt.timedelta(milliseconds=1)


def parsed(*values: object, zone: str = "UTC", dates_only: bool = False) -> list[int | None]:
    """Instants of a column."""
    return parse_times(pl.Series(list(values)), zone, dates_only=dates_only).ms.to_list()


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("kind", [int, str, float, lambda v: f"{v}.0"], ids=["int", "text", "float", "dotted"])
def test_numbers_of_every_unit_are_the_same_instant(unit: int, kind: type) -> None:
    """T1: seconds, milliseconds, microseconds and nanoseconds go to milliseconds."""
    assert parsed(kind(int(MOMENT.timestamp()) * unit)) == [ms(MOMENT)]


def test_units_may_be_mixed_in_one_column() -> None:
    """T1: each value by its own magnitude, beside ISO text, too."""
    second = int(MOMENT.timestamp())
    texts = [str(second), str(second * 10**3), str(second * 10**6), str(second * 10**9), f"{second}.0",
             MOMENT.isoformat(), MOMENT.strftime("%Y-%m-%d %H:%M:%S")]  # fmt: skip
    assert parsed(*texts) == [ms(MOMENT)] * len(texts)


def test_seconds_may_have_decimals_and_an_exponent() -> None:
    assert parsed("1709646330.250", "1.70964633e9", "1.70964633e12") == [
        1709646330250,
        1709646330000,
        1709646330000,
    ]


def test_nanoseconds_keep_their_millisecond() -> None:
    """A nanosecond stamp has more digits than a float."""
    values = [1_709_646_330_123_000_000 + i * 1_000_000 for i in range(50)]
    assert parsed(*values) == [value // 1_000_000 for value in values]


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-05T13:45:30Z",
        "2024-03-05 13:45:30",
        "2024-03-05T13:45:30",
        "2024-03-05T13:45:30.000",
        "2024-03-05T13:45:30.000000Z",
        "2024-03-05 13:45:30 UTC",
        "2024-03-05 13:45:30 GMT",
        "2024-03-05 13:45:30+00:00",
        "2024-03-05T15:45:30+02:00",
        "2024-03-05T15:45:30+0200",
        "2024-03-05 15:45:30+02",
        "2024-03-05 08:45:30-05:00",
        "2024-03-05 08:45:30 -0500",
        "2024-03-05 19:15:30+05:30",
        "2024-03-05 01:45:30 PM",
        "2024-03-05 1:45:30 PM",
        "2024-03-05 1:45:30PM",
        "2024-03-05 01:45:30 pm",
        "2024/03/05 13:45:30",
        "20240305134530",
        '"2024-03-05 13:45:30"',
        "  2024-03-05 13:45:30  ",
    ],
)
def test_writings_of_one_second(text: str) -> None:
    """T1: with a zone as it says, without one UTC."""
    assert parsed(text) == [ms(MOMENT)]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2019-10-17 12-AM", 0),
        ("2019-10-17 01-AM", 1),
        ("2019-10-17 11-AM", 11),
        ("2019-10-17 12-PM", 12),
        ("2019-10-17 09-PM", 21),
        ("2019-10-17 9PM", 21),
        ("2019-10-17 9 pm", 21),
        ("2019-10-17 12:00 AM", 0),
        ("2019-10-17 12:00:00 PM", 12),
        ("2019-10-17 9:00 PM", 21),
        ("10/17/2019 9:00 PM", 21),
        ("10/17/2019 12:00:00 AM", 0),
        ("17/10/2019 21:00", 21),
        ("17.10.2019 21:00", 21),
        ("17.10.2019 21:00:00", 21),
        ("20191017 21:00", 21),
        ("20191017 2100", 21),
        ("Oct 17, 2019 21:00", 21),
        ("2019/10/17 21:00", 21),
        ("2019-10-17 21:00", 21),
    ],
)
def test_half_day_and_other_clocks(text: str, hour: int) -> None:
    """T1: 12 AM is midnight, 12 PM noon."""
    assert parsed(text) == [ms(dt.datetime(2019, 10, 17, hour, tzinfo=UTC))]


@pytest.mark.parametrize(
    "text",
    ["2024-01-31", "2024/01/31", "20240131", "20240131T", "Jan 31, 2024", "January 31, 2024", "31 Jan 2024",
     "31-Jan-2024", "31/01/2024", "01/31/2024", "1/31/2024", "31.01.2024", "2024-01-31T"],
)  # fmt: skip
def test_writings_of_one_date(text: str) -> None:
    assert parsed(text) == [ms(dt.datetime(2024, 1, 31, tzinfo=UTC))]
    assert parsed(text, dates_only=True) == [ms(dt.datetime(2024, 1, 31, tzinfo=UTC))]


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%b-%Y", "%b %d, %Y"])
def test_a_year_of_dates_round_trips(form: str) -> None:
    """One part above 12 decides for the whole column."""
    days = [dt.datetime(2023, 1, 1, tzinfo=UTC) + dt.timedelta(days=i) for i in range(365)]
    assert parsed(*(day.strftime(form) for day in days)) == [ms(day) for day in days]


@pytest.mark.parametrize(
    "text", ["0", "19730", "45292", "1", "4133980800000", "4133980800000000", "01/31/24", "24-01-31", "1/2/1"]
)
def test_counts_day_numbers_and_short_years_are_no_times(text: str) -> None:
    """45292 is a spreadsheet's 2024-01-01, not half past twelve in 1970; 24-01-31 is not in the year 24."""
    assert parsed(text, "2024-01-31") == [None, ms(dt.datetime(2024, 1, 31, tzinfo=UTC))]


@pytest.mark.parametrize("kind", [int, str])
def test_milliseconds_of_the_seventies_are_not_seconds(kind: type) -> None:
    """T1: 1972 in milliseconds would be the year 4050 in seconds."""
    days = [dt.datetime(1970, 3, 1, tzinfo=UTC) + dt.timedelta(days=97 * i) for i in range(12)]
    assert parsed(*(kind(ms(day)) for day in days)) == [ms(day) for day in days]
    assert parsed(*(kind(ms(day) // 1000) for day in days)) == [ms(day) for day in days]


@pytest.mark.parametrize("kind", [int, str])
@pytest.mark.parametrize("form", ["%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"])
def test_dates_without_marks_as_numbers(kind: type, form: str) -> None:
    moments = [dt.datetime(2019 + i, 1 + i, 28, 13 * ("H" in form), 30 * ("M" in form[6:]), tzinfo=UTC)
               for i in range(5)]  # fmt: skip
    assert parsed(*(kind(moment.strftime(form)) for moment in moments)) == [ms(moment) for moment in moments]


@pytest.mark.parametrize(
    "text", ["31.01.2024 13:00:00.000 GMT+0200", "2024-01-31 13:00 UTC+02:00", "2024.01.31 11:00", "31-01-2024 11:00"]
)
def test_writings_of_terminals(text: str) -> None:
    assert parsed(text) == [ms(dt.datetime(2024, 1, 31, 11, tzinfo=UTC))]


@pytest.mark.parametrize(
    "texts",
    [("01/02/2024", "03/04/2024"), ("05.06.2023",), ("13/01/2024", "01/14/2024"), ("01/02/2024 3:00 PM",)],
    ids=["slashes", "dots", "contradiction", "with a time"],
)
def test_day_or_month_first_is_refused_where_nothing_decides(texts: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="day or month first"):
        parsed(*texts)


@pytest.mark.parametrize("text", ["soon", "2024-13-01", "2024-02-30", "25:00", "2024-01-01 24:30", "", "nan", "NaT"])
def test_what_is_no_time_is_null(text: str) -> None:
    found = parse_times(pl.Series([text, "2024-01-01"]))
    assert found.ms.to_list() == [None, 1704067200000]
    assert not found.skipped.any()


@pytest.mark.parametrize(
    ("zone", "spring", "autumn"),
    [(NEW_YORK, dt.date(2024, 3, 10), dt.date(2024, 11, 3)), (BERLIN, dt.date(2024, 3, 31), dt.date(2024, 10, 27))],
)
def test_local_hours_across_the_clock_change(zone: str, spring: dt.date, autumn: dt.date) -> None:
    """T1: an offset-less hour that the change repeats or skips cannot be decided, every other one can."""
    hours = [dt.datetime.combine(day, dt.time(hour)) for day in (spring, autumn) for hour in range(24)]
    found = parse_times(pl.Series([hour.isoformat(" ") for hour in hours]), zone)
    place = ZoneInfo(zone)
    odd = []
    for hour, value, skipped in zip(hours, found.ms, found.skipped, strict=True):
        early, late = (hour.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
        assert skipped == (early != late)
        assert value == (None if skipped else ms(early))
        odd += [hour.hour] if skipped else []
    assert odd == ([2, 1] if zone == NEW_YORK else [2, 2])


def test_an_offset_decides_what_the_local_hour_does_not() -> None:
    """The repeated hour of Berlin, written with its offsets, is two instants."""
    found = parse_times(pl.Series(["2024-10-27 02:00:00+02:00", "2024-10-27 02:00:00+01:00"]), BERLIN)
    assert found.ms.to_list() == [1729987200000, 1729990800000]
    assert not found.skipped.any()


def test_a_zone_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no time zone 'Mars/Base'"):
        parsed("2024-01-01 00:00:00", zone="Mars/Base")


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_typed_times_with_and_without_a_zone(unit: str) -> None:
    naive = pl.Series([MOMENT.replace(tzinfo=None)], dtype=pl.Datetime(unit))
    assert parse_times(naive).ms.to_list() == [ms(MOMENT)]
    assert parse_times(naive, NEW_YORK).ms.to_list() == [ms(MOMENT) + 5 * 3_600_000]
    zoned = naive.dt.replace_time_zone("UTC").dt.convert_time_zone(NEW_YORK)
    assert parse_times(zoned, BERLIN).ms.to_list() == [ms(MOMENT)]
    repeated = pl.Series([dt.datetime(2024, 11, 3, 1)], dtype=pl.Datetime(unit))
    assert parse_times(repeated, NEW_YORK).skipped.to_list() == [True]


def test_typed_dates_and_what_is_no_time_at_all() -> None:
    assert parse_times(pl.Series([dt.date(2024, 1, 31)])).ms.to_list() == [ms(dt.datetime(2024, 1, 31, tzinfo=UTC))]
    with pytest.raises(DataError, match="time column of type"):
        parse_times(pl.Series([dt.time(1)]))


def test_empty_numbers_are_null() -> None:
    assert parsed(1.7e9, None, float("nan")) == [1_700_000_000_000, None, None]


FORMS = {
    "seconds": lambda t: str(int(t.timestamp())),
    "milliseconds": lambda t: str(ms(t)),
    "microseconds": lambda t: str(ms(t) * 1000),
    "nanoseconds": lambda t: str(ms(t) * 1_000_000),
    "iso": lambda t: t.isoformat(),
    "zulu": lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "plain": lambda t: t.strftime("%Y-%m-%d %H:%M:%S"),
    "new york": lambda t: t.astimezone(ZoneInfo(NEW_YORK)).isoformat(" "),
    "kolkata": lambda t: t.astimezone(ZoneInfo("Asia/Kolkata")).strftime("%Y-%m-%d %H:%M:%S%z"),
    "half day": lambda t: t.strftime("%Y-%m-%d %I:%M:%S %p"),
    "compact": lambda t: t.strftime("%Y%m%d%H%M%S"),
}
INSTANTS = st.integers(315_532_800, 2_145_916_800).map(lambda s: dt.datetime.fromtimestamp(s, UTC))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(INSTANTS, st.sampled_from(sorted(FORMS))), min_size=1, max_size=12))
def test_any_instant_in_any_mixture_of_writings(values: list[tuple[dt.datetime, str]]) -> None:
    """T1: what was written is what is read, whatever stands beside it in the column (1980 to 2037)."""
    assert parsed(*(FORMS[form](moment) for moment, form in values)) == [ms(moment) for moment, _ in values]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2037, 12, 31)), min_size=1, max_size=12),
    st.sampled_from([NEW_YORK, BERLIN, "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_any_local_time_against_zoneinfo(moments: list[dt.datetime], zone: str) -> None:
    """T1: a local time is the instant that zoneinfo gives, or nothing where it gives two."""
    moments = [moment.replace(microsecond=0) for moment in moments]
    both = [[m.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)] for m in moments]
    expected = [ms(early) if early == late else None for early, late in both]
    assert parsed(*(moment.isoformat(" ") for moment in moments), zone=zone) == expected


@pytest.mark.parametrize(
    ("text", "session"),
    [
        ("2024-01-01T23:00:00Z", 2),
        ("2024-01-02T00:00:00+01:00", 2),
        ("2024-01-02 00:00:00", 2),
        ("2024-01-02", 2),
        ("2024-01-02 09:00:00+01:00", 2),
        ("2024-01-02T00:00:00Z", 2),
        ("2024-01-02 17:30:00", 2),
        (1704150000, 2),
        (1704153600, 2),
    ],
)
def test_daily_bars_of_an_exchange_are_stamped_with_its_date(text: object, session: int) -> None:
    """T2: Berlin's midnight is 23:00 UTC of the day before; the session is the local date, whatever the writing."""
    columns = map_columns("file", ["timestamp", "open", "high", "low", "close", "volume"], [])
    rows = pl.DataFrame({"timestamp": [text], "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0})
    rows = rows.with_columns(pl.lit(1, pl.Int64).alias(LINE), pl.lit(False).alias(RAGGED))
    found = read_rows(rows, columns, "1d", Clock("UTC", BERLIN), price_unit=1.0)
    assert found["timestamp"].to_list() == [ms(dt.datetime(2024, 1, session, tzinfo=UTC))]


def test_one_bar_stamped_within_the_day_does_not_move_the_others() -> None:
    """T2: the last bar of a live file carries the moment of its quote; moving all dates back would leak a day."""
    columns = map_columns("file", ["timestamp", "open", "high", "low", "close", "volume"], [])
    days = [ms(dt.datetime(2024, 1, day, tzinfo=UTC)) for day in (2, 3, 4)]
    rows = pl.DataFrame({"timestamp": [*days[:2], days[2] + 21 * 3_600_000]}).with_columns(
        *(pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close", "volume")),
        pl.int_range(1, 4, dtype=pl.Int64).alias(LINE),
        pl.lit(False).alias(RAGGED),
    )
    found = read_rows(rows, columns, "1d", Clock("UTC", NEW_YORK), price_unit=1.0)
    assert found["timestamp"].to_list() == days
