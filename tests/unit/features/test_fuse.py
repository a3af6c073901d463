"""Fusion of periods and macro series: each row sees what was available then (SEMANTICS F4, T6)."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from feature_bars import (
    DAY,
    HOUR,
    START,
    bars_at,
    features_config,
    numbers,
    prepared,
    real_bars,
    row_of_bars,
    table,
    write_bars,
)

from tftctl.core.calendars import Calendar, open_calendar
from tftctl.core.periods import period_ms
from tftctl.core.times import parse_iso
from tftctl.features.build import build
from tftctl.features.fuse import Context, MacroSeries, fuse_context, fuse_macro
from tftctl.plugins import load_registry
from tftctl.store import Store


def naive_context(rows: pl.DataFrame, slow: pl.DataFrame, q: str, max_stale: int) -> list[tuple]:
    """Per row: the value it sees, and the age in hours (F4), on a 24x7 calendar."""
    real = [bar for bar in slow.iter_rows(named=True) if not bar["is_filled"]]
    length = period_ms(q)
    found = []
    for now in rows["available_at"]:
        seen = [bar for bar in real if bar["available_at"] <= now]
        if not seen:
            found.append((None, None))
            continue
        last = max(seen, key=lambda bar: (bar["available_at"], bar["timestamp"]))
        due = sum(1 for k in range(1, 100) if last["timestamp"] + k * length + length <= now)
        found.append((None if due > max_stale else last["x"], (now - last["available_at"]) / HOUR))
    return found


def context(slow: pl.DataFrame, q: str, calendar: Calendar | None = None) -> Context:
    """One column `x` of slower bars."""
    return Context(q, slow, ("x",), calendar or open_calendar("24x7"))


def numbered(bars: pl.DataFrame, calendar: Calendar | None = None) -> pl.DataFrame:
    """Prepared bars with x = number of the row, so that every bar is told from every other."""
    rows = prepared(bars, calendar)
    return rows.with_columns(x=pl.int_range(rows.height).cast(pl.Float64))


@pytest.mark.parametrize(("p", "q", "size"), [("1h", "4h", 240), ("1h", "1d", 300), ("4h", "1d", 70)])
@pytest.mark.parametrize("max_stale", [0, 1, 2])
def test_context_against_a_loop(p: str, q: str, size: int, max_stale: int) -> None:
    """F4: short and long holes on both sides, filled bars never context, stale values null, ages kept."""
    rows = prepared(row_of_bars(size, p, missing=[5, 6, 40, 41, 42, 43, 44]))
    slow = numbered(row_of_bars(size, q, missing=[0, 3, 5, 6, 7, 8, 9, 10]))
    fused = fuse_context(rows, context(slow, q), max_stale)
    found = list(zip(fused[f"x__{q}"], fused[f"age__{q}"], strict=True))
    expected = naive_context(rows, slow, q, max_stale)
    assert found == expected
    assert {value for value, _ in expected if value is not None} & set(slow.filter("is_filled")["x"]) == set()
    assert any(value is None and age is not None for value, age in expected)


def test_faster_context_is_the_last_bar_due(shared_data: Path) -> None:
    """F4: q need not be slower than p: a day sees the last hour of it."""
    rows = prepared(real_bars(shared_data, "BTCUSDT", "1d", "2018-02-01", "2018-02-20"))
    hours = numbered(real_bars(shared_data, "BTCUSDT", "1h", "2018-02-01", "2018-02-20"))
    fused = fuse_context(rows, context(hours, "1h"), 1)
    assert list(zip(fused["x__1h"], fused["age__1h"], strict=True)) == naive_context(rows, hours, "1h", 1)


def test_a_bar_that_is_complete_at_the_same_instant_is_seen() -> None:
    """F4: `available_at <= T`: the last hour of a day sees that day, the hour before it the day before."""
    rows = prepared(row_of_bars(48, "1h"))
    days = numbered(row_of_bars(2, "1d"))
    fused = fuse_context(rows, context(days, "1d"), 1)
    assert fused["x__1d"].to_list() == [None] * 23 + [0.0] * 24 + [1.0]
    assert fused["age__1d"].to_list() == [None] * 23 + [float(k) for k in range(24)] + [0.0]


def test_of_bars_complete_at_the_same_instant_the_latest_counts() -> None:
    """F4: whatever their order in the table."""
    rows = prepared(row_of_bars(8, "1h"))
    slow = numbered(row_of_bars(3, "4h")).with_columns(available_at=pl.lit(START + 4 * HOUR))
    for order in ([0, 1, 2], [2, 0, 1]):
        fused = fuse_context(rows, context(slow[order], "4h"), 5)
        assert fused["x__4h"].to_list() == [None] * 3 + [2.0] * 5


def test_a_filled_bar_is_never_context() -> None:
    """T3, F4: whatever instant it carries."""
    rows = prepared(row_of_bars(12, "1h"))
    slow = numbered(row_of_bars(3, "4h")).with_columns(is_filled=pl.Series([False, True, False]))
    fused = fuse_context(rows, context(slow, "4h"), 1)
    assert fused["x__4h"].to_list() == [None] * 3 + [0.0] * 8 + [2.0]


def test_the_order_of_rows_does_not_matter() -> None:
    """F4: a row's context is a function of the row."""
    rows = prepared(row_of_bars(60, "1h"))
    slow = numbered(row_of_bars(15, "4h", missing=[4]))
    fused = fuse_context(rows, context(slow, "4h"), 1)
    mixed = np.random.default_rng(0).permutation(60)
    assert fuse_context(rows[mixed], context(slow, "4h"), 1).equals(fused[mixed])


