"""Every real file: what comes in and what is refused, against the counts that the data's README gives."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from ingest_world import rejects, run_import, stored

from tftctl.core.errors import DataError
from tftctl.core.periods import period_ms
from tftctl.core.times import iso, parse_iso
from tftctl.core.workspace import Workspace
from tftctl.ingest.factors import import_factors
from tftctl.ingest.listing import list_bars, list_gaps
from tftctl.store import Store

pytestmark = pytest.mark.shared
OUTSIDE = "open or close outside low and high"


def readme_rows(shared: Path, prefix: str) -> list[tuple[str, int, str, str]]:
    """(file, rows, span, defects) of the README's table lines whose file begins with a prefix."""
    cells = [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in (shared / "README.md").open()
        if "|" in line
    ]
    return [(row[0], int(row[2]), row[3], row[4]) for row in cells if row[0].startswith(prefix)]


def defects(text: str) -> tuple[int, int, int]:
    """gaps, missing and zero-volume bars as the README words them."""
    gaps = re.search(r"(\d+) gaps / (\d+) bars missing", text)
    still = re.search(r"(\d+) zero-volume", text)
    return (int(gaps[1]), int(gaps[2])) if gaps else (0, 0), int(still[1]) if still else 0  # type: ignore[return-value]


def test_all_crypto_files_in_one_import(shared_data: Path, workspace: Workspace) -> None:
    """Rows, span, gaps (T3) and still bars of all 19 files are the README's."""
    table = readme_rows(shared_data, "crypto/")
    assert len(table) == 19
    found = run_import(workspace, shared_data / "crypto")
    assert (found.rows_accepted, found.rows_rejected, found.duplicates) == (sum(row[1] for row in table), 0, 0)
    with Store(workspace.store).read() as snapshot:
        listed = {(row["symbol"], row["period"]): row for row in list_bars(snapshot)}
        gaps = list_gaps(snapshot)
    for name, rows, span, words in table:
        _, period, file = name.split("/")
        row = listed.pop((file.split(".")[0], period))
        first, last = (text.strip() for text in span.split(".."))
        assert (row["rows"], row["first"], row["last"]) == (rows, iso(parse_iso(first)), iso(parse_iso(last)))
        assert ((row["gaps"], row["missing"]), row["zero_volume"]) == defects(words), name
        mine = [gap["missing"] for gap in gaps if (gap["symbol"], gap["period"]) == (row["symbol"], period)]
        assert (len(mine), sum(mine)) == (row["gaps"], row["missing"])
        assert mine == sorted(mine, reverse=True)
        longest = re.search(r"longest ([\d.]+) h", words)
        distance = (mine[0] + 1) * period_ms(period) / 3_600_000 if mine else None
        assert distance == (float(longest[1]) if longest else None), name
    assert not listed
    again = run_import(workspace, shared_data / "crypto")
    assert (again.rows_accepted, again.duplicates, again.snapshot) == (0, found.rows_accepted, found.snapshot)


def test_text_and_parquet_bars_are_stored_to_the_last_bit(shared_data: Path, workspace: Workspace) -> None:
    path = shared_data / "crypto/1h/SOLUSDT.parquet"
    run_import(workspace, path)
    columns = ["timestamp", "open", "high", "low", "close", "volume"]
    assert stored(workspace, "SOLUSDT").select(columns).equals(pl.read_parquet(path).select(columns))
    path = shared_data / "crypto/4h/SOLUSDT.csv.gz"
    run_import(workspace, path)
    assert stored(workspace, "SOLUSDT", "4h").select(columns[1:]).equals(pl.read_csv(path).select(columns[1:]))


def test_daily_stocks_have_no_gap_on_their_calendar(shared_data: Path, workspace: Workspace) -> None:
    """T2, T3: 22 stocks, 4,665 sessions each; weekends and holidays are no gaps; adj_close is kept."""
    table = readme_rows(shared_data, "stocks/1d/")
    (workspace.configs / "features.yaml").write_text("calendar: {'*': XNYS}\n")
    found = run_import(workspace, shared_data / "stocks" / "1d")
    assert {f.symbol: f.rows_accepted for f in found.files} == {Path(row[0]).stem: row[1] for row in table}
    assert found.rows_rejected == 0
    with Store(workspace.store).read() as snapshot:
        assert {(row["gaps"], row["zero_volume"], row["calendar"]) for row in list_bars(snapshot)} == {(0, 0, "XNYS")}
        assert snapshot.meta("bars")["symbols"]["AAPL"]["basis"] == "split"
    assert "adj_close" in stored(workspace, "AAPL", "1d").columns


