"""Progress bars: gone when done, on stderr alone."""

from __future__ import annotations

import io
import sys

import pytest

from tftctl.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_finished_bar_does_not_stay_for_the_rest_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar() as report:
        bar = report.__closure__
        assert bar is not None
        (progress,) = [cell.cell_contents for cell in bar if type(cell.cell_contents).__name__ == "Progress"]
        report("features", 1, 2)
        assert [task.description for task in progress.tasks] == ["features"]
        report("features", 2, 2)
        assert progress.tasks == []
        report("fetching", 5, 0)
        report("fetching", 6, 0)
        assert [(task.description, task.completed, task.total) for task in progress.tasks] == [("fetching", 6, None)]
        report("targets", 0, 3)
        assert [task.description for task in progress.tasks] == ["targets"]


def test_results_do_not_pass_through_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """stdout may be a pipe while stderr is a terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_bar() as report:
        report("features", 0, 2)
        sys.stdout.write("result\n")
    assert capsys.readouterr().out == "result\n"
    assert "result" not in terminal.getvalue()


def test_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as report:
        report("features", 1, 2)
    assert capsys.readouterr() == ("", "")
