"""From files of any shape to rows with line numbers; what cannot be read is one line of DataError."""

from __future__ import annotations

import gzip
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from ingest_world import HEADER, HOUR, START, bar_line, bar_lines, rejects, run_import, stored, write_lines

from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace
from tftctl.ingest.reading import LINE, RAGGED, parse_text, read_tables

LINES = bar_lines(6)


def only(path: Path) -> pl.DataFrame:
    """The rows of a file's single table."""
    (table,) = read_tables(path)
    return table.rows


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_four_delimiters(mark: str) -> None:
    rows = parse_text("x", "\n".join([HEADER, *LINES]).replace(",", mark)).rows
    assert rows.columns == [*HEADER.split(","), LINE, RAGGED]
    assert rows["timestamp"].to_list() == [str(START + i * HOUR) for i in range(6)]
    assert rows[LINE].to_list() == list(range(2, 8))
    assert not rows[RAGGED].any()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
def test_byte_order_marks_and_line_ends(tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / "BTCUSDT_1h.csv"
    path.write_bytes((mark + end.join([HEADER, *LINES]) + end).encode())
    rows = only(path)
    assert rows.columns[0] == "timestamp"
    assert rows["volume"].to_list() == ["5.0"] * 6


def test_comments_on_top_and_blank_lines_keep_the_line_numbers() -> None:
    text = "\n".join(
        ["Made by www.example.com", "all times are UTC, of course", "", HEADER, *LINES[:3], "", *LINES[3:]]
    )
    assert parse_text("x", text).rows[LINE].to_list() == [5, 6, 7, 9, 10, 11]


def test_quoted_fields_hold_delimiters() -> None:
    text = 'Date,Open,High,Low,Price,Vol.\n"Apr 14, 2019","5,052.0","5,153.5","5,010.7","5,134.8","566.38K"\n'
    rows = parse_text("x", text).rows
    assert rows.row(0)[:6] == ("Apr 14, 2019", "5,052.0", "5,153.5", "5,010.7", "5,134.8", "566.38K")
    assert not rows[RAGGED].any()


def test_the_exchange_s_twelve_columns_have_no_header(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{START + i * HOUR},1,3,0.5,2,{i},{START + (i + 1) * HOUR - 1},9,4,5,6,0" for i in range(3)]
    path = write_lines(tmp_path / "BTCUSDT-1h-2024-01.csv", lines, None)
    assert run_import(workspace, path).rows_accepted == 3
    row = stored(workspace, "BTCUSDT").row(2, named=True)
    assert {key: row[key] for key in ("close", "volume", "quote_volume", "trades")} == {
        "close": 2,
        "volume": 2,
        "quote_volume": 9,
        "trades": 4,
    }
    assert (row["taker_buy_volume"], row["taker_buy_quote_volume"]) == (5, 6)


def test_six_columns_without_a_header() -> None:
    table = parse_text("x", "\n".join(LINES))
    assert table.rows.columns[:6] == HEADER.split(",")
    assert table.rows[LINE].to_list() == list(range(1, 7))
    assert not table.lean


def test_other_widths_without_a_header_are_refused() -> None:
    with pytest.raises(DataError, match="no header and 7 columns"):
        parse_text("x", "\n".join(line + ",1" for line in LINES))


@pytest.mark.parametrize("spoil", [lambda x: x + ",7", lambda x: x.rpartition(",")[0]], ids=["long", "short"])
def test_a_ragged_first_line_says_nothing_of_the_others(
    workspace: Workspace, tmp_path: Path, spoil: Callable[[str], str]
) -> None:
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", [spoil(LINES[0]), *LINES[1:]]))
    assert rejects(found) == [(2, "wrong number of fields")]
    assert stored(workspace, "BTCUSDT")["volume"].to_list() == [5.0] * 5


def test_ragged_lines_are_refused_with_their_number(workspace: Workspace, tmp_path: Path) -> None:
    lines = [*LINES]
    lines[1] += ",7"
    lines[3] = lines[3].rpartition(",")[0]
    lines[4] += ","
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))
    assert rejects(found) == [(3, "wrong number of fields"), (5, "wrong number of fields")]
    assert found.rows_accepted == 4


def test_compressed_text_is_text(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_1h.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *LINES]).encode()))
    assert only(path).equals(only(write_lines(tmp_path / "b.csv", LINES)))


def test_a_zip_with_several_members(workspace: Workspace, tmp_path: Path) -> None:
    """Two months of one symbol in one zip; what is no table is left alone."""
    path = tmp_path / "BTCUSDT-1h.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-1h-2024-01.csv", "\n".join([HEADER, *LINES[:4]]))
        archive.writestr("BTCUSDT-1h-2024-02.csv", "\n".join([HEADER, *LINES[4:]]))
        archive.writestr("README.md", "nothing")
    found = run_import(workspace, path)
    assert (len(found.files), found.rows_accepted) == (2, 6)
    assert stored(workspace, "BTCUSDT").height == 6


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"timestamp": [START], "open": [1.5]}).write_parquet(path)
    assert only(path).schema["open"] == pl.Float64
    assert only(path)[LINE].to_list() == [1]


