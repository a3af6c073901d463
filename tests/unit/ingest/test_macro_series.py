"""Series that are not bars: available_at = end of the reference period + lag (SEMANTICS T6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ingest_world import rejects, write_lines

from tftctl.core.errors import DataError, UsageError
from tftctl.core.times import iso, parse_iso
from tftctl.core.workspace import Workspace
from tftctl.ingest.macro import list_macro
from tftctl.ingest.report import ImportReport
from tftctl.start.data_jobs import macro_job
from tftctl.store import Store

MONTHLY = {"frequency": "1mo", "stamp": "start", "release_lag": "28d"}


def run_macro(
    workspace: Workspace, path: Path, name: str | None = None, given: dict[str, Any] | None = None, **more: Any
) -> ImportReport:
    """`tftctl macro import`; the rows add up."""
    found = macro_job(workspace, path, name, MONTHLY if given is None else given, **more)
    (file,) = found.files
    assert file.rows_read == file.rows_accepted + file.rows_rejected + file.duplicates
    return found


def series(workspace: Workspace, name: str, frequency: str) -> pl.DataFrame:
    """The stored values."""
    with Store(workspace.store).read() as snapshot:
        return snapshot.scan("macro", frequency, symbols=[name]).collect().sort("timestamp")


def monthly(path: Path, *values: str) -> Path:
    """A file of months."""
    return write_lines(path, [f"2024-{i:02}-01,{value}" for i, value in enumerate(values, 1)], "date,value")


@pytest.mark.parametrize(
    ("frequency", "stamp", "lag", "dates", "due"),
    [
        ("1mo", "start", "28d", ["2024-01-01", "2024-02-01", "2024-03-01"], ["2024-02-29", "2024-03-29", "2024-04-29"]),
        ("1mo", "end", "12h", ["2024-01-31", "2024-02-29", "2024-03-31"],
         ["2024-02-01T12", "2024-03-01T12", "2024-04-01T12"]),
        ("1q", "start", "30d", ["2023-01-01", "2023-04-01", "2023-07-01"], ["2023-05-01", "2023-07-31", "2023-10-31"]),
        ("1y", "start", "0d", ["2022-01-01", "2023-01-01", "2024-01-01"], ["2023-01-01", "2024-01-01", "2025-01-01"]),
        ("1w", "end", "1d", ["2024-01-03", "2024-01-10", "2024-01-17"], ["2024-01-05", "2024-01-12", "2024-01-19"]),
        ("1w", "start", "0h", ["2024-01-01", "2024-01-08", "2024-01-15"], ["2024-01-08", "2024-01-15", "2024-01-22"]),
        ("1d", "start", "16h", ["2024-01-05", "2024-01-06", "2024-01-07"],
         ["2024-01-06T16", "2024-01-07T16", "2024-01-08T16"]),
        ("1d", "end", "0d", ["2024-01-05", "2024-01-06", "2024-01-07"], ["2024-01-06", "2024-01-07", "2024-01-08"]),
        ("1bd", "start", "1d", ["2024-01-04", "2024-01-05", "2024-01-08"], ["2024-01-06", "2024-01-07", "2024-01-10"]),
        ("1bd", "end", "16h", ["2024-01-04", "2024-01-05", "2024-01-08"],
         ["2024-01-05T16", "2024-01-06T16", "2024-01-09T16"]),
        ("1h", "start", "1h", ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"],
         ["2024-01-01T02", "2024-01-01T03", "2024-01-01T04"]),
    ],
)  # fmt: skip
def test_available_at_by_hand(
    workspace: Workspace, tmp_path: Path, frequency: str, stamp: str, lag: str, dates: list[str], due: list[str]
) -> None:
    """T6, counted on a calendar on the wall; 2024 is a leap year."""
    path = write_lines(tmp_path / "m2.csv", [f"{date},{i}" for i, date in enumerate(dates)], "date,value")
    run_macro(workspace, path, given={"frequency": frequency, "stamp": stamp, "release_lag": lag})
    rows = series(workspace, "m2", frequency)
    assert rows["available_at"].to_list() == [parse_iso(text if "T" in text else text + "T00") for text in due]
    assert rows["value"].to_list() == [0, 1, 2]


def test_blanks_are_dropped_not_filled(workspace: Workspace, tmp_path: Path) -> None:
    """T6: counted, with their lines; a lone dot is FRED's blank."""
    found = run_macro(workspace, monthly(tmp_path / "m2.csv", "1", "", "3", ".", "nan", "inf", *"789", "x", "11", "12"))
    assert rejects(found) == [
        (3, "blank value"),
        (5, "blank value"),
        (6, "blank value"),
        (7, "an infinite number"),
        (11, "unreadable number"),
    ]
    assert series(workspace, "m2", "1mo")["value"].to_list() == [1, 3, 7, 8, 9, 11, 12]


