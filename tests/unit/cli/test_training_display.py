"""The display of a running training: a panel on a terminal, lines elsewhere, and a clean end."""

from __future__ import annotations

import io
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import Any

import pytest
from rich.console import Console

from tftctl.cli.training_display import REDRAW_SECONDS, training_display
from tftctl.cli.training_panel import duration, panel
from tftctl.cli.training_state import TrainingState
from tftctl.core.progress import TrainingStatus

NAN = math.nan
LONG = "target_return_outlier_lower_10"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 100 columns; pytest puts its own stderr in place after fixtures, so tests redirect to it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def status(
    phase: Any, epoch: int = 0, done: int = 1, values: Mapping[str, Any] | None = None, **other: Any
) -> TrainingStatus:
    stages = 2 if other.get("stage", "stage_1") != "stage_1" else 1
    known = {"stage": "stage_1", "stages": stages, "epochs": 3, "total": 10, "lr": 0.001, "windows_per_second": 1234.5}
    known["remaining_seconds"] = 125.0
    return TrainingStatus(phase=phase, epoch=epoch, done=done, values=values or {}, **(known | other))


def ended(epoch: int, train: float, loss: float, composite: Any, **other: Any) -> TrainingStatus:
    """The end of an epoch, with the row of metrics.jsonl."""
    row = {"epoch": epoch, "stage": "stage_1", "train_loss": train, "val_loss": loss, "val_composite_score": composite}
    row |= {f"train_{LONG}_loss": train / 2, f"train_{LONG}_loss_weighted": 99.0, f"val_{LONG}_loss": loss / 2}
    return status("epoch", epoch, 10, row, **other)


def seen(*statuses: TrainingStatus) -> TrainingState:
    state = TrainingState()
    for place, item in enumerate(statuses):
        state.see(item, 100.0 + 30 * place)
    return state


