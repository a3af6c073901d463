"""`tftctl audit time` on the store: calendars, filled rows, macro frequencies, damage that no import lets in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tftctl.audit.time.audit import TimeAudit, TimeOptions, audit_time
from tftctl.audit.time.files import FileOptions
from tftctl.audit.time.plan import propose
from tftctl.cli.app import app
from tftctl.core.calendars import open_calendar
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.errors import DataError
from tftctl.core.periods import period_ms
from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace
from tftctl.features.build import build
from tftctl.ingest.listing import list_gaps
from tftctl.plugins import load_registry
from tftctl.store import Store

HOUR, DAY = 3_600_000, 86_400_000
START = 1_704_067_200_000  # 2024-01-01T00:00Z, a Monday
NOW = START + 400 * DAY


def bars(symbol: str, period: str, stamps: Sequence[int], calendar: str = "24x7", flat: int = 0) -> pl.DataFrame:
    """Bars that open at these times, the last `flat` of them without a movement."""
    times = np.array(stamps, np.int64)
    due = open_calendar(calendar).available_at(period, times) if calendar != "24x7" else times + period_ms(period)
    moves = np.where(np.arange(times.size) < times.size - flat, 1.0, 0.0)
    return pl.DataFrame(
        {
            "symbol": symbol, "period": period, "timestamp": times, "available_at": due, "open": 10.0,
            "high": 10.0 + moves, "low": 10.0 - moves, "close": 10.0, "volume": moves,
        }
    )  # fmt: skip


def stored(root: Path, *groups: pl.DataFrame, calendars: dict[str, str] | None = None) -> Store:
    store = Store(root / "store")
    with store.write("test") as txn:
        for period in sorted({group["period"][0] for group in groups}):
            here = [group for group in groups if group["period"][0] == period]
            txn.replace("bars", period, pl.concat(here).sort("symbol", "timestamp"))
        symbols = {group["symbol"][0] for group in groups}
        known = {s: {"calendar": (calendars or {}).get(s, "24x7"), "basis": "raw", "anchor": {}, "delay_ms": 0}
                 for s in sorted(symbols)}  # fmt: skip
        txn.set_meta("bars", {"symbols": known, "extras": {}, "calendar_versions": {}})
        txn.commit()
    return store


def audit(store: Store, folder: Path, *names: str, now: int = NOW) -> TimeAudit:
    with store.read() as snapshot:
        return audit_time(snapshot, names or ("bars",), folder / "reports", now, TimeOptions())


def told(found: TimeAudit) -> set[tuple[str | None, str, str]]:
    return {(f.symbol, f.kind, f.verdict) for f in found.audit.findings}


def test_gaps_are_those_of_data_gaps_and_ends_are_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kept = {s: [START + int(h) * HOUR for h in np.flatnonzero(rng.random(500) < 0.9)] for s in ("AAA", "BBB")}
    short = [START + i * HOUR for i in range(300)]
    store = stored(tmp_path, *(bars(s, "1h", stamps) for s, stamps in kept.items()), bars("CCC", "1h", short, flat=4))
    found = audit(store, tmp_path)
    assert found.audit.verdict == "PASS"
    rows = {row["symbol"]: row for row in found.audit.facts["groups"]}
    for symbol, stamps in kept.items():
        every = range(stamps[0], stamps[-1] + 1, HOUR)
        assert rows[symbol]["expected"] == len(every)
        assert rows[symbol]["missing"] == len(set(every) - set(stamps))
    with store.read() as snapshot:
        listed = [(g["symbol"], g["from"], g["to"], str(g["missing"])) for g in list_gaps(snapshot)]
    written = pl.read_csv(found.gaps_file, infer_schema=False).select("symbol", "from", "to", "missing").rows()
    assert written == listed
    top = found.audit.facts["longest_gaps"]
    assert [gap["missing"] for gap in top] == sorted((int(row[3]) for row in listed), reverse=True)[:20]
    assert {(gap["symbol"], gap["from"], gap["to"], str(gap["missing"])) for gap in top} <= set(listed)
    assert ("CCC", "ragged end", "PASS") in told(found)
    assert ("CCC", "stale tail", "PASS") in told(found)
    end = max(stamps[-1] for stamps in kept.values())
    (ragged,) = [f for f in found.audit.findings if f.kind == "ragged end" and f.symbol == "CCC"]
    assert f"ends {(end - short[-1]) // HOUR} expected bars" in ragged.detail


def test_sessions_have_no_gaps_at_weekends_and_holidays(tmp_path: Path) -> None:
    """Independence Day and weekends are no gaps in New York; one session that is left out is."""
    import exchange_calendars

    sessions = exchange_calendars.get_calendar("XNYS", start="2023-01-01").sessions_in_range("2024-06-03", "2024-07-31")
    stamps = [round(day.timestamp() * 1000) for day in sessions]
    left_out = stamps.pop(10)
    store = stored(tmp_path, bars("KO", "1d", stamps, "XNYS"), calendars={"KO": "XNYS"})
    found = audit(store, tmp_path)
    (row,) = found.audit.facts["groups"]
    assert (row["grid"], row["expected"], row["missing"], row["verdict"]) == ("XNYS", len(sessions), 1, "PASS")
    (gap,) = found.audit.findings
    assert gap.row == iso(left_out)
    # a Saturday is off the grid
    saturday = stored(
        tmp_path / "s", bars("KO", "1d", [*stamps[:5], START + 166 * DAY], "24x7"), calendars={"KO": "XNYS"}
    )
    assert ("KO", "off the grid", "FAIL") in told(audit(saturday, tmp_path))


def test_what_no_import_lets_in_is_found(tmp_path: Path) -> None:
    stamps = [START + i * HOUR for i in range(24)]
    odd = bars("AAA", "1h", [*stamps[:12], stamps[12] + 5 * 60_000, *stamps[13:]])
    early = bars("BBB", "1h", stamps).with_columns(available_at=pl.col("timestamp") - 1)
    store = stored(tmp_path, odd, early)
    found = audit(store, tmp_path, now=stamps[-1] + HOUR - 1)
    assert told(found) >= {
        ("AAA", "off the grid", "FAIL"),
        ("AAA", "in the future", "FAIL"),
        ("BBB", "available too early", "FAIL"),
    }
    first = {f.kind: f.row for f in found.audit.findings if f.symbol == "AAA"}
    assert first["off the grid"] == iso(stamps[12] + 5 * 60_000)
    assert first["in the future"] == iso(stamps[-1])
    plan = propose(found, FileOptions(), NOW)
    assert {action.action for action in plan.actions} == {"leave"}
    assert plan.repairs == ()


def test_macro_by_frequency_and_revisions(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    months = np.arange("2020-01", "2024-01", dtype="datetime64[M]").astype("datetime64[ms]").astype(np.int64)
    kept = np.delete(months, [7, 20, 21])
    days = np.arange("2023-01-02", "2023-12-30", dtype="datetime64[D]")
    days = days[np.is_busday(days)].astype("datetime64[ms]").astype(np.int64)
    series = {"m2": ("1mo", kept, True), "rate": ("1bd", days, False)}
    with store.write("test") as txn:
        for name, (frequency, stamps, _) in series.items():
            txn.upsert("macro", frequency, pl.DataFrame({"symbol": name, "period": frequency, "timestamp": stamps,
                                                         "available_at": stamps + 60 * DAY, "value": 1.0}))  # fmt: skip
        txn.set_meta("macro", {"series": {n: {"frequency": f, "stamp": "start", "release_lag": "28d", "revised": r}
                                          for n, (f, _, r) in series.items()}})  # fmt: skip
        txn.commit()
    found = audit(store, tmp_path, "macro")
    rows = {row["symbol"]: row for row in found.audit.facts["groups"]}
    assert (rows["m2"]["expected"], rows["m2"]["missing"], rows["m2"]["gaps"]) == (48, 3, 2)
    assert (rows["rate"]["expected"], rows["rate"]["missing"]) == (len(days), 0)
    assert told(found) == {("m2", "revised", "NOT PROVEN"), ("m2", "gap", "PASS")}
    assert found.audit.exit_code(strict=True) == 5


def test_tables_of_a_build_have_the_holes_that_were_not_filled(tmp_path: Path) -> None:
    """Hour 50 is filled, hours 100 to 129 are not; every table of the build passes."""
    missing = [50, *range(100, 130)]
    stamps = [START + i * HOUR for i in range(300) if i not in missing]
    moving = [bars(s, "1h", stamps).with_columns(close=10 + (pl.int_range(pl.len()) % 7) / 10) for s in ("AAA", "BBB")]
    store = stored(tmp_path, *moving)
    config = FeaturesConfig.model_validate({"indicators": ["log_return"], "targets": ["target_logreturn"]})
    build(store, config, load_registry())
    found = audit(store, tmp_path, "features", "targets", "fused", "bars")
    assert found.audit.verdict == "PASS"
    holes = {(row["source"], row["symbol"]): (row["expected"], row["missing"]) for row in found.audit.facts["groups"]}
    assert holes == {
        (table, symbol): (300, 31 if table == "bars" else 30)
        for table in ("features", "targets", "fused", "bars")
        for symbol in ("AAA", "BBB")
    }


def test_a_fused_table_without_bars_has_no_declared_calendar(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.write("test") as txn:
        rows = bars("AAA", "1h", [START + i * HOUR for i in range(30) if i != 9])
        txn.replace("fused", "1h", [rows.select("symbol", "period", "timestamp", "available_at", "close")])
        txn.commit()
    found = audit(store, tmp_path, "fused")
    assert told(found) == {("AAA", "inferred", "NOT PROVEN"), ("AAA", "gap", "PASS")}


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    store = stored(tmp_path, bars("AAA", "1h", [START, START + HOUR]))
    with pytest.raises(DataError, match="no table 'fused'"):
        audit(store, tmp_path, "fused")


def invoke(workspace: Workspace, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["-w", str(workspace.root), "audit", "time", *arguments])


def test_the_command_has_verdict_exit_code_and_document(workspace: Workspace) -> None:
    now = now_ms() // HOUR * HOUR
    stored(workspace.root, bars("AAA", "1h", [now - i * HOUR for i in range(9, 0, -1) if i != 4]))
    done = invoke(workspace, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["verdict"] == "PASS"
    assert set(document["findings"][0]) >= {"check", "column", "symbol", "period", "row", "class", "detail"}
    assert [(group["symbol"], group["rows"], group["missing"]) for group in document["groups"]] == [("AAA", 8, 1)]
    assert Path(document["gaps_file"]).read_text().splitlines()[1].endswith(",1")
    assert invoke(workspace, "--max-missing", "0.1").exit_code == 5
    assert invoke(workspace, "bars", "--all", "--strict").exit_code == 0
    planned = invoke(workspace, "--fix", "--json")
    assert [action["action"] for action in json.loads(planned.stdout)["actions"]] == ["leave"]
    assert json.loads(Path(json.loads(planned.stdout)["plan"]).read_text())["repairs"] == []


def test_the_command_repairs_a_copy(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "raw" / "AAA_1h.csv"
    path.parent.mkdir()
    path.write_text("\n".join(["timestamp,close", *(f"{START + i * HOUR},{i}" for i in (3, 1, 2, 2))]) + "\n")
    done = invoke(workspace, str(path), "--fix", "--json", "--junit", str(tmp_path / "x" / "j.xml"))
    assert (done.exit_code, json.loads(done.stdout)["verdict"]) == (5, "FAIL")
    assert (tmp_path / "x" / "j.xml").is_file()
    made = json.loads(invoke(workspace, "--apply", json.loads(done.stdout)["plan"], "--json").stdout)["applied"]
    assert Path(made[0]["output"]).read_text().splitlines() == [
        "timestamp,close", *(f"{START + i * HOUR},{i}" for i in (1, 2, 3)),
    ]  # fmt: skip
    assert invoke(workspace, "bars", "--apply", "x.json").exit_code != 0