def test_a_trusted_pickle_with_a_time_index(workspace: Workspace, tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=4, freq="h", tz="UTC", name="date")
    frame = pd.DataFrame({"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3}, index=times)
    path = tmp_path / "BTCUSDT_1h.pkl"
    frame.to_pickle(path)
    assert run_import(workspace, path, trust_pickle=True).rows_accepted == 4
    assert stored(workspace, "BTCUSDT")["timestamp"].to_list() == [START + i * HOUR for i in range(4)]


class Bomb:
    """What an evil pickle does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_a_pickle_is_not_read_without_trust(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_1h.pkl"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    with pytest.raises(DataError, match="runs code") as caught:
        run_import(workspace, path)
    assert "--trust-pickle" in caught.value.hint
    assert not (tmp_path / "executed").exists()


def _cut(make: Callable[[Path], None], path: Path) -> None:
    make(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _gz(path: Path) -> None:
    path.write_bytes(gzip.compress("\n".join([HEADER, *LINES]).encode()))


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "\n".join([HEADER, *LINES]))


def _zip_with_a_wrong_byte(path: Path) -> None:
    _zip(path)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)


def _locked_zip(path: Path) -> None:
    _zip(path)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


DAMAGED: dict[str, Callable[[Path], object]] = {
    "cut.csv.gz": lambda p: _cut(_gz, p),
    "text.csv.gz": lambda p: p.write_text("plain text"),
    "empty.csv.gz": lambda p: p.write_bytes(b""),
    "cut.zip": lambda p: _cut(_zip, p),
    "byte.zip": _zip_with_a_wrong_byte,
    "password.zip": _locked_zip,
    "text.zip": lambda p: p.write_text("plain text"),
    "empty.zip": lambda p: zipfile.ZipFile(p, "w").close(),
    "cut.parquet": lambda p: _cut(lambda q: pl.DataFrame({"timestamp": [1]}).write_parquet(q), p),
    "text.parquet": lambda p: p.write_text("plain text"),
    "none.parquet": lambda p: p.write_bytes(b""),
    "rowless.parquet": lambda p: pl.DataFrame({"timestamp": []}).write_parquet(p),
    "cut.pkl": lambda p: _cut(lambda q: pd.DataFrame({"a": range(50)}).to_pickle(q), p),
    "objects.pkl": lambda p: pd.DataFrame({"a": [1, "x", {2}]}).to_pickle(p),
    "twins.pkl": lambda p: pd.DataFrame([[1, 2]], columns=["a", "a"]).to_pickle(p),
    "list.pkl": lambda p: p.write_bytes(pickle.dumps([1, 2])),
    "empty.csv": lambda p: p.write_text(""),
    "blank.csv": lambda p: p.write_text("\n \n\n"),
    "header.csv": lambda p: p.write_text(HEADER + "\n"),
    "latin.csv": lambda p: p.write_bytes(HEADER.encode() + "\nétat".encode("latin-1")),
    "binary.csv": lambda p: p.write_bytes(bytes(range(256)) * 9),
    "nul.csv": lambda p: p.write_bytes(b"\0" * 500),
    "colons.csv": lambda p: p.write_text("\n".join([HEADER, *LINES]).replace(",", ":")),
    "words.csv": lambda p: p.write_text("there is\nnothing here\n"),
    "huge_field.csv": lambda p: p.write_text(HEADER + "\n" + '"' + "x" * 200_000 + '",1,2,3,4,5\n'),
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_what_cannot_be_read_is_one_line(workspace: Workspace, tmp_path: Path, name: str) -> None:
    path = tmp_path / "files" / name
    path.parent.mkdir()
    DAMAGED[name](path)
    with pytest.raises(DataError) as caught:
        run_import(workspace, path, symbol="X", period="1h", trust_pickle=True)
    assert "\n" not in caught.value.message + caught.value.hint
    assert name in caught.value.message, caught.value.message
    assert not workspace.reports.exists()


def test_a_damaged_file_does_not_keep_the_others_out(workspace: Workspace, tmp_path: Path) -> None:
    good = write_lines(tmp_path / "in" / "BTCUSDT_1h.csv", LINES)
    (tmp_path / "in" / "ETHUSDT_1h.parquet").write_text("plain text")
    found = run_import(workspace, tmp_path / "in")
    assert found.rows_accepted == 6
    assert [file.error is None for file in found.files] == [True, False]
    assert found.files[0].path == str(good)


@pytest.mark.parametrize("name", ["absent.csv", "absent*.csv"])
def test_a_path_that_is_not_there(workspace: Workspace, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="absent"):
        run_import(workspace, tmp_path / name)


def test_a_folder_is_searched_through_and_patterns_are_understood(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("a/1h/BTCUSDT.csv", "a/b/ETHUSDT_1h.csv", "a/.hidden_1h.csv", "a/.trash/XUSDT_1h.csv", "a/notes.md"):
        write_lines(tmp_path / name, LINES)
    both = run_import(workspace, tmp_path / "a")
    assert [file.symbol for file in both.files] == ["BTCUSDT", "ETHUSDT"]
    again = run_import(workspace, tmp_path / "a", tmp_path / "a" / "*" / "*.csv", tmp_path / "a/1h/BTCUSDT.csv")
    assert (len(again.files), again.rows_accepted, again.duplicates) == (2, 0, 12)
    with pytest.raises(DataError, match="holds no file"):
        (tmp_path / "void").mkdir()
        run_import(workspace, tmp_path / "void")


def test_capital_suffixes_are_suffixes(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_1h.CSV"
    write_lines(path, LINES)
    assert run_import(workspace, path).rows_accepted == 6
    packed = tmp_path / "ETHUSDT_1h.ZIP"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.CSV", "\n".join([HEADER, *LINES]))
    assert run_import(workspace, packed).rows_accepted == 6


def test_many_short_lines_and_one_value_line() -> None:
    assert parse_text("x", HEADER + "\n" + bar_line(START)).rows.height == 1
