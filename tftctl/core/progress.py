"""How a service tells of its progress without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

# (what, done, total): called as work advances; total is 0 where nobody knows it
Report = Callable[[str, int, int], None]
# a line for whoever runs the job
Say = Callable[[str], None]


def silent(what: str, done: int, total: int) -> None:
    """A Report that shows nothing."""