def test_a_weekend_makes_no_context_stale() -> None:
    """F4: bars that have become due by the calendar, not hours: Monday's hours see Friday."""
    calendar = open_calendar("XNYS")
    span = (parse_iso("2018-06-25"), parse_iso("2018-07-12"))
    hours, days = (calendar.slots(period, *span).open_ms for period in ("1h", "1d"))
    rows = prepared(bars_at(hours, "1h", calendar="XNYS"), calendar)
    every_day = numbered(bars_at(days, "1d", calendar="XNYS"), calendar)
    fused = fuse_context(rows, context(every_day, "1d", calendar), 0)
    monday = fused.filter(pl.col("timestamp") == parse_iso("2018-07-02T13:00"))
    assert monday.select("x__1d", "age__1d").row(0) == (4.0, 66.0)  # Friday 20:00 UTC to Monday 14:00 UTC
    last = fused.filter(pl.col("available_at") == parse_iso("2018-07-03T17:00"))
    assert last.select("x__1d", "age__1d").row(0) == (6.0, 0.0)  # the half day itself, at its close
    holiday = fused.filter(pl.col("timestamp") == parse_iso("2018-07-05T13:00"))
    assert holiday["x__1d"].to_list() == [6.0]


def test_a_missing_session_makes_context_stale() -> None:
    """F4: null once more than `max_stale` expected bars have become due since."""
    calendar = open_calendar("XNYS")
    days = calendar.slots("1d", parse_iso("2018-06-25"), parse_iso("2018-07-12")).open_ms
    rows = prepared(bars_at(days, "1d", calendar="XNYS"), calendar)
    only_first = numbered(bars_at(days[:2], "1d", calendar="XNYS"), calendar)
    fused = fuse_context(rows, context(only_first, "1d", calendar), 1)
    assert fused["x__1d"].to_list()[:5] == [0.0, 1.0, 1.0, None, None]
    assert fused["age__1d"].null_count() == 0


def macro(*rows: tuple[int, int, float], frequency: str = "1d") -> MacroSeries:
    """A series from (timestamp, available_at, value)."""
    columns = ["timestamp", "available_at", "value"]
    return MacroSeries("m2", pl.DataFrame(rows, schema=columns, orient="row").sort("available_at"), frequency)


def test_macro_against_a_loop() -> None:
    """F4: by available_at, the latest reference period at equal ones; null after two releases that did not come."""
    rng = np.random.default_rng(1)
    stamps = np.arange(40)[rng.random(40) < 0.6]
    releases = [
        (START + DAY * int(k), START + DAY * int(k + 2) + HOUR * int(rng.integers(9)), float(k)) for k in stamps
    ]
    releases += [(START + DAY * 50, START + DAY * 53, 50.0), (START + DAY * 51, START + DAY * 53, 51.0)]
    rows = prepared(row_of_bars(60 * 6, "4h"))
    fused = fuse_macro(rows, macro(*releases), 1)
    expected = []
    for now in rows["available_at"]:
        out = [release for release in releases if release[1] <= now]
        if not out:
            expected.append((None, None))
            continue
        _, last, value = max(out, key=lambda release: (release[1], release[0]))
        expected.append((value if now < last + 2 * DAY else None, (now - last) / HOUR))
    assert list(zip(fused["m2"], fused["age__m2"], strict=True)) == expected
    assert {50.0} & {value for value, _ in expected} == set()
    assert {None, 51.0} <= {value for value, _ in expected}