def test_duplicates_and_two_values_for_one_time(workspace: Workspace, tmp_path: Path) -> None:
    lines = ["2024-01-01,1", "2024-02-01,2", "2024-02-01,2.0", "2024-03-01,3", "2024-03-01,4", "2024-04-01,5"]
    found = run_macro(workspace, write_lines(tmp_path / "m2.csv", lines, "date,value"))
    assert (found.rows_accepted, found.duplicates, found.rows_rejected) == (3, 1, 2)
    assert {reason for _, reason in rejects(found)} == {"two different values for one time"}
    again = run_macro(workspace, tmp_path / "m2.csv")
    assert (again.rows_accepted, again.duplicates, again.snapshot) == (0, 4, found.snapshot)


def test_corrections_conflicts_and_new_values(workspace: Workspace, tmp_path: Path) -> None:
    """T7 holds for series, too."""
    run_macro(workspace, monthly(tmp_path / "a" / "m2.csv", "1", "2", "3"))
    found = run_macro(workspace, monthly(tmp_path / "b" / "m2.csv", "1", "9", "33", "4"))
    assert (found.rows_accepted, found.duplicates, found.files[0].corrections) == (2, 1, 1)
    assert rejects(found) == [(3, "differs from the stored bar")]
    assert series(workspace, "m2", "1mo")["value"].to_list() == [1, 2, 33, 4]
    stale = run_macro(workspace, tmp_path / "a" / "m2.csv")
    assert rejects(stale) == [(4, "differs from the stored bar")]
    replaced = run_macro(workspace, tmp_path / "b" / "m2.csv", prefer="new")
    assert replaced.files[0].replaced == 1
    assert series(workspace, "m2", "1mo")["value"].to_list() == [1, 9, 33, 4]


def test_a_series_on_another_base_is_not_continued(workspace: Workspace, tmp_path: Path) -> None:
    """T7: an index of 2017 = 100 does not go on as one of 2020 = 100."""

    def years(path: Path, factor: float, count: int) -> Path:
        lines = [f"{1990 + i // 12}-{i % 12 + 1:02}-01,{(100 + i) * factor}" for i in range(count)]
        return write_lines(path, lines, "date,value")

    run_macro(workspace, years(tmp_path / "a" / "cpi.csv", 1, 30))
    again = years(tmp_path / "b" / "cpi.csv", 0.5, 32)
    with pytest.raises(DataError, match="29 of the 29 times that it shares with cpi differ") as caught:
        run_macro(workspace, again)
    assert "--prefer new" in caught.value.hint
    run_macro(workspace, again, prefer="new")
    assert series(workspace, "cpi", "1mo")["value"].to_list() == [(100 + i) * 0.5 for i in range(32)]


@pytest.mark.parametrize("frequency", ["1d", "1w", "1q", "1bd"])
def test_a_wrong_frequency_is_refused(workspace: Workspace, tmp_path: Path, frequency: str) -> None:
    path = monthly(tmp_path / "m2.csv", *"123456")
    with pytest.raises(DataError, match=f"31 days apart, not {frequency}"):
        run_macro(workspace, path, given=MONTHLY | {"frequency": frequency})
    assert not workspace.reports.exists()


def test_another_declaration_needs_prefer_new(workspace: Workspace, tmp_path: Path) -> None:
    """A series is declared once; a new declaration replaces it as a whole."""
    path = monthly(tmp_path / "m2.csv", *"1234")
    run_macro(workspace, path)
    later = MONTHLY | {"release_lag": "40d"}
    with pytest.raises(DataError, match=r"lag 28d, this import says .* lag 40d"):
        run_macro(workspace, path, given=later)
    run_macro(workspace, path, given=later, prefer="new")
    assert iso(series(workspace, "m2", "1mo")["available_at"][0]) == "2024-03-12T00:00:00Z"
    yearly = write_lines(tmp_path / "y" / "m2.csv", ["2022-01-01,1", "2023-01-01,2"], "date,value")
    run_macro(workspace, yearly, given=MONTHLY | {"frequency": "1y"}, prefer="new")
    with Store(workspace.store).read() as snapshot:
        assert snapshot.rows("macro") == 2


def test_the_configuration_may_declare_a_series(workspace: Workspace, tmp_path: Path) -> None:
    """T6: `macro:` in features.yaml; the command line comes on top."""
    (workspace.configs / "features.yaml").write_text(
        "macro: {m2: {frequency: 1mo, stamp: start, release_lag: 28d, revised: true}}\n"
    )
    path = monthly(tmp_path / "M2.csv", *"123")
    run_macro(workspace, path, given={})
    with Store(workspace.store).read() as snapshot:
        (row,) = list_macro(snapshot)
    assert row == {
        "series": "m2",
        "frequency": "1mo",
        "stamp": "start",
        "release_lag": "28d",
        "revised": True,
        "rows": 3,
        "first": "2024-01-01T00:00:00Z",
        "last": "2024-03-01T00:00:00Z",
        "available_at": "2024-04-29T00:00:00Z",
        "value": 3.0,
    }


