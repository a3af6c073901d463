"""`tftctl audit time` on every dirty file of the shared data, against the defects that its README lists."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from tftctl.audit.time.audit import TimeAudit, TimeOptions, audit_time
from tftctl.audit.time.files import FileOptions
from tftctl.core.times import parse_iso

pytestmark = pytest.mark.shared
NOW = parse_iso("2026-11-01")
Facts = dict[str, Any]
INFERRED = ("inferred", "NOT PROVEN")
# of each file: facts that the README states (or that were counted in it by hand), and kind and verdict of the findings
EXPECTED: dict[str, tuple[Facts, set[tuple[str, str]]]] = {
    "gemini_BTCUSD_1hr.csv": (
        {"rows": 31620, "units": {"s": 23830, "ms": 7790}, "order": "descending", "missing": 0,
         "first": "2015-10-08T13:00:00Z", "last": "2019-05-18T00:00:00Z"},
        {("mixed units", "FAIL"), ("descending", "PASS"), INFERRED},
    ),
    # in the morning of 2017-11-12 lines are sorted as texts: 9, 3, 8, 2, 7 o'clock
    "Coinbase_BTCUSD_1h.csv": (
        {"rows": 20111, "unique": 20111, "flat": 28, "last": "2019-10-17T09:00:00Z"},
        {("out of order", "FAIL"), INFERRED},
    ),
    # 2017-12-18 stands there in either unit, with other prices
    "Binance_BTCUSDT_d.csv": (
        {"rows": 1625, "units": {"ms": 1501, "s": 124}, "duplicates_contradicting": 1, "first": "2017-08-17T00:00:00Z"},
        {("mixed units", "FAIL"), ("contradicting duplicates", "FAIL"), ("descending", "PASS"), INFERRED},
    ),
    "investing_BTC_daily.csv": (
        {"rows": 2570, "missing": 0, "first": "2012-04-01T00:00:00Z", "last": "2019-04-14T00:00:00Z"},
        {("descending", "PASS"), INFERRED},
    ),
    # 7,468 hours from the last bar before to the first after
    "FTTUSDT_1h.csv.gz": (
        {"rows": 16522, "gaps": 5, "longest_gap": 7467, "last": "2023-12-30T20:00:00Z"},
        {("gap", "PASS"), INFERRED},
    ),
    "SOLUSDT_perp_1h_local_tz.csv.gz": (
        {"rows": 31973, "missing": 0, "offsets": {"+03:00": 17713, "+02:00": 14260}, "first": "2020-10-23T08:00:00Z"},
        {("changing offsets", "PASS"), INFERRED},
    ),
    "binance_vision_BTCUSDT-1h-2024-12.csv": ({"rows": 744, "missing": 0, "units": {"ms": 744}}, {INFERRED}),
    "binance_vision_BTCUSDT-1h-2025-01.csv": ({"rows": 744, "missing": 0, "units": {"us": 744}}, {INFERRED}),
    "Binance_ADAUSDT_1h_dst_dups.csv": (
        {"rows": 30421, "duplicates_contradicting": 3, "first": "2018-04-17T04:00:00Z"},
        {("contradicting duplicates", "FAIL"), ("daylight saving", "FAIL"), INFERRED},
    ),
    "stock_DIS_nan_rows.csv": ({"rows": 3020, "grid": "Mon-Fri"}, {("gap", "PASS"), INFERRED}),
    "stock_dow_AAPL_vendor.csv": ({"rows": 1258, "grid": "Mon-Fri"}, {("gap", "PASS"), INFERRED}),
    "stock_WELL.csv.gz": ({"rows": 9607, "flat": 305}, {("gap", "PASS"), INFERRED}),
    "stock_HWC.csv.gz": ({"rows": 5590}, {("gap", "PASS"), INFERRED}),
    "stock_ARKR.csv.gz": (
        {"rows": 8216, "unique": 8215, "flat": 1039, "duplicates_contradicting": 1},
        {("contradicting duplicates", "FAIL"), ("gap", "PASS"), INFERRED},
    ),
    "stock_EQIX.csv.gz": ({"rows": 4511}, {("gap", "PASS"), INFERRED}),
    "stock_MO_spinoff_split_adjusted.csv.gz": ({"rows": 12247}, {("gap", "PASS"), INFERRED}),
}  # fmt: skip


def audit(path: Path, folder: Path, **declared: Any) -> tuple[TimeAudit, Facts]:
    found = audit_time(None, [str(path)], folder, NOW, TimeOptions(file=FileOptions(**declared)))
    (group,) = found.audit.facts["groups"]
    return found, group


def test_every_dirty_file_is_expected_here(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "dirty").iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_dirty_files(shared_data: Path, tmp_path: Path, name: str) -> None:
    facts, kinds = EXPECTED[name]
    found, group = audit(shared_data / "dirty" / name, tmp_path)
    assert {key: group[key] for key in facts} == facts
    assert {(finding.kind, finding.verdict) for finding in found.audit.findings} == kinds


def test_the_gap_of_hancock_is_26_days_on_new_yorks_calendar(shared_data: Path, tmp_path: Path) -> None:
    found, group = audit(shared_data / "dirty" / "stock_HWC.csv.gz", tmp_path, calendar="XNYS")
    assert group["grid_declared"]
    (gap,) = [finding for finding in found.audit.findings if finding.kind == "gap"]
    header, longest = found.gaps_file.read_text().splitlines()[:2]
    assert header == "source,symbol,period,from,to,missing"
    begin, end = (parse_iso(text) for text in longest.split(",")[3:5])
    # the README counts days from the last bar before the hole to the first one after it
    assert 20 <= (end - begin) / 86_400_000 <= 26
    assert gap.verdict == "PASS"


@pytest.mark.parametrize(
    ("name", "gaps", "missing", "longest"),
    [("1h/BTCUSDT.parquet", 28, 128, 34), ("1h/SOLUSDT.parquet", 10, 20, 5), ("4h/BTCUSDT.csv.gz", 8, 16, 8),
     ("1d/BTCUSDT.parquet", 0, 0, 0)],
)  # fmt: skip
def test_clean_crypto_passes_with_the_gaps_of_the_readme(
    shared_data: Path, tmp_path: Path, name: str, gaps: int, missing: int, longest: int
) -> None:
    found, group = audit(shared_data / "crypto" / name, tmp_path, calendar="24x7")
    assert found.audit.verdict == "PASS"
    assert (group["gaps"], group["missing"]) == (gaps, missing)
    assert group["longest_gap"] <= longest


def test_clean_stocks_pass_on_new_yorks_calendar(shared_data: Path, tmp_path: Path) -> None:
    found, group = audit(shared_data / "stocks" / "1d" / "KO.parquet", tmp_path, calendar="XNYS")
    assert (found.audit.verdict, group["rows"], group["missing"]) == ("PASS", 4665, 0)
    for declared in ({"calendar": "XNYS"}, {}):
        found, group = audit(shared_data / "stocks" / "lean_raw_1d" / "aapl.zip", tmp_path, **declared)
        assert (found.audit.verdict, group["rows"]) == ("PASS" if declared else "NOT PROVEN", 5849)


def test_bars_after_an_early_close_are_off_the_grid(shared_data: Path, tmp_path: Path) -> None:
    """As an import refuses them: half days end at 13:00 in New York, and some have an hour after it."""
    import exchange_calendars

    path = shared_data / "stocks" / "lean_raw_1h" / "aapl.zip"
    found, group = audit(path, tmp_path, calendar="XNYS")
    early = exchange_calendars.get_calendar("XNYS", start="1998-01-01").early_closes
    half = {day.strftime("%Y%m%d") for day in early}
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    after = [line for line in lines if line[:8] in half and line[9:14] >= "13:00"]
    assert group["off_grid"] == len(after) > 0
    assert {finding.kind for finding in found.audit.findings} == {"off the grid", "gap"}
