"""The allowlist file: what a selection writes reads back, and a damaged one is never taken for one made by hand."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tftctl.core.errors import DataError
from tftctl.data.allowlist import Allowlist, Provenance, read_allowlist, write_allowlist

CUT = int(dt.datetime(2024, 3, 1, tzinfo=dt.UTC).timestamp() * 1000)
LAST = int(dt.datetime(2024, 2, 29, 20, tzinfo=dt.UTC).timestamp() * 1000)
MADE = Provenance(
    command="tftctl select run-pipeline --topk 3 # not all",
    snapshot=12,
    data="0123456789abcdef",
    cut=CUT,
    last_label_end=LAST,
    targets=("target_binarytrend", "target_logreturn"),
    periods=("1h", "4h"),
    made_at=CUT + 123,
    facts={"topk": "3", "method": "trees: lightgbm, permuted in blocks"},
)
NAMES = ("rsi", "atr_slope__4h", "macd_hist")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An allowlist as a selection writes it."""
    write_allowlist(tmp_path / "configs" / "selected_features.txt", NAMES, MADE)
    return tmp_path / "configs" / "selected_features.txt"


def replaced(path: Path, old: str, new: str) -> None:
    """Change the one place where a text stands."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_what_is_written_reads_back(path: Path) -> None:
    """Names in their order, times to the millisecond, values with colons, commas and '#'."""
    assert read_allowlist(path) == Allowlist(path, NAMES, MADE, edited=False)
    assert os.listdir(path.parent) == ["selected_features.txt"]


def test_a_reader_of_the_file_sees_what_it_is(path: Path) -> None:
    """The first line names maker and readers; times are ISO 8601 in UTC; names stand alone."""
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# Inputs chosen by tftctl select run-pipeline --topk 3")
    assert "tftctl train" in lines[0] and "tftctl prune" in lines[0]
    assert {"# cut: 2024-03-01T00:00:00Z", "# last_label_end: 2024-02-29T20:00:00Z", "# topk: 3"} < set(lines)
    assert lines[-3:] == list(NAMES)


def test_values_are_kept_on_one_line(path: Path) -> None:
    """A command with a line break in it cannot make a line of its own."""
    write_allowlist(
        path, NAMES, replace(MADE, command="tftctl select\n# cut: 1999-01-01\u2028x", facts={"a": "b\r\nc"})
    )
    found = read_allowlist(path)
    assert found is not None and found.provenance is not None
    assert found.provenance.command == "tftctl select # cut: 1999-01-01 x"
    assert (found.provenance.facts, found.provenance.cut) == ({"a": "b c"}, CUT)


def test_a_failed_write_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the folder is as before."""
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_allowlist(path, ["other"], MADE)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("names", "facts", "error"),
    [
        ((), {}, DataError),
        (("rsi", "rsi"), {}, ValueError),
        (("rsi atr",), {}, ValueError),
        (("#rsi",), {}, ValueError),
        (("rsi",), {"cut": "2024"}, ValueError),
        (("rsi",), {"Top K": "3"}, ValueError),
    ],
)
def test_what_would_not_read_back_is_not_written(
    path: Path, names: tuple[str, ...], facts: dict[str, str], error: type[Exception]
) -> None:
    """The file that is there stays."""
    before = path.read_bytes()
    with pytest.raises(error):
        write_allowlist(path, names, replace(MADE, facts=facts))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"# cut 2021-01-01\nrsi\nlog_return # why\n\n",
        b"rsi\r\nlog_return\r\n",
        b"rsi\rlog_return\r",
        b"\xef\xbb\xbfrsi\nlog_return",
        b"# mine: the two that I like\n  rsi\n\tlog_return  ",
        "rsi # é\nlog_return".encode(),
    ],
)
def test_lists_made_by_hand(tmp_path: Path, content: bytes) -> None:
    """Comments, line ends of any system, a byte order mark, no line end at the end."""
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    assert read_allowlist(path) == Allowlist(path, ("rsi", "log_return"), None)
    assert read_allowlist(tmp_path / "none.txt") is None


def test_a_header_survives_what_editors_do(path: Path) -> None:
    """A byte order mark and CRLF."""
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_allowlist(path) == Allowlist(path, NAMES, MADE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rsi\natr\nrsi\n", "line 3: 'rsi' stands in line 1 already"),
        (b"", "lists no input"),
        (b"# nothing\n\n", "lists no input"),
        (b"rsi\n\xff\xfeatr\n", "line 2: this is no UTF-8"),
    ],
)
def test_lists_that_cannot_be(tmp_path: Path, content: bytes, message: str) -> None:
    """One clear line with the place."""
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_allowlist(tmp_path / "mine.txt")
    assert "mine.txt" in caught.value.message and "\n" not in caught.value.message and caught.value.hint


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").mkdir()
    with pytest.raises(DataError, match=r"list\.txt"):
        read_allowlist(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2024-02-29T20:00:00Z", "soon", r"line 6: .*last_label_end is 'soon'"),
        ("2024-03-01T00:00:00Z\n", "2024-13-01\n", r"line 5: .*cut is '2024-13-01'"),
        ("# snapshot: 12", "# snapshot: twelve", r"line 3: .*snapshot is 'twelve'"),
        ("# last_label_end: 2024-02-29T20:00:00Z\n", "", "there is no '# last_label_end"),
        ("# snapshot: 12\n", "# snapshot:\n", "snapshot is ''"),
        ("# data: ", "# dat: ", "there is no '# data"),
        ("# topk: 3", "# snapshot: 3", r"line 10: .*'snapshot' stands in line 3 already"),
        ("# Inputs chosen by", "rsi_6\n# Inputs chosen by", "above the first name there is no '# command"),
    ],
)
def test_a_damaged_header_is_an_error(path: Path, old: str, new: str, message: str) -> None:
    """Never a list made by hand: it would lose which labels the selection has read (A4)."""
    replaced(path, old, new)
    with pytest.raises(DataError, match=message) as caught:
        read_allowlist(path)
    assert str(path) in caught.value.message and "tftctl select run-pipeline" in caught.value.hint


def test_a_header_without_its_first_line_is_still_one(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    found = read_allowlist(path)
    assert found is not None and found.provenance == MADE


def test_names_edited_by_hand_are_noticed(path: Path) -> None:
    """What was read stays known; another order or a comment is no edit, another name is one."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-3], "# mine", *reversed(lines[-3:])]))
    found = read_allowlist(path)
    assert found is not None and not found.edited
    path.write_text("\n".join([*lines, "obv_zscore"]))
    found = read_allowlist(path)
    assert found is not None and found.edited
    assert (found.names, found.provenance) == ((*NAMES, "obv_zscore"), MADE)