def drawn(state: TrainingState, width: int = 100, **options: Any) -> list[str]:
    """Lines of the panel, without colour."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None, **options)
    console.print(panel(state, width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def words(lines: list[str]) -> str:
    """The text with single blanks, without the frame."""
    return " ".join(re.sub(r"[│╭╮╰╯─━╸╺]", " ", "\n".join(lines)).split())


def test_a_file_gets_one_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with training_display() as (watch, say):
        say("run runs/train-1")
        for done in range(1, 11):
            watch(status("train", 0, done))
        watch(status("validation", 0))
        watch(ended(0, 0.69314, 0.70118, 0.5))
        watch(ended(1, 0.6, NAN, None))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "run runs/train-1\n"
        "epoch 1/3  train_loss 0.6931  val_loss 0.7012  composite 0.5000  0 s\n"
        "epoch 2/3  train_loss 0.6000  val_loss nan  composite nan  0 s\n"
    )


def test_lines_name_the_stage_when_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    with training_display() as (watch, _):
        watch(ended(0, 1.0, 1.0, 0.5, stage="warm"))
        watch(ended(1, 1.0, 1.0, 0.5, stage="focus"))
        watch(ended(2, 1.0, 1.0, 0.5, stage="focus"))
    stages = [line.split("  ")[1] for line in capsys.readouterr().err.splitlines()]
    assert stages == ["warm", "focus", "focus"]


@pytest.mark.parametrize("term", ["dumb", "unknown", "DUMB"])
def test_a_terminal_without_a_cursor_gets_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    with redirect_stderr(terminal), training_display() as (watch, _):
        watch(status("train"))
        watch(ended(0, 1.0, 1.0, 0.5))
    assert terminal.getvalue() == "epoch 1/3  train_loss 1.0000  val_loss 1.0000  composite 0.5000  0 s\n"


def test_the_time_of_a_line_is_that_since_the_first_step() -> None:
    state = seen(status("train"), status("validation"), ended(0, 1.0, 1.0, 0.5), status("train", 1), ended(1, 1, 1, 1))
    assert state.line().endswith("  120 s")
    assert [row.seconds for row in state.rows] == [60.0, 120.0]


def test_the_panel_says_where_the_training_stands() -> None:
    lines = drawn(seen(status("train", 1, 4, {"train_loss": 0.5, f"train_{LONG}_loss": 0.25})))
    assert words(lines) == (
        "training, stage_1 epoch 2/3 step 4/10 lr 0.001 1,234 windows/s elapsed 0 s ETA 2:05 "
        "loss train val return_outlier_lower_10 0.2500"
    )


def test_the_panel_shows_the_best_so_far_and_the_last_epochs() -> None:
    state = seen(ended(0, 0.9, 0.8, 0.5), ended(1, 0.7, 0.6, 0.6), ended(2, 0.5, 0.7, 0.55))
    text = words(drawn(state))
    assert "val_loss 0.7000 (best 0.6000, epoch 2) composite 0.5500 (best 0.6000, epoch 2)" in text
    assert f"{LONG.removeprefix('target_')} 0.2500 0.3500" in text
    assert text.endswith(
        "epoch train_loss val_loss composite time 1 0.9000 0.8000 0.5000 0 s "
        "2* 0.7000 0.6000 0.6000 30 s 3 0.5000 0.7000 0.5500 1:00"
    )
    assert "99" not in text


def test_only_the_last_five_epochs_are_kept() -> None:
    state = seen(*(ended(epoch, 1.0, 1.0, 0.9 if epoch == 1 else 0.5, epochs=40) for epoch in range(12)))
    assert [row.epoch for row in state.rows] == [7, 8, 9, 10, 11]
    assert "(best 0.9000, epoch 2)" in words(drawn(state))


def test_undefined_values_are_never_the_best() -> None:
    state = seen(ended(0, NAN, NAN, None), ended(1, 0.5, 0.4, 0.3), ended(2, math.inf, math.inf, NAN))
    assert state.best_loss is not None and state.best_composite is not None
    assert (state.best_loss.epoch, state.best_composite.epoch) == (1, 1)
    assert "val_loss inf (best 0.4000, epoch 2)" in words(drawn(state))


def test_what_is_not_known_yet_is_not_shown() -> None:
    text = words(drawn(seen(status("train", windows_per_second=NAN, remaining_seconds=NAN, lr=NAN, total=0))))
    assert text == "training, stage_1 epoch 1/3 step 1/0 elapsed 0 s"


def test_what_is_over_has_no_pace_and_no_end() -> None:
    state = seen(status("train"))
    state.over = True
    assert "ETA" not in words(drawn(state)) and "windows/s" not in words(drawn(state))


@pytest.mark.parametrize("width", [24, 40, 41, 55, 56, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_numbers_stay_whole(width: int) -> None:
    state = seen(
        status("train", values={f"train_target_{name}_loss": 0.1234 for name in ("a", "b" * 40)}),
        ended(0, 0.4321, 0.5678, 0.6789, stage="warm"),
        ended(1, 12.5, 0.5, 0.7, stage="a_stage_of_a_rather_long_name"),
    )
    lines = drawn(state, width)
    assert max(map(len, lines)) <= width
    if width >= 40:
        for number in ("0.1234", "0.4321", "0.5678", "0.6789", "12.5000", "0.7000"):
            assert any(number in line for line in lines)


def test_no_colour_is_no_colour(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with redirect_stderr(terminal), training_display() as (watch, _):
        watch(ended(0, 1.0, 1.0, 0.5))
    styles = re.findall(r"\x1b\[([\d;]*)m", terminal.getvalue())
    assert not [style for style in styles if re.search(r"(^|;)(3[0-8]|4[0-8]|9\d)(;|$)", style)]


def test_said_lines_stand_above_the_panel_and_results_do_not_pass_through(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "[bold]a line[/bold] that is longer than any terminal " + "x" * 200
    with redirect_stderr(terminal), training_display() as (watch, say):
        watch(status("train"))
        say(long)
        sys.stdout.write("result\n")
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    assert long + "\n" in text
    assert text.rindex("training, stage_1") > text.index(long)
    assert capsys.readouterr().out == "result\n"


def test_it_is_drawn_at_most_eight_times_a_second(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("tftctl.cli.training_display.time.monotonic", lambda: clock[0])
    with redirect_stderr(terminal), training_display() as (watch, _):
        for _step in range(1000):
            watch(status("train"))
            clock[0] += 0.01
        count = terminal.getvalue().count("training, stage_1")
    assert 10 / REDRAW_SECONDS * 0.9 <= count <= 10 / REDRAW_SECONDS + 1


def test_the_end_of_an_epoch_is_always_drawn(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tftctl.cli.training_display.time.monotonic", lambda: 1000.0)
    with redirect_stderr(terminal), training_display() as (watch, _):
        watch(status("train"))
        watch(ended(0, 0.4321, 1.0, 0.5))
        assert "0.4321" in terminal.getvalue()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_cursor_and_the_last_panel(terminal: Terminal, error: type[BaseException]) -> None:
    with pytest.raises(error), redirect_stderr(terminal), training_display() as (watch, _):
        watch(ended(0, 0.4321, 1.0, 0.5))
        assert sys.stderr is not terminal  # what others write there stands above the panel
        raise error
    last = terminal.getvalue().split("╭")[-1]
    assert "0.4321" in last and "ETA" not in last
    assert terminal.getvalue().count("\x1b[?25h") == terminal.getvalue().count("\x1b[?25l") == 1


def test_nothing_is_drawn_where_nothing_happened(terminal: Terminal) -> None:
    with redirect_stderr(terminal), training_display() as (_, say):
        say("error before the first step")
    assert "training" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1:00"), (3661, "1:01:01"), (90_061, "1 d 1:01:01"), (-3, "0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


ENDLESS = """
import time
from tftctl.cli.training_display import training_display
from tftctl.core.progress import TrainingStatus
with training_display() as (watch, say):
    say("begun")
    for step in range(100_000):
        watch(TrainingStatus("train", "stage_1", 1, 0, 3, step, 100_000, 0.1, {"train_loss": 0.5}, 10.0, 60.0))
        time.sleep(0.01)
"""


def test_ctrl_c_ends_it_cleanly_on_a_real_terminal() -> None:
    """The cursor comes back, the panel stays, and the traceback is below it."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS], stdin=follower, stdout=follower, stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "60", "LINES": "24"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    os.close(follower)
    shown, interrupted, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                shown += os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
        if not interrupted and shown.count(b"training, stage_1") >= 3:
            process.send_signal(signal.SIGINT)
            interrupted = True
    os.close(leader)
    assert process.wait(timeout=30) in (1, 130, -signal.SIGINT)
    assert shown.count(b"\x1b[?25h") == shown.count(b"\x1b[?25l") == 1
    text = re.sub(rb"\x1b\[[\d;?]*[a-zA-Z]", b"", shown).decode()
    assert text.index("begun") < text.index("training, stage_1") < text.rindex("╰") < text.index("KeyboardInterrupt")
