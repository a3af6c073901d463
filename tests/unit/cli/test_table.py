"""Tables on a terminal of 80 columns, and in a pipe: nothing is cut off, numbers stay whole."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence

import pytest

from tftctl.cli.table import cell, plain, print_table

WIDTH = 80
BARS = ("symbol", "period", "rows", "first", "last", "gaps", "missing", "zero_volume", "calendar")
BAR_ROW = ("DOGEUSDT", "4h", 12_500, "2018-04-17T04:00:00Z", "2023-12-31T20:00:00Z", 7, 9, 0, "24x7")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TERM", "dumb")


def shown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines on a terminal of 80 columns."""
    with contextlib.redirect_stdout(Terminal()) as stream:
        print_table(columns, rows)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert max(map(len, lines)) <= WIDTH
    return lines


def test_a_pipe_gets_every_digit_and_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "value"), [("a\nb", 0.1 + 0.2), ("c", 1_234_567), ("d", None), ("e", [1, 2]), ("f", {"k": 3})])
    assert capsys.readouterr().out == ("name\tvalue\na b\t0.30000000000000004\nc\t1234567\nd\t\ne\t1, 2\nf\tk 3\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_234_567, "1,234,567"),
        (42_283.58, "42,283.58"),
        (-0.00012344, "-0.0001234"),
        (123.456789, "123.4568"),
        (1.0, "1"),
        (-1.38282, "-1.3828"),
        (1e18, "1e+18"),
        ("0.12973444536328316", "0.1297"),
        ("0.5", "0.5"),
        (True, "yes"),
        ("2024-01-31T12:30:00Z", "2024-01-31 12:30"),
        ("2024-01-31T12:30:00.000Z", "2024-01-31 12:30"),
        ("2024-01-31T12:30:05Z", "2024-01-31T12:30:05Z"),
        (["rsi", "macd"], "rsi, macd"),
    ],
)
def test_cells_for_people(value: object, text: str) -> None:
    assert cell(value) == text


def test_numbers_are_whole_in_a_pipe() -> None:
    assert plain(42_283.58123456789) == "42283.58123456789"


def test_a_wide_table_folds_dates_and_keeps_names_and_numbers(width: None) -> None:
    text = "\n".join(shown(BARS, [BAR_ROW]))
    for whole in ("DOGEUSDT", "12,500", "2018-04-17", "04:00", "2023-12-31", "missing", "24x7"):
        assert whole in text
    assert "…" not in text


def test_names_with_one_beginning_stay_different(width: None) -> None:
    """At 80 columns both were once `target_lo…`."""
    names = ["target_logreturn", "target_logsharpe_ratio"]
    columns = ("target", "period", "origins", "metric", "tft", "mean", "persistence")
    text = "\n".join(shown(columns, [(name, "1h", 12_534, "spearman", -0.002642, 0.001171, -0.0338) for name in names]))
    assert all(name in text for name in names)


def test_few_rows_of_many_columns_are_turned(width: None) -> None:
    """`select * from fused limit 5` was once a grid without a single character in it."""
    columns = [f"feature_number_{place}" for place in range(79)]
    lines = shown(columns, [[place / 7 for place in range(79)], list(range(79))])
    assert len(lines) == 79
    assert lines[14].split() == ["feature_number_14", "2", "14"]


def test_many_rows_of_many_columns_are_blocks(width: None) -> None:
    columns = [f"feature_number_{place}" for place in range(40)]
    lines = shown(columns, [[f"value_{row}_{place}" for place in range(40)] for row in range(9)])
    assert len(lines) == 9 * 40 + 8
    assert lines[41 * 3].split() == ["feature_number_0", "value_3_0"]


def test_long_paths_break_at_a_slash(width: None) -> None:
    path = "/a/rather/long/way/down/to/the/bars/of/one/single/market/1d/DOGEUSDT.parquet"
    lines = shown(("path", *BARS[:3], "rows_accepted", "rows_rejected", "duplicates"), [(path, *BAR_ROW[:3], 1, 2, 3)])
    first = [line[: line.find(" ")] if " " in line else line for line in lines[2:]]
    assert "".join(first) == path
    assert all(part.endswith("/") for part in first[:-1])


def test_square_brackets_are_text(width: None) -> None:
    lines = shown(("key", "value"), [("inputs", "[bold]close[/bold]")])
    assert "[bold]close[/bold]" in "\n".join(lines)
