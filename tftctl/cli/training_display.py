"""A training as it runs: a live panel on a terminal, one line per epoch elsewhere. All of it on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tftctl.cli.output import say
from tftctl.cli.training_state import TrainingState
from tftctl.core.progress import Report, Say, TrainingStatus, Watch

REDRAW_SECONDS = 1 / 8


@contextmanager
def training_display() -> Iterator[tuple[Watch, Say]]:
    """Yield a Watch that shows where the training stands, and a Say whose lines stand above it.

    The last panel stays when the training ends, fails or is interrupted. A terminal that cannot move its cursor
    (TERM=dumb) is treated like a file.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        yield _lines(), say
        return
    with _live() as shown:
        yield shown


def reported(report: Report) -> Watch:
    """A Watch that draws into bars that are there already; epochs are lines."""
    lines = _lines()

    def watch(status: TrainingStatus) -> None:
        if status.phase != "epoch":
            what = f"{'epoch' if status.phase == 'train' else 'validation'} {status.epoch + 1}/{status.epochs}"
            report(what, status.done, status.total)
        lines(status)

    return watch


def _lines() -> Watch:
    """One line per epoch, nothing per step."""
    state = TrainingState()

    def watch(status: TrainingStatus) -> None:
        state.see(status, time.monotonic())
        if status.phase == "epoch":
            say(state.line())

    return watch


@contextmanager
def _live() -> Iterator[tuple[Watch, Say]]:
    from rich.console import Console
    from rich.live import Live

    from tftctl.cli.training_panel import panel

    state, drawn = TrainingState(), 0.0
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    # stdout may be a pipe while stderr is a terminal: results must not pass through this console
    live = Live(console=console, auto_refresh=False, redirect_stdout=False)

    def watch(status: TrainingStatus) -> None:
        nonlocal drawn
        now = time.monotonic()
        state.see(status, now)
        if now - drawn >= REDRAW_SECONDS or status.phase == "epoch":
            drawn = now
            live.update(panel(state, console.width), refresh=True)

    def tell(text: str) -> None:
        console.print(text, soft_wrap=True)

    with live:
        try:
            yield watch, tell
        finally:
            state.over = True
            if state.status is not None:
                live.update(panel(state, console.width), refresh=True)
