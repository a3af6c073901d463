"""A second import over a first one (SEMANTICS T7), and imports that cannot be written."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_world import DAY, HOUR, START, bar_line, bar_lines, rejects, run_import, stored, write_lines

from tftctl.core.errors import StoreError, TftctlError
from tftctl.core.workspace import Workspace
from tftctl.ingest.bars import REASON
from tftctl.ingest.merge import merge_bars
from tftctl.ingest.reading import LINE
from tftctl.store import Store
from tftctl.store.local import LocalStorage
from tftctl.store.verify import verify

NAME = "BTCUSDT_1h.csv"


def version(workspace: Workspace) -> tuple[int, str]:
    """Snapshot number and content of the bars."""
    with Store(workspace.store).read() as snapshot:
        return snapshot.number, snapshot.data_version("bars")


def files_below(folder: Path) -> dict[str, bytes]:
    """All files with their content; the writer's lock is none of the store's content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "lock" not in path.name
    }


def test_importing_twice_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    path = write_lines(tmp_path / NAME, bar_lines(10))
    run_import(workspace, path)
    before = version(workspace)
    again = run_import(workspace, path)
    assert (again.rows_accepted, again.duplicates, again.rows_rejected) == (0, 10, 0)
    assert version(workspace) == before
    assert again.snapshot == before[0]


