"""`tftctl runs list`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from fnmatch import fnmatchcase
from operator import attrgetter

from tftctl.core.errors import UsageError, choices
from tftctl.core.workspace import Workspace
from tftctl.train.runs.summary import RunSummary, read_summaries

COMMANDS = ("train", "resume", "warm-start")
SORTABLE = tuple(field.name for field in fields(RunSummary) if field.name not in ("targets", "stages"))
# the best comes first
_HIGHEST_FIRST = ("val_composite_score",)


def list_runs(
    workspace: Workspace,
    sort: str = "started",
    *,
    reverse: bool = False,
    command: str | None = None,
    match: str | None = None,
) -> list[RunSummary]:
    """The runs of a workspace, of one command and with a name like `match` (a glob) where these are given.

    Sorted by a key of RunSummary, scores from the best on; a run without the value comes last either way. Raises
    UsageError for an unknown key or command.
    """
    if sort not in SORTABLE:
        raise UsageError(f"--sort {sort}: there is no such value of a run", choices(sort, SORTABLE, "values"))
    found = read_summaries(workspace)
    if command is not None:
        known = {*COMMANDS, *(run.command for run in found)} - {""}
        if command not in known:
            raise UsageError(f"--command {command}: no run comes from it", choices(command, known, "commands"))
    wanted = [run for run in found if (command in (None, run.command)) and fnmatchcase(run.run, match or "*")]
    return sort_runs(wanted, sort, reverse=reverse)


def sort_runs(runs: Sequence[RunSummary], sort: str, *, reverse: bool = False) -> list[RunSummary]:
    """Stable; the best score first, None last."""
    there = [run for run in runs if getattr(run, sort) is not None]
    missing = [run for run in runs if getattr(run, sort) is None]
    return [*sorted(there, key=attrgetter(sort), reverse=reverse != (sort in _HIGHEST_FIRST)), *missing]
