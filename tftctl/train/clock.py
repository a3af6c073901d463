"""How fast a training is, and how long it still takes."""

from __future__ import annotations

import time

NAN = float("nan")
TELL_SECONDS = 0.1


class Clock:
    """The pace of an epoch's training steps, and the time left at the pace of this process so far.

    `steps` are those of the whole training, `made` those made before.
    """

    def __init__(self, steps: int, made: int) -> None:
        self._steps, self._made, self._first = steps, made, made
        self._began = self._epoch_began = time.perf_counter()
        self._windows, self._trained = 0, NAN
        self._told = -TELL_SECONDS

    def start(self) -> None:
        """An epoch begins, or goes on."""
        self._epoch_began, self._windows, self._trained = time.perf_counter(), 0, NAN

    def add(self, windows: int) -> None:
        """A step has been made."""
        self._made += 1
        self._windows += windows
        self._trained = time.perf_counter() - self._epoch_began

    def due(self) -> bool:
        """Whether a tenth of a second has passed since it was so the last time."""
        now = time.perf_counter()
        if now - self._told < TELL_SECONDS:
            return False
        self._told = now
        return True

    def pace(self) -> float:
        """Windows per second of this epoch's training steps; NaN before the first."""
        return self._windows / self._trained if self._windows else NAN

    def remaining(self) -> float:
        """Seconds to the end of the training; NaN before the first step."""
        made = self._made - self._first
        return (time.perf_counter() - self._began) / made * (self._steps - self._made) if made else NAN

    def row(self) -> dict[str, float]:
        """For metrics.jsonl."""
        seconds = time.perf_counter() - self._epoch_began
        return {"seconds": round(seconds, 3), "windows_per_second": round(self.pace(), 1)}
