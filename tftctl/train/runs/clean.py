"""`tftctl runs clean`: what may go, what stays and why, and the removal."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tftctl.core.errors import DataError
from tftctl.core.times import now_ms
from tftctl.core.workspace import Workspace
from tftctl.train.runs.criteria import Criteria, best_of
from tftctl.train.runs.summary import RunSummary, read_summaries

# a training writes at the end of every epoch, and its process reads a snapshot all the time
QUIET_SECONDS = 600
# two levels below runs/, where nothing looks for a manifest
REMOVED = ".removed"


@dataclass(frozen=True, slots=True)
class Going:
    """A run to be removed, and what that frees."""

    run: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Staying:
    """A run that the criteria ask for and that stays all the same."""

    run: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What goes, or has gone, and what stays of that which was asked for."""

    removed: list[Going]
    kept: list[Staying]

    @property
    def bytes(self) -> int:
        """What removing all of it frees."""
        return sum(run.bytes for run in self.removed)


def plan_cleaning(workspace: Workspace, wanted: Criteria, *, force: bool = False) -> Cleaning:
    """Decide, without touching anything. `force` takes also runs that may still be written to."""
    runs = read_summaries(workspace)
    asked = [run for run in runs if wanted.asks_for(run)]
    stay = dict(_staying(workspace, asked, wanted, force))
    stay |= _parents(runs, {run.run for run in asked} - stay.keys())
    going = [Going(run.run, run.bytes) for run in asked if run.run not in stay]
    return Cleaning(going, [Staying(run.run, stay[run.run]) for run in asked if run.run in stay])


def remove_runs(workspace: Workspace, plan: Cleaning, wanted: Criteria, *, force: bool = False) -> Cleaning:
    """Remove what was planned and may still go. A killed removal leaves a hidden rest, which the next one ends.

    Raises DataError when a run cannot be removed.
    """
    now = plan_cleaning(workspace, wanted, force=force)
    may_go = {run.run for run in now.removed}
    removed = [run for run in plan.removed if run.run in may_go]
    for run in removed:
        _remove(workspace.runs, run.run)
    _empty(workspace.runs)
    planned = {run.run for run in plan.removed} | {stays.run for stays in plan.kept}
    return Cleaning(removed, [stays for stays in now.kept if stays.run in planned])


def _staying(
    workspace: Workspace, asked: Iterable[RunSummary], wanted: Criteria, force: bool
) -> Iterator[tuple[str, str]]:
    """(run, reason), the weightiest last: a later one replaces an earlier."""
    asked = list(asked)
    named = _named_by_configs(workspace)
    snapshots = {} if force else _being_read(workspace)
    for run in best_of(asked, wanted.keep_best):
        yield run.run, f"among the best {wanted.keep_best}"
    for run in asked:
        root = workspace.runs / run.run
        for file, text in named.items():
            if re.search(rf"(?<![\w-]){re.escape(run.run)}(?![\w-])", text):
                yield run.run, f"{file} names it"
        busy = "" if force else _busy(root, run, snapshots)
        if busy:
            yield run.run, f"{busy}; --force removes it all the same"
        if root.is_symlink():
            yield run.run, f"a link to {root.readlink()}; remove it by hand"


def _parents(runs: Iterable[RunSummary], going: set[str]) -> dict[str, str]:
    """Runs that are to go while one that came from them stays: those stay as well, and so do their own parents."""
    stay: dict[str, str] = {}
    parents = {run.run: run.parent for run in runs if run.parent}
    while True:
        found = {
            parent: f"{child} came from it and stays"
            for child, parent in parents.items()
            if parent in going and parent not in stay and (child not in going or child in stay)
        }
        if not found:
            return stay
        stay |= found


def _named_by_configs(workspace: Workspace) -> dict[str, str]:
    """Texts of the workspace's configuration, which may name a run's checkpoint."""
    files = sorted(workspace.configs.glob("*.yaml"))
    return {f"configs/{path.name}": path.read_text(encoding="utf-8", errors="replace") for path in files}


def _busy(root: Path, run: RunSummary, snapshots: Mapping[int, int]) -> str:
    """Why a run may still be written to; empty when it is not."""
    age = time.time() - _last_write(root)
    if age < QUIET_SECONDS:
        return f"written to {age / 60:.0f} minutes ago" if age >= 90 else "written to a moment ago"
    reader = snapshots.get(run.snapshot) if run.snapshot is not None else None
    return f"process {reader} reads its snapshot and may be its training" if reader and not _ended(root, run) else ""


def _last_write(root: Path) -> float:
    """Now, where a file goes away while it is looked at: a training keeps only its best checkpoints."""
    try:
        return max(path.lstat().st_mtime for path in _written(root))
    except FileNotFoundError:
        return time.time()


def _written(root: Path) -> Iterator[Path]:
    """What a training writes, besides its configuration."""
    yield root / "manifest.json"
    yield from (path for path in (root / "metrics.jsonl",) if path.exists())
    for folder in ("checkpoints", "lightning_logs"):
        yield from (path for path in (root / folder).glob("*") if path.exists())


def _ended(root: Path, run: RunSummary) -> bool:
    """Whether all planned epochs are there; False where no plan says how many."""
    from tftctl.core.config.yaml import read_yaml
    from tftctl.core.errors import ConfigError

    try:
        plan = read_yaml(root / "stages.yaml")
        planned = sum(int(stage["epochs"]) for stage in plan.values())
    except (ConfigError, AttributeError, KeyError, TypeError, ValueError):
        return False
    return run.epochs >= planned


def _being_read(workspace: Workspace) -> dict[int, int]:
    """Snapshot -> a living process that reads it (P3); a training does from its beginning to its end."""
    from tftctl.store.lease import read_leases

    return {lease.snapshot: lease.pid for lease in read_leases(workspace.store) if lease.alive}


def _remove(runs: Path, name: str) -> None:
    """Out of sight in one step, then away."""
    aside = runs / REMOVED
    if aside.is_symlink():
        raise DataError(f"{aside} is a link", "remove it: runs are put there before they are deleted")
    try:
        aside.mkdir(exist_ok=True)
        (runs / name).rename(aside / f"{name}-{now_ms()}")
    except OSError as error:
        raise DataError(f"{runs / name} cannot be removed: {error.strerror}", "nothing of it has gone") from None


def _empty(runs: Path) -> None:
    """End removals, also those that were killed before. Never goes through a link."""
    aside = runs / REMOVED
    if aside.is_symlink() or not aside.is_dir():
        return
    try:
        shutil.rmtree(aside)
    except OSError as error:
        raise DataError(
            f"{error.filename}: {error.strerror}", f"the runs are gone from the list; remove {aside} by hand"
        ) from None
