"""Curves from TensorBoard event files, of this program's runs and of any other Lightning training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftctl.core.errors import DataError, UsageError
from tftctl.core.workspace import Workspace
from tftctl.train.curves import number
from tftctl.train.rundir import find_run

EVENT_FILES = "events.out.tfevents.*"


@dataclass(frozen=True, slots=True)
class Curves:
    """The scalars of one run: per key its (step, value) in the order of the steps, values that are finite."""

    name: str
    folder: Path
    scalars: dict[str, list[tuple[int, float]]]


def read_curves(workspace: Workspace, run: str) -> Curves:
    """Curves of a run by name, or of any folder with event files in it or below it.

    A file that is cut off gives what is whole in it. Raises UsageError when there is no such run or folder or several
    trainings lie below it, DataError when no file holds a scalar.
    """
    name, folder = _place(workspace, run)
    logs = sorted({path.parent for path in folder.rglob(EVENT_FILES)})
    if not logs:
        raise DataError(f"{folder} holds no event files of TensorBoard", "name a run, or a folder with event files")
    if len(logs) > 1:
        below = ", ".join(str(log.relative_to(folder)) for log in logs[:8])
        raise UsageError(f"{folder} holds the logs of {len(logs)} trainings", f"name one of them: {below}")
    scalars = _scalars(logs[0])
    if not scalars:
        raise DataError(f"{logs[0]} holds no curves", "its training ended before the first epoch, or it is damaged")
    return Curves(name, logs[0].resolve(), scalars)


def _place(workspace: Workspace, run: str) -> tuple[str, Path]:
    """A run's logs; else a folder, named by as much of its path as tells it apart from `version_0`."""
    manifests = (workspace.runs / run / "manifest.json", Path(run) / "manifest.json")
    if any(path.is_file() for path in manifests) or not Path(run).is_dir():
        found = find_run(workspace, run)
        return found.name, found.root / "lightning_logs"
    folder = Path(run).resolve()
    generic = folder.name.startswith("version_") or folder.name == "lightning_logs"
    return "/".join(folder.parts[-3 if generic else -1 :]), folder


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # 0 keeps every point of a curve; of everything else one is enough
    sizes = {"scalars": 0, "images": 1, "tensors": 1, "histograms": 1, "audio": 1, "compressedHistograms": 1}
    events = EventAccumulator(str(folder), size_guidance=sizes).Reload()
    curves = {key: _finite(events.Scalars(key)) for key in events.Tags()["scalars"]}
    return {key: points for key, points in curves.items() if points}


def _finite(points: Iterable[Any]) -> list[tuple[int, float]]:
    finite = [(int(point.step), float(point.value)) for point in points if number(float(point.value)) is not None]
    return sorted(finite, key=lambda point: point[0])
