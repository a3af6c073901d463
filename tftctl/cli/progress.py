"""Progress on stderr, only where it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tftctl.core.progress import Report, silent


@contextmanager
def progress_bar() -> Iterator[Report]:
    """Yield a Report that draws one bar per `what` on a terminal until it is done, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    endless: set[str] = set()
    # stdout may be a pipe while stderr is a terminal: results must not pass through the bar's console
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:

        def end(what: str) -> None:
            endless.discard(what)
            progress.remove_task(tasks.pop(what))

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for other in list(endless):
                    end(other)
                tasks[what] = progress.add_task(what, total=total or None)
            if not total:
                endless.add(what)
            progress.update(tasks[what], completed=done)
            if total and done >= total:
                end(what)

        yield report
