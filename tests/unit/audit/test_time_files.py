"""`tftctl audit time` on files, against naive loops over what was written."""

from __future__ import annotations

import csv
import gzip
import json
import xml.etree.ElementTree as xml
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from tftctl.audit.junit import write_junit
from tftctl.audit.time.audit import TimeAudit, TimeOptions, audit_time
from tftctl.audit.time.files import FileOptions, read_series
from tftctl.audit.time.plan import propose, read_plan
from tftctl.audit.time.repair import apply_plan
from tftctl.core.errors import DataError, TftctlError, UsageError
from tftctl.core.times import iso
from tftctl.ingest import blocks

HOUR, DAY = 3_600_000, 86_400_000
START = 1_704_067_200_000  # 2024-01-01T00:00Z, a Monday
NOW = START + 4000 * DAY
HEADER = "timestamp,open,high,low,close,volume"
DECLARED = FileOptions(period="1h", calendar="24x7")


def line(stamp: object, price: float = 10.0, volume: float = 3.0) -> str:
    return f"{stamp},{price},{price + 1},{price - 1},{price},{volume}"


def write(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def audit(path: Path, folder: Path, now: int = NOW, missing: float | None = None, **declared: Any) -> TimeAudit:
    options = TimeOptions(max_missing=missing, file=FileOptions(**declared))
    return audit_time(None, [str(path)], folder / "reports", now, options)


def kinds(found: TimeAudit) -> dict[str, str]:
    return {finding.kind: finding.verdict for finding in found.audit.findings}


def only(found: TimeAudit) -> dict[str, Any]:
    (group,) = found.audit.facts["groups"]
    return group


def test_a_whole_declared_file_passes(tmp_path: Path) -> None:
    path = write(tmp_path / "AAA_1h.csv", [line(START + i * HOUR, 10 + i) for i in range(48)])
    found = audit(path, tmp_path, calendar="24x7")
    assert (found.audit.verdict, found.audit.findings) == ("PASS", ())
    row = only(found)
    assert (row["symbol"], row["period"], row["rows"], row["expected"], row["missing"]) == ("AAA", "1h", 48, 48, 0)
    assert (row["first"], row["last"], row["step_inferred"]) == (iso(START), iso(START + 47 * HOUR), "1h")


def test_undeclared_is_not_proven_and_strict_says_5(tmp_path: Path) -> None:
    path = write(tmp_path / "AAA.csv", [line(START + i * HOUR) for i in range(10)])
    found = audit(path, tmp_path)
    assert kinds(found) == {"inferred": "NOT PROVEN"}
    assert (found.audit.exit_code(strict=False), found.audit.exit_code(strict=True)) == (0, 5)


@pytest.mark.parametrize("seed", range(6))
def test_counts_are_those_of_a_loop(tmp_path: Path, seed: int) -> None:
    """Random holes, equal and contradicting twins, in any order; the gaps file holds every missing hour."""
    rng = np.random.default_rng(seed)
    hours = [int(h) for h in np.flatnonzero(rng.random(300) < 0.8)]
    lines = [line(START + h * HOUR, 10 + h) for h in hours]
    equal = [lines[i] for i in rng.choice(len(hours), 5, replace=False)]
    other = [line(START + hours[i] * HOUR, 999) for i in rng.choice(len(hours), 4, replace=False)]
    rows = [(lines + equal + other)[i] for i in rng.permutation(len(hours) + 9)]
    found = audit(write(tmp_path / "AAA_1h.csv", rows), tmp_path, calendar="24x7")

    texts: dict[str, list[str]] = {}
    for text in rows:
        texts.setdefault(text.split(",")[0], []).append(text)
    contradicting = sum(len(set(each)) > 1 for each in texts.values())
    surplus = sum(len(each) - 1 for each in texts.values() if len(set(each)) == 1)
    missing = [h for h in range(hours[0], hours[-1]) if h not in hours]
    row = only(found)
    assert (row["rows"], row["unique"], row["missing"]) == (len(rows), len(hours), len(missing))
    assert (row["duplicates_contradicting"], row["duplicates_equal"]) == (contradicting, surplus)
    assert row["expected"] == hours[-1] - hours[0] + 1
    assert found.audit.verdict == "FAIL"
    assert row["order"] == "mixed"
    told: list[int] = []
    sizes = []
    with found.gaps_file.open(newline="") as file:
        for gap in csv.DictReader(file):
            first, last = (datetime.fromisoformat(gap[name]).timestamp() * 1000 for name in ("from", "to"))
            told += range(round((first - START) / HOUR), round((last - START) / HOUR) + 1)
            sizes.append(int(gap["missing"]))
    assert sorted(told) == missing
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == len(missing)


def test_blocks_of_any_size_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed or not, in blocks of a few rows or at once."""
    lines = [line(START + (i // 2 if i % 50 == 1 else i) * HOUR, 10 + i % 7) for i in range(400)]
    plain = write(tmp_path / "AAA_1h.csv", lines)
    packed = tmp_path / "p" / "AAA_1h.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    parquet = tmp_path / "AAA_1h.parquet"
    pl.read_csv(plain).write_parquet(parquet, row_group_size=64)
    (whole,) = read_series(plain, DECLARED)
    monkeypatch.setattr(blocks, "BLOCK_CHARACTERS", 300)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 17)
    assert len(list(blocks.open_blocks(plain).blocks(["timestamp"]))) > 20
    for path in (plain, packed, parquet):
        (series,) = read_series(path, DECLARED)
        assert series.stamps.tolist() == whole.stamps.tolist()
        assert series.contradicting.tolist() == whole.contradicting.tolist()
    assert whole.stamps.tolist() == [int(text.split(",")[0]) for text in lines]


@pytest.mark.parametrize(
    "form", ["%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M", "%d.%m.%Y %I:%M %p", "s", "us", "ns"]
)
def test_times_in_any_writing_are_the_same(tmp_path: Path, form: str) -> None:
    """Hours of thirty days; a number of fourteen digits is a date, whatever its size."""
    stamps = [START + i * HOUR for i in range(720)]
    scale = {"s": 1e-3, "us": 1e3, "ns": 1e6}
    texts = [str(round(s * scale[form])) if form in scale else datetime.fromtimestamp(s / 1000, UTC).strftime(form)
             for s in stamps]  # fmt: skip
    found = audit(write(tmp_path / "AAA_1h.csv", [line(text) for text in texts]), tmp_path, calendar="24x7")
    assert found.audit.verdict == "PASS"
    row = only(found)
    assert (row["first"], row["last"], row["missing"]) == (iso(stamps[0]), iso(stamps[-1]), 0)
    assert row["units"] == ({form: 720} if form in scale else {})


def test_the_index_of_a_pandas_file_is_its_time(tmp_path: Path) -> None:
    import pandas as pd

    times = pd.date_range("2024-01-01", periods=30, freq="h", tz="UTC")
    pd.DataFrame({"close": range(30)}, index=times).to_parquet(tmp_path / "AAA_1h.parquet")
    found = audit(tmp_path / "AAA_1h.parquet", tmp_path, calendar="24x7")
    assert (found.audit.verdict, only(found)["rows"], only(found)["first"]) == ("PASS", 30, iso(START))


def test_units_order_and_several_symbols(tmp_path: Path) -> None:
    header = "symbol," + HEADER
    first = [f"AAA,{line(START + i * HOUR if i < 10 else (START + i * HOUR) // 1000)}" for i in range(20)]
    second = [f"BBB,{line(START + i * HOUR)}" for i in reversed(range(15))]
    found = audit(write(tmp_path / "both.csv", first + second, header), tmp_path, period="1h", calendar="24x7")
    by_symbol = {row["symbol"]: row for row in found.audit.facts["groups"]}
    assert by_symbol["AAA"]["units"] == {"ms": 10, "s": 10}
    assert by_symbol["BBB"]["units"] == {"ms": 15}
    assert by_symbol["BBB"]["order"] == "descending"
    assert {(f.symbol, f.kind, f.verdict) for f in found.audit.findings} == {
        ("AAA", "mixed units", "FAIL"),
        ("BBB", "descending", "PASS"),
        ("BBB", "ragged end", "PASS"),
    }
    assert (by_symbol["AAA"]["verdict"], by_symbol["BBB"]["verdict"]) == ("FAIL", "PASS")


def test_off_the_grid_and_another_step(tmp_path: Path) -> None:
    stamps = [START + i * HOUR + (60_000 if i in (5, 9) else 0) for i in range(24)]
    found = audit(write(tmp_path / "AAA_1h.csv", [line(s) for s in stamps]), tmp_path, calendar="24x7")
    assert only(found)["off_grid"] == sum(s % HOUR != 0 for s in stamps)
    assert kinds(found)["off the grid"] == "FAIL"
    found = audit(
        write(tmp_path / "BBB_4h.csv", [line(START + i * HOUR) for i in range(24)]), tmp_path, calendar="24x7"
    )
    assert kinds(found)["another step"] == "FAIL"


@pytest.mark.parametrize(("zone", "shift"), [("Europe/Berlin", True), ("America/New_York", True), ("UTC", False)])
def test_local_hours_taken_for_utc(tmp_path: Path, zone: str, shift: bool) -> None:
    """Every hour of three years, written as the clock on the wall showed it."""
    begin, info = datetime(2021, 1, 1, tzinfo=UTC), ZoneInfo(zone)
    wall = [(begin + timedelta(hours=i)).astimezone(info).strftime("%Y-%m-%d %H:%M:%S") for i in range(3 * 8760)]
    lines = [line(text, 10 + i % 13) for i, text in enumerate(wall)]
    found = audit(write(tmp_path / "AAA_1h.csv", lines), tmp_path, calendar="24x7")
    assert ("daylight saving" in kinds(found)) is shift
    assert only(found)["duplicates_contradicting"] == sum(count > 1 for count in Counter(wall).values())
    again = audit(tmp_path / "AAA_1h.csv", tmp_path, calendar="24x7", timezone=zone)
    assert "daylight saving" not in kinds(again)


def test_days_that_begin_an_hour_later_in_summer(tmp_path: Path) -> None:
    info = ZoneInfo("America/New_York")
    days = [datetime(2021, 1, 1, 17, tzinfo=info) + timedelta(days=i) for i in range(700)]
    stamps = [round(day.timestamp() * 1000) for day in days]
    assert {s % DAY for s in stamps} == {21 * HOUR, 22 * HOUR}
    found = audit(write(tmp_path / "AAA.csv", [line(s) for s in stamps]), tmp_path)
    assert kinds(found)["daylight saving"] == "FAIL"


def test_outages_in_random_nights_are_no_clock_change(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    kept = np.setdiff1d(np.arange(3 * 8760), rng.choice(3 * 8760, 40, replace=False))
    found = audit(write(tmp_path / "AAA_1h.csv", [line(START + int(h) * HOUR) for h in kept]), tmp_path, now=NOW * 2)
    assert "daylight saving" not in kinds(found)


def test_offsets_that_change_are_told_and_no_violation(tmp_path: Path) -> None:
    info, begin = ZoneInfo("Europe/Kiev"), datetime(2023, 10, 28, tzinfo=UTC)
    texts = [(begin + timedelta(hours=i)).astimezone(info).isoformat(" ") for i in range(48)]
    found = audit(write(tmp_path / "AAA_1h.csv", [line(t) for t in texts]), tmp_path, calendar="24x7")
    assert kinds(found) == {"changing offsets": "PASS"}
    assert only(found)["offsets"] == dict(Counter(text[-6:] for text in texts))
    assert only(found)["missing"] == 0


def test_future_stale_tail_and_max_missing(tmp_path: Path) -> None:
    lines = [line(START + i * HOUR, 10 + i) for i in range(40) if i not in (7, 8)]
    flat = [f"{START + i * HOUR},9,9,9,9,0" for i in range(40, 45)]
    path = write(tmp_path / "AAA_1h.csv", lines + flat)
    found = audit(path, tmp_path, calendar="24x7")
    assert kinds(found) == {"gap": "PASS", "stale tail": "PASS"}
    assert (only(found)["flat"], only(found)["stale_tail"]) == (5, 5)
    # 2 of 45 are missing
    assert audit(path, tmp_path, calendar="24x7", missing=0.05).audit.verdict == "PASS"
    assert audit(path, tmp_path, calendar="24x7", missing=0.04).audit.verdict == "FAIL"
    # the bar of hour 44 is over at hour 45
    assert "in the future" not in kinds(audit(path, tmp_path, now=START + 45 * HOUR))
    assert kinds(audit(path, tmp_path, now=START + 45 * HOUR - 1))["in the future"] == "FAIL"


def test_working_days_months_and_irregular_times(tmp_path: Path) -> None:
    days = [START + i * DAY for i in range(60) if i % 7 < 5 and i != 21]
    row = only(audit(write(tmp_path / "AAA.csv", [line(s) for s in days]), tmp_path))
    assert (row["grid"], row["expected"], row["missing"]) == ("Mon-Fri", len(days) + 1, 1)
    months = [f"{year}-{month:02d}-01" for year in (2020, 2021, 2022) for month in range(1, 13) if month != 6]
    row = only(audit(write(tmp_path / "M.csv", [f"{m},1" for m in months], "date,value"), tmp_path))
    assert (row["grid"], row["expected"], row["missing"], row["gaps"]) == ("1mo", 36, 3, 3)
    odd = [START + i * i * 61_000 for i in range(50)]
    assert kinds(audit(write(tmp_path / "odd.csv", [line(s) for s in odd]), tmp_path)) == {"irregular": "NOT PROVEN"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\nx,y,z\n", "no time column"),
        ("timestamp,close\nnever,1\nlater,2\n", "no row has a readable time"),
        ("timestamp,close\n", "a header and no rows"),
        ("", "is empty"),
    ],
)
def test_a_file_that_cannot_be_audited_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        audit(path, tmp_path)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    # beside others it is a finding, and the others are audited
    good = write(tmp_path / "AAA_1h.csv", [line(START + i * HOUR) for i in range(5)])
    found = audit_time(None, [str(path), str(good)], tmp_path / "r", NOW, TimeOptions(file=DECLARED))
    assert kinds(found) == {"unreadable": "FAIL"}
    assert only(found)["rows"] == 5


def test_text_among_the_times_and_one_row(tmp_path: Path) -> None:
    lines = [line(START + i * HOUR) for i in range(10)]
    lines[4] = line("soon")
    found = audit(write(tmp_path / "AAA_1h.csv", lines), tmp_path, calendar="24x7")
    assert kinds(found)["unreadable time"] == "FAIL"
    assert (only(found)["unreadable"], only(found)["rows"], only(found)["missing"]) == (1, 9, 1)
    assert "'soon'" in found.audit.findings[0].detail
    assert kinds(audit(write(tmp_path / "B.csv", [line(START)]), tmp_path)) == {"one row": "NOT PROVEN"}


def test_a_name_that_is_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "AAA_1h.csv", [line(START)])
    with pytest.raises(UsageError, match="neither a table nor a file"):
        audit_time(None, [str(path), "bras"], tmp_path, NOW, TimeOptions())
    assert not (tmp_path / "audits").exists()
    with pytest.raises(UsageError):
        audit(path, tmp_path, calendar="observed")
    for declared in ({"period": "1y"}, {"timezone": "Mars/Base"}, {"calendar": "XNYZ"}):
        with pytest.raises(TftctlError):
            audit(
                write(tmp_path / "B.csv", [line("2024-01-01 05:00:00"), line("2024-01-01 06:00:00")]),
                tmp_path,
                **declared,
            )


def test_a_plan_does_nothing_and_its_repair_is_a_copy(tmp_path: Path) -> None:
    lines = [line(START + i * HOUR if i % 2 else (START + i * HOUR) // 1000, 10 + i) for i in range(30)]
    rows = [*reversed(lines), lines[3], line(START + 5 * HOUR, 77), line("soon")]
    path = write(tmp_path / "AAA_1h.csv", rows)
    before = path.read_bytes()
    found = audit(path, tmp_path, calendar="24x7")
    plan = propose(found, FileOptions(calendar="24x7"), NOW)
    assert {(a.action, a.rows) for a in plan.actions} == {
        ("reject", 1), ("reject", 2), ("drop", 1), ("sort", 32), ("rewrite", 32),
    }  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["AAA_1h.csv", "reports"]
    assert read_plan(plan.file) == plan
    (made,) = apply_plan(read_plan(plan.file))
    assert path.read_bytes() == before
    assert (made.rows, made.dropped, made.rejected) == (29, 1, 3)
    copy = Path(made.output).read_text().splitlines()
    assert copy == [HEADER, *(line(START + i * HOUR, 10 + i) for i in range(30) if i != 5)]
    assert made.rejects is not None
    with Path(made.rejects).open(newline="") as file:
        refused = [(int(row["row"]), row["timestamp"], row["reason"]) for row in csv.DictReader(file)]
    assert [(number, stamp) for number, stamp, _ in refused] == [
        (25, str(START + 5 * HOUR)), (32, str(START + 5 * HOUR)), (33, "soon"),
    ]  # fmt: skip
    again = audit(Path(made.output), tmp_path, period="1h", calendar="24x7")
    assert kinds(again) == {"gap": "PASS"}
    with pytest.raises(DataError, match="not overwritten"):
        apply_plan(plan)
    Path(made.output).unlink()
    Path(made.rejects).unlink()
    path.write_bytes(before + b"\n")
    with pytest.raises(DataError, match="after the audit"):
        apply_plan(plan)


def test_nothing_to_mend_is_no_repair(tmp_path: Path) -> None:
    path = write(tmp_path / "AAA_1h.csv", [line(START + i * HOUR) for i in range(9) if i != 4])
    plan = propose(audit(path, tmp_path, calendar="24x7"), FileOptions(), NOW)
    assert [(a.action, a.rows) for a in plan.actions] == [("leave", 1)]
    assert apply_plan(plan) == []
    (tmp_path / "x.json").write_text('{"actions": 5}')
    with pytest.raises(UsageError, match="no plan"):
        read_plan(tmp_path / "x.json")


def test_report_and_junit_hold_the_findings(tmp_path: Path) -> None:
    lines = [line(START + i * HOUR) for i in range(9)]
    found = audit(write(tmp_path / "AAA_1h.csv", [*lines, line("soon")]), tmp_path)
    assert json.loads((found.folder / "report.json").read_text()) == found.audit.document()
    for strict, failures, skipped in ((False, 1, 1), (True, 2, 0)):
        write_junit(tmp_path / "j.xml", found.audit, found.cases(), strict=strict)
        suite = xml.parse(tmp_path / "j.xml").getroot()
        assert len(suite.findall(".//failure")) == failures == int(suite.attrib["failures"])
        assert len(suite.findall(".//skipped")) == skipped == int(suite.attrib["skipped"])
        assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