def test_nothing_to_list(workspace: Workspace) -> None:
    with Store(workspace.store).read() as snapshot:
        assert list_macro(snapshot) == []


def test_everything_that_is_not_declared_is_said_at_once(workspace: Workspace, tmp_path: Path) -> None:
    """STYLE 13."""
    with pytest.raises(UsageError, match="frequency, stamp, release_lag are not declared") as caught:
        run_macro(workspace, monthly(tmp_path / "m2.csv", "1"), given={})
    assert "--frequency 1mo --stamp start|end --lag 28d" in caught.value.hint


@pytest.mark.parametrize("absent", ["frequency", "stamp", "release_lag"])
def test_a_declaration_that_lacks_something_is_a_usage_error(workspace: Workspace, tmp_path: Path, absent: str) -> None:
    given = {key: value for key, value in MONTHLY.items() if key != absent}
    with pytest.raises(UsageError, match=f"{absent} is not declared"):
        run_macro(workspace, monthly(tmp_path / "m2.csv", "1"), given=given)


@pytest.mark.parametrize("wrong", [{"frequency": "monthly"}, {"release_lag": "soon"}, {"stamp": "middle"}])
def test_a_declaration_that_is_none(workspace: Workspace, tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong.values()))) as caught:
        run_macro(workspace, monthly(tmp_path / "m2.csv", "1"), given=MONTHLY | wrong)
    assert "pattern" not in caught.value.message


def test_a_first_of_the_month_that_is_called_an_end_is_remarked(workspace: Workspace, tmp_path: Path) -> None:
    """T6: January's value would count as known on 2 January."""
    path = monthly(tmp_path / "m2.csv", *"123456")
    (file,) = run_macro(workspace, path, given=MONTHLY | {"stamp": "end"}).files
    assert any("looks into the future: --stamp start" in note for note in file.warnings)
    (file,) = run_macro(workspace, path, name="other").files
    assert file.warnings == []


def test_values_with_decimal_commas(workspace: Workspace, tmp_path: Path) -> None:
    lines = ["2024-01-01;1,5", "2024-02-01;1.234,25", "2024-03-01;."]
    found = run_macro(workspace, write_lines(tmp_path / "m2.csv", lines, "date;value"))
    assert rejects(found) == [(4, "blank value")]
    assert series(workspace, "m2", "1mo")["value"].to_list() == [1.5, 1234.25]


def test_which_column_holds_the_value(workspace: Workspace, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "two.csv", ["2024-01-01,1,2"], "date,one,two")
    with pytest.raises(DataError, match="which column holds the value"):
        run_macro(workspace, path)
    with pytest.raises(DataError, match="no column 'three'"):
        run_macro(workspace, path, column="three")
    run_macro(workspace, path, column="Two")
    assert series(workspace, "two", "1mo")["value"].to_list() == [2]
    with pytest.raises(DataError, match="no time column"):
        run_macro(workspace, write_lines(tmp_path / "x.csv", ["1,2"], "a,b"))
    with pytest.raises(DataError, match="no usable value"):
        run_macro(workspace, monthly(tmp_path / "none.csv", "", ""))
    with pytest.raises(DataError, match="cannot name a series"):
        run_macro(workspace, path, name="Money Supply", column="two")


FILES = {
    "fred_M2SL.csv": ("1mo", 551, 0, None),
    "fred_FEDFUNDS.csv": ("1mo", 551, 0, None),
    "fred_WALCL.csv": ("1w", 1202, 0, None),
    "fred_DGS10.csv": ("1bd", 12001, 502, None),
    "fred_DTWEXBGS.csv": ("1bd", 5215, 205, None),
    "fred_VIXCLS.csv": ("1bd", 9391, 300, None),
    "vix_daily_ohlc.csv": ("1bd", 9235, 0, "close"),
    "us10y_monthly.csv": ("1mo", 879, 0, None),
    "fear_greed.csv": ("1d", 2931, 0, None),
    "dxy.csv": ("1bd", 3380, 584, None),
    "btc_etf_flows.csv": ("1bd", 323, 0, None),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_real_series(shared_data: Path, workspace: Workspace, name: str) -> None:
    """Rows and blanks are the README's."""
    frequency, rows, blank, column = FILES[name]
    given = {"frequency": frequency, "stamp": "start" if frequency == "1mo" else "end", "release_lag": "1d"}
    found = run_macro(workspace, shared_data / "macro" / name, given=given, column=column)
    (file,) = found.files
    assert (file.rows_read, file.rows_accepted, file.reasons) == (
        rows,
        rows - blank,
        {"blank value": blank} if blank else {},
    )


def test_weekdays_only_under_1d_is_remarked(shared_data: Path, workspace: Workspace) -> None:
    given = {"frequency": "1d", "stamp": "end", "release_lag": "1d"}
    found = run_macro(workspace, shared_data / "macro" / "fred_DGS10.csv", given=given)
    assert "--frequency 1bd fits" in found.files[0].warnings[0]