def test_overlapping_files_that_agree_are_joined(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(20)
    run_import(workspace, write_lines(tmp_path / "a" / NAME, lines[:12]))
    found = run_import(workspace, write_lines(tmp_path / "b" / NAME, lines[8:]))
    assert (found.rows_accepted, found.duplicates) == (8, 4)
    assert stored(workspace, "BTCUSDT")["open"].to_list() == [100.0 + i for i in range(20)]


def test_the_order_of_files_does_not_matter(workspace: Workspace, tmp_path: Path) -> None:
    """T7: of two files, the one that ends later was fetched later; its bar corrects the other's last one."""
    lines = bar_lines(20)
    early = write_lines(tmp_path / "z" / NAME, [*lines[:11], bar_line(START + 11 * HOUR, 50)])
    late = write_lines(tmp_path / "a" / NAME, lines[8:])
    found = run_import(workspace, late, early)
    assert found.rows_rejected == 0
    assert [file.corrections for file in found.files] == [1, 0]
    assert stored(workspace, "BTCUSDT")["open"].to_list() == [100.0 + i for i in range(20)]


def test_a_difference_in_the_last_bar_is_a_correction(workspace: Workspace, tmp_path: Path) -> None:
    """T7: reported, and the new bar holds; once corrected, the old file's bar is the odd one."""
    lines = bar_lines(10)
    old = [*lines[:4], bar_line(START + 4 * HOUR, 77)]
    first = write_lines(tmp_path / "a" / NAME, old)
    run_import(workspace, first)
    second = write_lines(tmp_path / "b" / NAME, lines)
    (file,) = run_import(workspace, second).files
    assert (file.corrections, file.rows_accepted, file.duplicates) == (1, 6, 4)
    assert file.warnings == ["the last bar of an earlier import was corrected: 2024-01-01T04:00:00Z"]
    before = version(workspace)
    assert rejects(run_import(workspace, first)) == [(6, "differs from the stored bar")]
    assert run_import(workspace, tmp_path / "a", tmp_path / "b").rows_accepted == 0
    assert version(workspace) == before
    assert stored(workspace, "BTCUSDT")["open"].to_list() == [100.0 + i for i in range(10)]


def test_the_last_bar_may_be_corrected_again_and_again(workspace: Workspace, tmp_path: Path) -> None:
    """T7: three fetches within one bar; each ends with the same, unfinished one."""
    for price in (50, 60, 70):
        lines = [*bar_lines(4), bar_line(START + 4 * HOUR, price)]
        assert run_import(workspace, write_lines(tmp_path / NAME, lines)).rows_rejected == 0
        assert stored(workspace, "BTCUSDT")["open"][-1] == price


def test_a_difference_elsewhere_is_a_conflict(workspace: Workspace, tmp_path: Path) -> None:
    """T7: refused with its line; --prefer old keeps, --prefer new replaces."""
    lines = bar_lines(10)
    run_import(workspace, write_lines(tmp_path / "a" / NAME, lines))
    changed = write_lines(tmp_path / "b" / NAME, [*lines[:3], bar_line(START + 3 * HOUR, 77), *lines[4:]])
    plain = run_import(workspace, changed)
    assert rejects(plain) == [(5, "differs from the stored bar")]
    kept = run_import(workspace, changed, prefer="old")
    assert rejects(kept) == [(5, "differs from the stored bar, which is kept")]
    assert stored(workspace, "BTCUSDT")["open"][3] == 103
    strict = run_import(workspace, changed, strict=True)
    assert strict.files[0].error is not None
    assert "--strict" in strict.files[0].error
    replaced = run_import(workspace, changed, prefer="new")
    assert (replaced.files[0].replaced, replaced.rows_accepted, replaced.duplicates) == (1, 1, 9)
    assert stored(workspace, "BTCUSDT")["open"][3] == 77


def test_new_columns_enrich_stored_bars_and_keep_other_ones(workspace: Workspace, tmp_path: Path) -> None:
    """A column that was not there before is filled in; one that the new file lacks is kept."""
    lines = bar_lines(6)
    header = "timestamp,open,high,low,close,volume,"
    run_import(workspace, write_lines(tmp_path / "a" / NAME, [f"{x},7" for x in lines], header + "trades"))
    found = run_import(workspace, write_lines(tmp_path / "b" / NAME, [f"{x},8" for x in lines[:4]], header + "vwap"))
    assert (found.rows_accepted, found.rows_rejected) == (4, 0)
    rows = stored(workspace, "BTCUSDT")
    assert rows["trades"].to_list() == [7] * 6
    assert rows["vwap"].to_list() == [8] * 4 + [None] * 2
    plain = run_import(workspace, write_lines(tmp_path / "c" / NAME, lines))
    assert (plain.rows_accepted, plain.duplicates) == (0, 6)


def test_a_changed_bar_keeps_the_columns_that_its_file_lacks(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(3)
    header = "timestamp,open,high,low,close,volume,trades"
    run_import(workspace, write_lines(tmp_path / "a" / NAME, [f"{x},7" for x in lines], header))
    run_import(workspace, write_lines(tmp_path / "b" / NAME, [bar_line(START, 50)]), prefer="new")
    rows = stored(workspace, "BTCUSDT")
    assert (rows["open"][0], rows["trades"][0]) == (50, 7)


def test_a_symbol_has_one_basis(workspace: Workspace, tmp_path: Path) -> None:
    """T5: raw and adjusted prices of one symbol do not mix."""
    path = write_lines(tmp_path / NAME, bar_lines(4))
    run_import(workspace, path)
    more = write_lines(tmp_path / "b" / NAME, bar_lines(8))
    found = run_import(workspace, more, basis="split")
    assert "stored with raw prices, these are split" in str(found.files[0].error)
    assert (found.rows_accepted, found.rows_rejected) == (0, 8)
    assert stored(workspace, "BTCUSDT").height == 4
    adjusted = "timestamp,open,high,low,close,volume,Adj Close"
    yahoo = write_lines(tmp_path / "c" / NAME, [f"{x},1" for x in bar_lines(8)], adjusted)
    assert "these are split" in str(run_import(workspace, yahoo).files[0].error)


def test_another_calendar_moves_a_symbol_only_with_prefer_new(workspace: Workspace, tmp_path: Path) -> None:
    """Bars that the new calendar does not know go; the others get its available_at (T2)."""
    path = write_lines(tmp_path / "SPY_1d.csv", bar_lines(14, step=DAY))
    run_import(workspace, path)
    assert stored(workspace, "SPY", "1d")["available_at"][1] == START + 2 * DAY
    refused = run_import(workspace, path, calendar="XNYS")
    assert "this import says XNYS" in str(refused.files[0].error)
    run_import(workspace, path, calendar="XNYS", prefer="new")
    rows = stored(workspace, "SPY", "1d")
    assert ((rows["timestamp"] - START) // DAY).to_list() == [1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert rows["available_at"][0] == START + DAY + 21 * HOUR
    assert verify(Store(workspace.store)).verdict == "PASS"


def test_a_file_that_contradicts_most_stored_bars_does_not_continue_them(workspace: Workspace, tmp_path: Path) -> None:
    """T7: another exchange's bars, or prices adjusted anew, are not spliced to what is there."""
    lines = bar_lines(60)
    run_import(workspace, write_lines(tmp_path / "a" / NAME, lines[:40]))
    other = write_lines(tmp_path / "b" / NAME, bar_lines(60, price=50))
    before = version(workspace)
    found = run_import(workspace, other)
    assert "39 of the 39 times that it shares with BTCUSDT differ" in str(found.files[0].error)
    assert found.files[0].reasons == {"differs from the stored bar": 39, "whole file refused": 21}
    assert version(workspace) == before
    assert run_import(workspace, other, prefer="old").rows_accepted == 21
    run_import(workspace, other, prefer="new")
    assert stored(workspace, "BTCUSDT")["open"].to_list() == [50.0 + i for i in range(60)]


def test_bars_that_only_add_columns_agree(workspace: Workspace, tmp_path: Path) -> None:
    """T7: 25 contradictions among 60 bars, of which the other 35 bring the number of trades."""
    lines = bar_lines(60)
    run_import(workspace, write_lines(tmp_path / "a" / NAME, lines))
    more = [f"{bar_line(START + i * HOUR, 50) if i < 25 else line},3" for i, line in enumerate(lines)]
    header = "timestamp,open,high,low,close,volume,trades"
    found = run_import(workspace, write_lines(tmp_path / "b" / NAME, more, header))
    assert (found.rows_accepted, found.rows_rejected) == (35, 25)


def test_a_few_contradictions_do_not_refuse_a_file(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(60)
    run_import(workspace, write_lines(tmp_path / "a" / NAME, lines[:40]))
    slips = [bar_line(START + i * HOUR, 50) if 3 <= i < 22 else line for i, line in enumerate(lines)]
    found = run_import(workspace, write_lines(tmp_path / "b" / NAME, slips))
    assert (found.rows_accepted, found.rows_rejected, found.duplicates) == (20, 19, 21)


def test_of_two_files_that_end_together_none_is_later(workspace: Workspace, tmp_path: Path) -> None:
    """T7: a difference between two files of one import is a conflict where neither goes on."""
    lines = bar_lines(10)
    first = write_lines(tmp_path / "a" / NAME, lines)
    second = write_lines(tmp_path / "b" / NAME, [*lines[:9], bar_line(START + 9 * HOUR, 77)])
    found = run_import(workspace, first, second)
    assert [file.corrections for file in found.files] == [0, 0]
    assert rejects(found) == [(11, "differs from the stored bar")]
    (file,) = run_import(workspace, second).files
    assert file.corrections == 1


def test_hours_from_the_open_and_full_hours_do_not_mix(workspace: Workspace, tmp_path: Path) -> None:
    """T2: the anchor of a symbol's intraday bars is one."""
    half = [bar_line(f"2024-01-0{day} {hour:02}:30") for day in (2, 3) for hour in range(9, 16)]
    full = [bar_line(f"2024-01-0{day} {hour:02}:00") for day in (4, 5) for hour in range(9, 16)]
    options = {"calendar": "XNYS", "timezone": "America/New_York"}
    run_import(workspace, write_lines(tmp_path / "a" / "SPY_1h.csv", half), **options)
    found = run_import(workspace, write_lines(tmp_path / "b" / "SPY_1h.csv", full), **options)
    assert "stored as counted from the session's open, these are from the full hour" in str(found.files[0].error)
    assert stored(workspace, "SPY").height == 14
    more = [line.replace("2024-01-03", "2024-01-04") for line in half[7:]]
    assert run_import(workspace, write_lines(tmp_path / "c" / "SPY_1h.csv", more), **options).rows_accepted == 7


def test_a_wrong_basis_can_be_named_anew_for_all_bars(workspace: Workspace, tmp_path: Path) -> None:
    """T5: --prefer new, with a file that holds every stored bar; else two bases would mix."""
    path = write_lines(tmp_path / "a" / "AAPL_1d.csv", bar_lines(14, step=DAY))
    part = write_lines(tmp_path / "b" / "AAPL_1d.csv", bar_lines(8, step=DAY))
    run_import(workspace, path)
    assert "--prefer new" in str(run_import(workspace, path, basis="total").files[0].error)
    refused = run_import(workspace, part, basis="total", prefer="new")
    assert "not all of its 1d bars are in this file" in str(refused.files[0].error)
    run_import(workspace, path, basis="total", prefer="new")
    with Store(workspace.store).read() as snapshot:
        assert snapshot.meta("bars")["symbols"]["AAPL"]["basis"] == "total"
    assert run_import(workspace, part, basis="total").duplicates == 8


def test_another_delay_is_said_to_be_one(workspace: Workspace, tmp_path: Path) -> None:
    path = write_lines(tmp_path / NAME, bar_lines(4))
    run_import(workspace, path)
    (workspace.configs / "features.yaml").write_text("bar_delay: {'BTC*': 2m}\n")
    assert "calendar 24x7, this import says 24x7 with a delay of 2 min" in str(
        run_import(workspace, path).files[0].error
    )
    run_import(workspace, path, prefer="new")
    rows = stored(workspace, "BTCUSDT")
    assert (rows["available_at"] - rows["timestamp"]).unique().to_list() == [HOUR + 120_000]


def test_two_imports_at_once_have_a_report_each(workspace: Workspace, tmp_path: Path) -> None:
    """Both wait for the store's lock within one second; neither takes the other's folder."""
    paths = [write_lines(tmp_path / f"{name}_1h.csv", bar_lines(4)) for name in ("AUSDT", "BUSDT", "CUSDT", "DUSDT")]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: run_import(workspace, path), paths))
    assert len({one.folder for one in found}) == 4
    assert [stored(workspace, name).height for name in ("AUSDT", "BUSDT", "CUSDT", "DUSDT")] == [4] * 4


def test_bars_of_two_symbols_do_not_touch(workspace: Workspace, tmp_path: Path) -> None:
    run_import(workspace, write_lines(tmp_path / NAME, bar_lines(4)))
    before = stored(workspace, "BTCUSDT")
    run_import(workspace, write_lines(tmp_path / "ETHUSDT_1h.csv", bar_lines(4, price=50)))
    assert stored(workspace, "BTCUSDT").equals(before)


def _fails(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("method", ["commit_manifest", "write_if_absent"])
def test_a_full_disk_leaves_nothing_half_written(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """One commit or none: neither bars nor a report of an import that never was."""
    run_import(workspace, write_lines(tmp_path / NAME, bar_lines(4)))
    before, reports, number = files_below(workspace.store), files_below(workspace.reports), version(workspace)
    path = write_lines(tmp_path / "b" / NAME, [*bar_lines(8), "x,1,2,1,1,1"])
    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, method, _fails)
        with pytest.raises((TftctlError, OSError), match=r"(?i)no space"):
            run_import(workspace, path)
    assert version(workspace) == number
    assert files_below(workspace.store) == before
    assert files_below(workspace.reports) == reports
    assert [p.name for p in (workspace.reports / "imports").iterdir()] == [p.split("/")[1] for p in list(reports)[:1]]
    assert run_import(workspace, path).rows_accepted == 4


def test_a_store_that_is_no_folder_is_one_line(workspace: Workspace, tmp_path: Path) -> None:
    workspace.store.write_text("a file")
    with pytest.raises((TftctlError, OSError)):
        run_import(workspace, write_lines(tmp_path / NAME, bar_lines(4)))
    assert workspace.store.read_text() == "a file"
    assert not workspace.reports.exists()


def test_reports_that_cannot_be_written_stop_the_import(workspace: Workspace, tmp_path: Path) -> None:
    workspace.reports.write_text("a file")
    path = write_lines(tmp_path / NAME, bar_lines(4))
    with pytest.raises(StoreError, match="cannot write the import report"):
        run_import(workspace, path)
    with Store(workspace.store).read() as snapshot:
        assert not snapshot.has("bars")


def test_two_imports_in_one_second_have_two_reports(workspace: Workspace, tmp_path: Path) -> None:
    path = write_lines(tmp_path / NAME, bar_lines(4))
    folders = {run_import(workspace, path).folder for _ in range(3)}
    assert len(folders) == 3


VALUES = st.dictionaries(st.integers(0, 6), st.integers(1, 3), min_size=1)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, VALUES, st.sets(st.integers(0, 6)), st.sampled_from([None, "new", "old"]))
def test_merging_against_dictionaries(
    old: dict[int, int], new: dict[int, int], ends: set[int], prefer: str | None
) -> None:
    """T7, by hand: what holds afterwards, and what is refused."""

    def frame(values: dict[int, int]) -> pl.DataFrame:
        stamps = sorted(values)
        return pl.DataFrame({"timestamp": stamps, "close": [float(values[stamp]) for stamp in stamps]}).with_columns(
            symbol=pl.lit("X"), period=pl.lit("1h"), available_at=pl.col("timestamp") + 1, ingested_at=pl.lit(9)
        )

    coming = frame(new).with_columns(
        pl.int_range(2, pl.len() + 2, dtype=pl.Int64).alias(LINE), pl.lit(None, pl.String).alias(REASON)
    )
    merged = merge_bars(frame(old), coming, sorted(ends), prefer)  # type: ignore[arg-type]
    expected, refused, corrected = dict(old), [], []
    for stamp, value in sorted(new.items()):
        if stamp not in old or old[stamp] == value:
            expected[stamp] = value
        elif stamp in ends:
            expected[stamp] = value
            corrected.append(stamp)
        elif prefer == "new":
            expected[stamp] = value
        else:
            refused.append(stamp)
    assert dict(merged.bars.select("timestamp", "close").iter_rows()) == expected
    assert merged.refused["timestamp"].to_list() == refused
    assert list(merged.corrections) == corrected
    assert merged.changed.height + merged.unchanged + merged.refused.height == len(new)