def test_raw_daily_stocks_with_their_factors(shared_data: Path, workspace: Workspace) -> None:
    """Zipped, headerless, prices in ten-thousandths; factors beside them (T5)."""
    folder = shared_data / "stocks" / "lean_raw_1d"
    found = run_import(workspace, *sorted(folder.glob("*.zip")), calendar="XNYS")
    assert [(f.symbol, f.rows_accepted, f.rows_rejected) for f in found.files] == [
        (name, 5849, 0) for name in ("AAPL", "BAC", "IBM", "SPY")
    ]
    with zipfile.ZipFile(folder / "aapl.zip") as archive:
        line = archive.read(archive.namelist()[0]).decode().splitlines()[0].split(",")
    row = stored(workspace, "AAPL", "1d").row(0, named=True)
    assert iso(row["timestamp"]) == "1998-01-02T00:00:00Z"
    assert iso(row["available_at"]) == "1998-01-02T21:00:00Z"
    assert [row[name] for name in ("open", "high", "low", "close")] == pytest.approx([int(x) / 1e4 for x in line[1:5]])
    assert row["volume"] == int(line[5])
    counts = import_factors(Store(workspace.store), [folder / "factor_files"])
    lines = {path.stem.upper(): len(path.read_text().split()) for path in (folder / "factor_files").iterdir()}
    assert counts == lines


def test_raw_hourly_stocks_are_new_york_times(shared_data: Path, workspace: Workspace) -> None:
    """Labels move in UTC with daylight saving; what is refused stands after an early close (T2)."""
    folder = shared_data / "stocks" / "lean_raw_1h"
    found = run_import(workspace, *sorted(folder.glob("*.zip")), calendar="XNYS")
    assert [(f.symbol, f.rows_read, f.rows_accepted) for f in found.files] == [
        ("AAPL", 40831, 40784),
        ("SPY", 40832, 40785),
    ]
    rows = stored(workspace, "SPY")
    place = ZoneInfo("America/New_York")
    hours = {dt.datetime.fromtimestamp(ms / 1000, place).hour for ms in rows["timestamp"]}
    assert hours == set(range(9, 16))
    assert set((rows["available_at"] - rows["timestamp"]).unique()) == {3_600_000}
    csv = pl.read_csv(Path(found.folder) / "rejects.csv")
    assert csv["reason"].unique().to_list() == ["no 1h bar of XNYS opens then"]
    refused_days = {
        dt.datetime.fromisoformat(text).astimezone(place).date() for text in csv.filter(symbol="SPY")["timestamp"]
    }
    kept: dict[dt.date, int] = {}
    for ms in rows["timestamp"]:
        moment = dt.datetime.fromtimestamp(ms / 1000, place)
        kept[moment.date()] = max(kept.get(moment.date(), 0), moment.hour)
    assert {kept[day] for day in refused_days if day in kept} <= {11, 12, 13, 14}


DIRTY = {
    "gemini_BTCUSD_1hr.csv": ("BTCUSD", "1h", 31620, {"a price that is not above zero": 1}),
    "Coinbase_BTCUSD_1h.csv": ("BTCUSD", "1h", 20111, {}),
    "Binance_BTCUSDT_d.csv": ("BTCUSDT", "1d", 1625, {"two different bars for one time": 2}),
    "investing_BTC_daily.csv": ("BTC", "1d", 2570, {OUTSIDE: 29}),
    "FTTUSDT_1h.csv.gz": ("FTTUSDT", "1h", 16522, {}),
    "SOLUSDT_perp_1h_local_tz.csv.gz": ("SOLUSDT", "1h", 31973, {}),
    "binance_vision_BTCUSDT-1h-2024-12.csv": ("BTCUSDT", "1h", 744, {}),
    "binance_vision_BTCUSDT-1h-2025-01.csv": ("BTCUSDT", "1h", 744, {}),
    "stock_DIS_nan_rows.csv": ("DIS", "1d", 3020, {OUTSIDE: 3, "a blank or NaN inside the row": 2}),
    "stock_dow_AAPL_vendor.csv": ("AAPL", "1d", 1258, {}),
    "stock_WELL.csv.gz": ("WELL", "1d", 9607, {}),
    "stock_HWC.csv.gz": ("HWC", "1d", 5590, {OUTSIDE: 125}),
    "stock_ARKR.csv.gz": ("ARKR", "1d", 8216, {"two different bars for one time": 1, OUTSIDE: 1}),
    "stock_EQIX.csv.gz": ("EQIX", "1d", 4511, {"a price that is not above zero": 1}),
    "stock_MO_spinoff_split_adjusted.csv.gz": ("MO", "1d", 12247, {}),
}