def test_months_of_a_macro_series_are_months() -> None:
    """F4: stale after two months of the calendar, not after 60 days."""
    rows = prepared(row_of_bars(120, "1d"))
    release = parse_iso("2021-03-28")
    fused = fuse_macro(rows, macro((parse_iso("2021-02-01"), release, 7.0), frequency="1mo"), 1)
    shown = fused.filter(pl.col("m2").is_not_null())["available_at"]
    assert (shown.min(), shown.max()) == (release, parse_iso("2021-05-27"))


ASOF = """
select h.symbol, h.timestamp,
    case when (h.available_at - d.available_at) // {length} <= 1 then d.{column} end as value,
    (h.available_at - d.available_at) / 3600000.0 as age
from fast h asof left join (select * from slow where not is_filled) d
    on h.symbol = d.symbol and h.available_at >= d.available_at
order by all
"""


@pytest.fixture(scope="module")
def built(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """BTC and ETH over the outages of early 2018, built as the command does."""
    store = Store(tmp_path_factory.mktemp("fused") / "store")
    groups = [
        real_bars(shared_data, symbol, period, "2018-01-05", "2018-05-01")
        for symbol in ("BTCUSDT", "ETHUSDT")
        for period in ("1h", "4h", "1d")
    ]
    write_bars(store, *groups)
    config = features_config(
        indicators=["rsi", "log_return", "obv"], context_features=["rsi", "log_return", "close", "close_zscore"],
        normalise={"zscore": {"window": {"1h": 50, "4h": 20, "1d": 10}, "columns": ["close"]}},
    )  # fmt: skip
    build(store, config, load_registry())
    return store


@pytest.mark.parametrize(("p", "q"), [("1h", "4h"), ("1h", "1d"), ("4h", "1d")])
@pytest.mark.parametrize("column", ["rsi", "log_return", "close", "close_zscore"])
def test_real_bars_against_duckdb(built: Store, p: str, q: str, column: str) -> None:
    """F4: the fused table equals an ASOF join of the features tables, bit for bit."""
    fast, slow = table(built, "features", p), table(built, "features", q)
    assert fast.height
    assert slow.height
    expected = duckdb.sql(ASOF.format(length=period_ms(q), column=column)).pl()
    fused = table(built, "fused", p).sort("symbol", "timestamp")
    assert fused["timestamp"].to_list() == expected["timestamp"].to_list()
    np.testing.assert_array_equal(numbers(fused[f"{column}__{q}"]), numbers(expected["value"]))
    np.testing.assert_array_equal(fused[f"age__{q}"], expected["age"].cast(pl.Float32))


def test_a_fused_row_has_its_own_bar_and_features(built: Store) -> None:
    """F4: OHLCV included, the rows of the features table and no other."""
    for period in ("1h", "4h", "1d"):
        own = table(built, "features", period).drop("bar_hash")
        assert table(built, "fused", period).select(own.columns).equals(own)


def test_the_fused_schema_is_the_same_for_all_periods(built: Store) -> None:
    """F4: a column that does not apply is null."""
    hours, weeks = table(built, "fused", "1h"), table(built, "fused", "1d")
    assert hours.schema == weeks.schema
    assert weeks["rsi__4h"].null_count() == weeks["age__1d"].null_count() == weeks.height
    assert table(built, "fused", "4h")["rsi__4h"].null_count() == table(built, "fused", "4h").height


def test_targets_are_never_fused(built: Store) -> None:
    """F5, S2: no label is copied between periods or stands beside the inputs."""
    assert not [name for name in table(built, "fused", "1h").columns if "target" in name or "label" in name]


def test_a_series_of_business_days_lasts_over_the_weekend() -> None:
    """F4, T6: Friday's value is stale once Tuesday's should have come out, not on Sunday."""
    rows = prepared(row_of_bars(120, "4h"))
    friday, release = parse_iso("2021-03-05"), parse_iso("2021-03-06T16:00")
    fused = fuse_macro(rows, macro((friday, release, 7.0), frequency="1bd"), 1)
    shown = fused.filter(pl.col("m2").is_not_null())["available_at"]
    assert (shown.min(), shown.max()) == (release, parse_iso("2021-03-10T12:00"))
