"""What cannot be a bar is refused by line and reason; the rest of the file is kept (SEMANTICS T1, T2)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_world import DAY, HOUR, START, bar_line, bar_lines, rejects, run_import, stored, write_lines

from tftctl.core.errors import DataError, UsageError
from tftctl.core.times import iso, parse_iso
from tftctl.core.workspace import Workspace
from tftctl.ingest.bars import REASON, settle_duplicates
from tftctl.ingest.reading import LINE

NEW_YORK = ZoneInfo("America/New_York")


def dates(*texts: str) -> list[str]:
    """Daily bars of these days."""
    return [bar_line(text, 100 + i) for i, text in enumerate(texts)]


def test_every_reason_with_its_line(workspace: Workspace, tmp_path: Path) -> None:
    """One row of each kind: refused with its line; everything else comes in."""
    lines = bar_lines(24)

    def spoil(row: int, text: str) -> tuple[int, str]:
        lines[row] = f"{START + row * HOUR},{text}"
        return row + 2, text

    spoil(1, "10,9,11,10,1")
    spoil(2, "-10,11,9,10,1")
    spoil(3, "10,11,0,10,1")
    spoil(4, "10,nan,9,10,1")
    spoil(5, "10,11,9,,1")
    spoil(6, "10,11,9,ten,1")
    spoil(7, "10,inf,9,10,1")
    spoil(8, "10,11,9,12,1")
    spoil(9, "10,11,9,10,-1")
    lines[10] = bar_line("yesterday")
    lines[11] = bar_line(START + 11 * HOUR + 60_000)
    lines[12] += ",1,1"
    lines[13] = lines[14]
    lines.append(bar_line(START + 16 * HOUR, 55))
    expected = [
        (3, "high below low"),
        (4, "a price that is not above zero"),
        (5, "a price that is not above zero"),
        (6, "a blank or NaN inside the row"),
        (7, "a blank or NaN inside the row"),
        (8, "unreadable number"),
        (9, "an infinite number"),
        (10, "open or close outside low and high"),
        (11, "negative volume"),
        (12, "unreadable time"),
        (13, "no 1h bar of 24x7 opens then"),
        (14, "wrong number of fields"),
        (18, "two different bars for one time"),
        (26, "two different bars for one time"),
    ]
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))
    assert rejects(found) == expected
    assert (found.rows_accepted, found.duplicates, found.rows_rejected) == (10, 1, 14)
    hours = [0, 14, 15, *range(17, 24)]
    assert stored(workspace, "BTCUSDT")["timestamp"].to_list() == [START + hour * HOUR for hour in hours]


def test_rejects_name_file_symbol_period_and_time(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(3)
    lines[1] = f"{START + HOUR},1,2,3,1,1"
    path = write_lines(tmp_path / "BTCUSDT_1h.csv", lines)
    found = run_import(workspace, path)
    (row,) = pl.read_csv(Path(found.folder) / "rejects.csv").rows(named=True)
    assert row == {
        "file": str(path),
        "line": 3,
        "symbol": "BTCUSDT",
        "period": "1h",
        "timestamp": "2024-01-01T01:00:00Z",
        "reason": "high below low",
    }
    assert (Path(found.folder) / "report.json").exists()


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_any_order_is_sorted_and_line_numbers_stay(workspace: Workspace, tmp_path: Path, order: str) -> None:
    lines = bar_lines(10)
    lines[4] = f"{START + 4 * HOUR},1,2,3,1,1"
    if order == "descending":
        lines.reverse()
    if order == "shuffled":
        lines = lines[::3] + lines[1::3] + lines[2::3]
    line = next(i for i, text in enumerate(lines, 2) if ",1,2,3," in text)
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))
    assert rejects(found) == [(line, "high below low")]
    rows = stored(workspace, "BTCUSDT")
    assert rows["timestamp"].is_sorted()
    assert rows["open"].to_list() == [100.0 + i for i in range(10) if i != 4]


def test_exact_duplicates_go_and_are_counted(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(4)
    twice = [*lines, lines[2], lines[2].replace(",102.0,", ",102.00,"), lines[0]]
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", twice))
    assert (found.rows_accepted, found.duplicates, found.rows_rejected) == (4, 3, 0)


def test_strict_refuses_the_whole_file(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(4)
    good = write_lines(tmp_path / "ETHUSDT_1h.csv", lines)
    bad = write_lines(tmp_path / "BTCUSDT_1h.csv", [*lines, "x,1,2,1,1,1"])
    with pytest.raises(DataError, match="--strict takes all or nothing"):
        run_import(workspace, bad, strict=True)
    found = run_import(workspace, bad, good, strict=True)
    assert [(f.rows_accepted, f.rows_rejected) for f in found.files] == [(0, 5), (4, 0)]
    assert found.files[0].reasons == {"unreadable time": 1, "whole file refused": 4}


def test_available_at_is_stored_with_the_bar(workspace: Workspace, tmp_path: Path) -> None:
    """T1, T2: 24x7 bars are complete one period after they open."""
    run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", bar_lines(3)))
    rows = stored(workspace, "BTCUSDT")
    assert (rows["available_at"] - rows["timestamp"]).unique().to_list() == [HOUR]
    assert (rows["ingested_at"] > rows["available_at"]).all()


def test_a_configured_delay_is_added(workspace: Workspace, tmp_path: Path) -> None:
    """T2: bar_delay moves available_at."""
    (workspace.configs / "features.yaml").write_text("bar_delay: {'BTC*': 2m}\n")
    run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", bar_lines(3)))
    rows = stored(workspace, "BTCUSDT")
    assert (rows["available_at"] - rows["timestamp"]).unique().to_list() == [HOUR + 120_000]


@pytest.mark.parametrize(("minutes", "kept"), [(0, 2), (59, 2), (60, 3), (180, 5)])
def test_bars_that_were_unfinished_when_fetched_are_not_stored(
    workspace: Workspace, tmp_path: Path, minutes: int, kept: int
) -> None:
    """T1: a bar is stored when available_at <= the moment of fetching."""
    path = write_lines(tmp_path / "BTCUSDT_1h.csv", bar_lines(6))
    found = run_import(workspace, path, as_of=START + 2 * HOUR + minutes * 60_000)
    assert found.rows_accepted == kept
    assert found.files[0].reasons == {"unfinished when fetched": 6 - kept}


def test_bars_of_the_future_are_unfinished(workspace: Workspace, tmp_path: Path) -> None:
    lines = [*bar_lines(3), bar_line("2099-01-01T00:00:00Z")]
    assert run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines)).files[0].reasons == {
        "unfinished when fetched": 1
    }


@pytest.mark.parametrize(("step", "named"), [(4 * HOUR, "4h"), (DAY, "1d"), (60_000, "1m"), (HOUR // 2, "30m")])
def test_another_period_refuses_the_file(workspace: Workspace, tmp_path: Path, step: int, named: str) -> None:
    with pytest.raises(DataError, match=f"its bars are {named} apart, not 1h"):
        run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", bar_lines(40, step=step)))


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize(("step", "named"), [(4 * HOUR, "4h"), (DAY, "1d"), (HOUR // 4, "15m")])
def test_few_bars_of_another_period_are_none_of_this_one(
    workspace: Workspace, tmp_path: Path, count: int, step: int, named: str
) -> None:
    """They would lie on the grid of hours, each with a gap behind it."""
    with pytest.raises(DataError, match=f"its bars are {named} apart, not 1h"):
        run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", bar_lines(count, step=step)))


@pytest.mark.parametrize(
    ("days", "kept"),
    [((0, 7, 14, 21), 0), ((4, 7), 2), ((0, 1, 2, 3, 4, 7), 6), ((0, 3, 4), 3)],
    ids=["weeks", "a weekend", "a week", "holes"],
)
def test_few_days_with_weekends_are_days(
    workspace: Workspace, tmp_path: Path, days: tuple[int, ...], kept: int
) -> None:
    lines = [bar_line(START + day * DAY, 100 + day) for day in days]
    path = write_lines(tmp_path / "AAPL_1d.csv", lines)
    if kept:
        assert run_import(workspace, path).rows_accepted == kept
    else:
        with pytest.raises(DataError, match="7d apart, not 1d") as caught:
            run_import(workspace, path)
        assert "--period 1w" in caught.value.hint


def test_a_thinly_traded_symbol_is_no_other_period(workspace: Workspace, tmp_path: Path) -> None:
    """Most steps are two hours long, and yet these are hours."""
    lines = [line for i, line in enumerate(bar_lines(210)) if i % 7 in (0, 2, 4, 5)]
    assert run_import(workspace, write_lines(tmp_path / "RAREUSDT_1h.csv", lines)).rows_accepted == 120


def test_times_that_a_spreadsheet_rounded_refuse_the_file(workspace: Workspace, tmp_path: Path) -> None:
    lines = [bar_line(f"{START + i * HOUR:.5E}", 100 + i) for i in range(30)]
    with pytest.raises(DataError, match="its 30 rows have 11 different times"):
        run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))


def test_local_times_of_an_exchange_are_not_taken_for_utc(workspace: Workspace, tmp_path: Path) -> None:
    """T1, T2: 14:30 and 15:30 of New York would pass for the first two hours in UTC, five hours early."""
    texts = [f"2024-01-{day:02} {hour:02}:30" for day in (2, 3, 4, 5) for hour in range(9, 16)]
    path = write_lines(tmp_path / "SPY_1h.csv", dates(*texts))
    with pytest.raises(DataError, match=r"read as UTC, 29% .* as times of America/New_York 100%") as caught:
        run_import(workspace, path, calendar="XNYS")
    assert "--timezone America/New_York" in caught.value.hint
    assert run_import(workspace, path, calendar="XNYS", timezone="America/New_York").rows_accepted == 28
    assert run_import(workspace, path, calendar="XNYS", timezone="UTC", symbol="OTHER").rows_accepted == 8


def test_bars_before_1970(workspace: Workspace, tmp_path: Path) -> None:
    """T1: negative instants are instants, with and without an exchange."""
    days = [dt.date(1968, 12, 2) + dt.timedelta(days=i) for i in range(400)]
    path = write_lines(tmp_path / "SPX_1d.csv", dates(*(day.isoformat() for day in days)))
    assert run_import(workspace, path).rows_accepted == 400
    rows = stored(workspace, "SPX", "1d")
    assert iso(rows["timestamp"][0]) == "1968-12-02T00:00:00Z"
    assert (rows["available_at"] - rows["timestamp"]).unique().to_list() == [DAY]
    found = run_import(workspace, path, symbol="GSPC", calendar="XNYS")
    assert found.files[0].reasons == {"no 1d bar of XNYS opens then": 400 - found.rows_accepted}
    assert iso(stored(workspace, "GSPC", "1d")["available_at"][0]) == "1968-12-02T21:00:00Z"


def test_a_zero_time_is_no_bar_of_1970(workspace: Workspace, tmp_path: Path) -> None:
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", [bar_line(0), *bar_lines(5)]))
    assert rejects(found) == [(2, "unreadable time")]


@pytest.mark.parametrize(
    ("first", "step", "said"),
    [(START + 5 * HOUR, DAY, "open 5h after the 1d grid"), (START + DAY - 1, DAY, "at the end of a 1d bar")],
)
def test_what_is_off_the_grid_is_explained(
    workspace: Workspace, tmp_path: Path, first: int, step: int, said: str
) -> None:
    (file,) = run_import(workspace, write_lines(tmp_path / "X_1d.csv", bar_lines(20, first=first, step=step))).files
    assert any(said in note for note in file.warnings)


def test_a_twin_that_lacks_a_column_is_a_duplicate(workspace: Workspace, tmp_path: Path) -> None:
    """What the richer one says is kept; two different counts of trades are two bars."""
    header = "timestamp,open,high,low,close,volume,trades"
    lines = bar_lines(3)
    rows = [f"{lines[0]},NULL", f"{lines[1]},5", f"{lines[0]},4", f"{lines[2]},1", f"{lines[2]},2"]
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", rows, header))
    assert (found.rows_accepted, found.duplicates) == (2, 1)
    assert rejects(found) == [(5, "two different bars for one time"), (6, "two different bars for one time")]
    assert stored(workspace, "BTCUSDT")["trades"].to_list() == [4, 5]


def test_a_fetch_in_the_future_is_a_usage_error(workspace: Workspace, tmp_path: Path) -> None:
    """T1: --as-of cannot let unfinished bars in."""
    with pytest.raises(UsageError, match="--as-of 2099-01-01T00:00:00Z lies in the future"):
        run_import(workspace, write_lines(tmp_path / "B_1h.csv", bar_lines(3)), as_of=parse_iso("2099-01-01"))


def test_a_day_off_the_grid_is_refused_on_24x7(workspace: Workspace, tmp_path: Path) -> None:
    """T2: daily bars open at 00:00 UTC."""
    path = write_lines(tmp_path / "BTCUSDT_1d.csv", bar_lines(20, first=START + 5 * HOUR, step=DAY))
    assert run_import(workspace, path).files[0].reasons == {"no 1d bar of 24x7 opens then": 20}


def test_weeks_open_on_monday(workspace: Workspace, tmp_path: Path) -> None:
    """T2."""
    good = write_lines(tmp_path / "BTCUSDT_1w.csv", bar_lines(12, step=7 * DAY))
    assert run_import(workspace, good, as_of=START + 99 * 7 * DAY).rows_accepted == 12
    sundays = write_lines(tmp_path / "ETHUSDT_1w.csv", bar_lines(12, first=START - DAY, step=7 * DAY))
    assert run_import(workspace, sundays).rows_accepted == 0


def test_daily_bars_of_an_exchange(workspace: Workspace, tmp_path: Path) -> None:
    """T2: stamped 00:00 UTC of the session, complete at the scheduled close; holidays and weekends have none."""
    days = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-04", "2024-07-05", "2024-07-06", "2024-11-29",
            "2024-12-24", "2024-12-25", "2024-12-26"]  # fmt: skip
    found = run_import(workspace, write_lines(tmp_path / "SPY_1d.csv", dates(*days)), calendar="XNYS")
    assert rejects(found) == [(line, "no 1d bar of XNYS opens then") for line in (5, 7, 10)]
    due = {iso(row[0])[:10]: iso(row[1]) for row in stored(workspace, "SPY", "1d").select(
        "timestamp", "available_at").iter_rows()}  # fmt: skip
    assert due["2024-07-02"] == "2024-07-02T20:00:00Z"
    assert due["2024-07-03"] == "2024-07-03T17:00:00Z"
    assert due["2024-11-29"] == "2024-11-29T18:00:00Z"
    assert due["2024-12-24"] == "2024-12-24T18:00:00Z"
    assert due["2024-12-26"] == "2024-12-26T21:00:00Z"


@pytest.mark.parametrize("anchor", ["hour", "open"])
def test_intraday_bars_across_daylight_saving_and_a_half_day(workspace: Workspace, tmp_path: Path, anchor: str) -> None:
    """T2: local labels move in UTC; a bar is complete at min(open + 1 h, close)."""
    first = dt.time(9) if anchor == "hour" else dt.time(9, 30)
    texts, due = [], {}
    for day, close in (("2024-03-08", 16), ("2024-03-11", 16), ("2024-11-01", 16), ("2024-11-04", 16),
                       ("2024-11-29", 13)):  # fmt: skip
        moment = dt.datetime.combine(dt.date.fromisoformat(day), first)
        end = moment.replace(hour=close, minute=0)
        while moment < end:
            texts.append(moment.isoformat(" "))
            stop = min(moment + dt.timedelta(hours=1), end)
            open_ms, due_ms = (round(t.replace(tzinfo=NEW_YORK).timestamp() * 1000) for t in (moment, stop))
            due[open_ms] = due_ms
            moment += dt.timedelta(hours=1)
    path = write_lines(tmp_path / "SPY_1h.csv", dates(*texts))
    found = run_import(workspace, path, calendar="XNYS", timezone="America/New_York")
    assert found.rows_rejected == 0
    rows = stored(workspace, "SPY")
    assert dict(zip(rows["timestamp"], rows["available_at"], strict=True)) == due


def test_hours_outside_the_session_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    texts = [f"2024-07-{day:02} {hour:02}:00" for day in (1, 2, 3) for hour in range(8, 18)]
    found = run_import(
        workspace, write_lines(tmp_path / "SPY_1h.csv", dates(*texts)), calendar="XNYS", timezone="America/New_York"
    )
    refused = {texts[line - 2] for line, _ in rejects(found)}
    assert refused == {
        *(f"2024-07-0{day} {hour}:00" for day in (1, 2) for hour in ("08", "16", "17")),
        *(f"2024-07-03 {hour}:00" for hour in ("08", "13", "14", "15", "16", "17")),
    }


def test_a_repeated_local_hour_is_refused_with_its_reason(workspace: Workspace, tmp_path: Path) -> None:
    """T1: offset-less local time that repeats an hour cannot be decided."""
    texts = [f"2024-10-27 {hour:02}:00" for hour in range(24)]
    texts.insert(3, texts[2])
    path = write_lines(tmp_path / "BTCUSDT_1h.csv", dates(*texts))
    found = run_import(workspace, path, timezone="Europe/Berlin")
    reason = "a local time that the clock change in Europe/Berlin repeats or skips"
    assert rejects(found) == [(4, reason), (5, reason)]
    assert found.rows_accepted == 23


def test_notes_on_what_was_accepted(workspace: Workspace, tmp_path: Path) -> None:
    """Jumps, still stretches and a calendar that hardly fits are told, not judged."""
    lines = bar_lines(30)
    lines[20:] = [bar_line(START + i * HOUR, 900.0) for i in range(20, 30)]
    (file,) = run_import(workspace, write_lines(tmp_path / "AUSDT_1h.csv", lines)).files
    assert file.warnings == [
        "1 price jumps above a factor 2, the first at 2024-01-01T20:00:00Z: a split, or another company?"
    ]
    still = [bar_line(START + i * HOUR, 100, 0 if 2 <= i < 28 else 5) for i in range(40)]
    (file,) = run_import(workspace, write_lines(tmp_path / "BUSDT_1h.csv", still)).files
    assert file.warnings == ["26 bars without volume, up to 26 in a row"]
    weekdays = [START + i * DAY for i in range(150) if (i % 7) < 5]
    path = write_lines(tmp_path / "CUSD_1d.csv", [bar_line(stamp) for stamp in weekdays])
    (file,) = run_import(workspace, path).files
    assert "name its calendar: --calendar XNYS --prefer new" in file.warnings[0]


def test_rounding_at_the_ends_of_the_range_is_no_fault(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{START + i * HOUR},100,{price},90,100.00000001,1" for i, price in enumerate((100.0, 100.0))]
    assert run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines)).rows_accepted == 2


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 2), st.booleans()), min_size=1, max_size=14))
def test_duplicates_against_a_count_by_hand(rows: list[tuple[int, int, bool]]) -> None:
    """Equal bars: one stays. Two different ones for one time: none stays, bad ones contest, too."""
    frame = pl.DataFrame(
        {
            LINE: range(1, len(rows) + 1),
            "timestamp": [stamp for stamp, _, _ in rows],
            **{name: [float(value) for _, value, _ in rows] for name in ("open", "high", "low", "close", "volume")},
            REASON: ["bad" if value == 2 and bad else None for _, value, bad in rows],
        },
        schema_overrides={REASON: pl.String, LINE: pl.Int64},
    )
    settled, dropped = settle_duplicates(frame)
    kept = settled.filter(pl.col(REASON).is_null())
    good: dict[int, set[int]] = {}
    for stamp, value, bad in rows:
        if not (value == 2 and bad):
            good.setdefault(stamp, set()).add(value)
    every = {stamp: {value for other, value, _ in rows if other == stamp} for stamp in good}
    expected = sorted(stamp for stamp, values in good.items() if len(values) == 1 and len(every[stamp]) == 1)
    assert kept["timestamp"].to_list() == expected
    assert kept.height + dropped + settled.filter(pl.col(REASON).is_not_null()).height == len(rows)


def test_as_of_reads_iso_text() -> None:
    assert parse_iso("2024-01-01") == START
    assert parse_iso("2024-01-01T01:00Z") == START + HOUR
