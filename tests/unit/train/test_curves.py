"""Reading metrics.jsonl, also what a killed process left, and choosing the best epoch."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tftctl.core.errors import TftctlWarning
from tftctl.train.curves import best_row, best_value, number, read_rows
from tftctl.train.rundir import Run

LINES = [json.dumps({"epoch": epoch, "val_loss": 1.0 / (epoch + 1)}) for epoch in range(3)]


def written(root: Path, text: str) -> Run:
    (root / "metrics.jsonl").write_bytes(text.encode())
    return Run(root)


def test_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "\n".join(LINES) + "\n"))
    assert [(row["epoch"], row["val_loss"]) for row in rows] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


@pytest.mark.parametrize("size", range(1, len(LINES[2])))
def test_a_last_line_that_was_cut_anywhere_is_left_out(tmp_path: Path, size: int) -> None:
    """`kill -9` in the middle of a write: the finished epochs are there, without a word."""
    rows = read_rows(written(tmp_path, "\n".join([*LINES[:2], LINES[2][:size]])))
    assert [row["epoch"] for row in rows] == [0, 1]


def test_a_damaged_line_in_the_middle_is_told(tmp_path: Path) -> None:
    with pytest.warns(TftctlWarning, match=r"metrics\.jsonl: not readable, left out: line 2, 3"):
        rows = read_rows(written(tmp_path, "\n".join([LINES[0], '{"epoch": 1, "val', "[1, 2]", LINES[2], ""])))
    assert [row["epoch"] for row in rows] == [0, 2]


def test_a_run_without_a_finished_epoch_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(Run(tmp_path)) == []
    assert read_rows(written(tmp_path, "")) == []


@pytest.mark.parametrize(("mode", "epoch"), [("max", 1), ("min", 3)])
def test_the_best_epoch_is_the_first_of_equal_ones(mode: str, epoch: int) -> None:
    values = [2.0, 5.0, 5.0, 1.0, 1.0, None, math.nan, math.inf]
    rows = [{"epoch": place, "score": value} for place, value in enumerate(values)]
    assert best_row(rows, "score", mode)["epoch"] == epoch
    assert best_value(rows, "score", mode) == values[epoch]


def test_nothing_is_best_where_the_value_is_never_defined() -> None:
    rows = [{"epoch": 0, "score": None}, {"epoch": 1}, {"epoch": 2, "score": math.nan}, {"epoch": 3, "score": "high"}]
    assert best_row(rows, "score", "max") == {}
    assert best_value(rows, "score", "min") is None


@pytest.mark.parametrize("value", [None, True, "1", math.nan, math.inf, -math.inf, [1.0]])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize("value", [0, -1.5, 3])
def test_a_finite_number_is_itself(value: float) -> None:
    assert number(value) == value
