"""Which checkpoints of a training stay: the best by the monitored value, and the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tftctl.core.config.model import ModelConfig
from tftctl.train.checkpoint import Kept, share_file
from tftctl.train.checkpoint_names import scored_name

LAST = "last.ckpt"


class Keeper:
    """Keeps `top_k` checkpoints and the last one in a folder."""

    def __init__(self, folder: Path, config: ModelConfig, kept: Sequence[Kept] = ()) -> None:
        self.kept = list(kept)
        self._folder = folder
        self._config = config
        # steps are saved as the last checkpoint, which must not become older than the epochs
        self._keeps_last = config.save_last or config.checkpoint_every_steps is not None

    def inherit(self, parent: Path) -> None:
        """The kept checkpoints of the run that goes on here."""
        there = [entry for entry in self.kept if (parent / entry.file).is_file()]
        for entry in there:
            share_file(parent / entry.file, self._folder / entry.file)
        self.kept = there

    def end_epoch(self, epoch: int, values: Mapping[str, float], write: Callable[[Path], None]) -> None:
        """Rank an epoch, write its checkpoint where it is kept or the last one, and remove one that is not any more.

        `write` is called when `kept` has the new ranks: they are part of what is written.
        """
        value = values.get(self._config.monitor, math.nan)
        entry = Kept(file=scored_name(epoch, values), epoch=epoch, value=None if math.isnan(value) else value)
        before = self.kept
        self.kept = self._best([*before, entry])
        if entry in self.kept:
            write(self._folder / entry.file)
            if self._keeps_last:
                share_file(self._folder / entry.file, self._folder / LAST)
        elif self._keeps_last:
            write(self._folder / LAST)
        for gone in before:
            if gone not in self.kept:
                (self._folder / gone.file).unlink(missing_ok=True)

    def save_last(self, write: Callable[[Path], None]) -> None:
        """In the middle of an epoch."""
        write(self._folder / LAST)

    def _best(self, entries: Sequence[Kept]) -> list[Kept]:
        """The earlier of equal ones; an undefined value is worse than any other."""
        sign = -1.0 if self._config.monitor_mode == "max" else 1.0
        ranked = sorted(entries, key=lambda e: (math.inf if e.value is None else sign * e.value, e.epoch))
        return ranked[: self._config.top_k]