@pytest.mark.parametrize("name", sorted(DIRTY))
def test_dirty_files(shared_data: Path, workspace: Workspace, name: str) -> None:
    """Nothing is named on the command line but what no file of stocks says: calendar and period."""
    symbol, period, rows, reasons = DIRTY[name]
    options = {"calendar": "XNYS", "period": "1d"} if name.startswith("stock_") else {}
    (table,) = readme_rows(shared_data, f"dirty/{name}")
    (file,) = run_import(workspace, shared_data / "dirty" / name, **options).files
    assert (file.symbol, file.period, file.rows_read, file.reasons) == (symbol, period, table[1], reasons)
    assert rows == table[1]
    assert file.duplicates == 0
    bars = stored(workspace, symbol, period)
    assert bars.height == rows - sum(reasons.values())
    assert bars["timestamp"].is_unique().all()


def test_every_dirty_file_is_told_of(shared_data: Path) -> None:
    names = {Path(row[0]).name for row in readme_rows(shared_data, "dirty/")}
    assert names == {*DIRTY, "Binance_ADAUSDT_1h_dst_dups.csv"}


def test_a_file_without_prices_is_refused_whole(shared_data: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="no column for open, high, low, close"):
        run_import(workspace, shared_data / "dirty" / "Binance_ADAUSDT_1h_dst_dups.csv")


def test_what_the_dirty_files_say_about_themselves(shared_data: Path, workspace: Workspace) -> None:
    """Counts that the README gives for rows that are accepted."""
    found = run_import(workspace, shared_data / "dirty" / "stock_WELL.csv.gz", calendar="XNYS", period="1d")
    notes = " ".join(found.files[0].warnings)
    assert "4 price jumps above a factor 2" in notes
    assert "305 bars without volume" in notes
    assert "adj_close is not above zero in 9,374 bars" in notes
    run_import(workspace, shared_data / "dirty" / "gemini_BTCUSD_1hr.csv")
    with Store(workspace.store).read() as snapshot:
        (row,) = list_bars(snapshot, ["BTCUSD"])
    assert (row["zero_volume"], row["first"], row["last"]) == (1054, "2015-10-08T14:00:00Z", "2019-05-18T00:00:00Z")


def test_offsets_that_change_leave_no_gap(shared_data: Path, workspace: Workspace) -> None:
    """T1: in UTC the perpetual has neither duplicate nor missing hours."""
    run_import(workspace, shared_data / "dirty" / "SOLUSDT_perp_1h_local_tz.csv.gz")
    with Store(workspace.store).read() as snapshot:
        (row,) = list_bars(snapshot)
    assert (row["gaps"], row["first"], row["last"]) == (0, "2020-10-23T08:00:00Z", "2024-06-16T12:00:00Z")


def test_a_suspension_is_one_gap(shared_data: Path, workspace: Workspace) -> None:
    """T3: 311 days without trading; 7,468 hours from bar to bar."""
    run_import(workspace, shared_data / "dirty" / "FTTUSDT_1h.csv.gz")
    with Store(workspace.store).read() as snapshot:
        gaps = list_gaps(snapshot)
    assert (len(gaps), gaps[0]["missing"]) == (5, 7467)


def test_a_change_of_unit_between_two_files_is_no_gap(shared_data: Path, workspace: Workspace) -> None:
    """T1: December in milliseconds, January in microseconds."""
    run_import(workspace, shared_data / "dirty" / "binance_vision_*.csv")
    with Store(workspace.store).read() as snapshot:
        (row,) = list_bars(snapshot)
    assert (row["rows"], row["gaps"]) == (1488, 0)


def test_an_unfinished_last_bar_goes_when_the_fetch_is_dated(shared_data: Path, workspace: Workspace) -> None:
    """T1: the newest daily bar was read during its day."""
    path = shared_data / "dirty" / "Binance_BTCUSDT_d.csv"
    found = run_import(workspace, path, as_of=parse_iso("2022-01-26T12:00"))
    assert found.files[0].reasons["unfinished when fetched"] == 1
    assert (3, "unfinished when fetched") in rejects(found)
    assert iso(stored(workspace, "BTCUSDT", "1d")["timestamp"][-1]) == "2022-01-25T00:00:00Z"
