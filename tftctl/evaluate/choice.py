"""Which checkpoints of a run are meant by `best`, `last`, `top-k` or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tftctl.core.errors import DataError, UsageError, choices
from tftctl.train.ranking import rank_checkpoints
from tftctl.train.rundir import Run

WORDS = ("best", "last", "top-k")


@dataclass(frozen=True, slots=True)
class Choice:
    """Checkpoints to evaluate; several are averaged. `label` names them in folders."""

    label: str
    paths: tuple[Path, ...]


def choose_checkpoints(run: Run, name: str) -> Choice:
    """`best` and `top-k` follow the run's `monitor`; anything else is a file, or a name in checkpoints/.

    Raises UsageError with the nearest match for a name that is not there, DataError for a run that kept none.
    """
    kept = sorted(run.checkpoints.glob("*.ckpt"))
    if not kept:
        raise DataError(f"{run.root} has no checkpoint", "its training ended before the first epoch did; train again")
    if name == "last":
        return Choice(name, (_existing(run, "last.ckpt"),))
    if name in WORDS:
        ranked = rank_checkpoints(run)
        if not ranked:
            raise UsageError(f"{run.name} kept no scored checkpoint (top_k: 0)", "use --checkpoint last")
        return Choice(name, tuple(ranked) if name == "top-k" else (ranked[0],))
    for path in (Path(name), run.checkpoints / name, run.checkpoints / f"{name}.ckpt"):
        if path.is_file():
            return Choice(path.stem, (path,))
    raise UsageError(
        f"{run.name} has no checkpoint {name!r}", choices(name, {*WORDS, *(p.stem for p in kept)}, "checkpoints")
    )


def _existing(run: Run, name: str) -> Path:
    path = run.checkpoints / name
    if not path.is_file():
        raise UsageError(f"{run.name} kept no {name} (save_last: false)", "use --checkpoint best")
    return path
