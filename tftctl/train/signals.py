"""Ctrl-C between two steps, and memory that does not suffice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from tftctl.core.errors import TftctlError
from tftctl.core.progress import Say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


class Stopper:
    """Whether somebody asked a training to stop: it ends after the step it is in, so that it can go on from there."""

    def __init__(self, say: Say) -> None:
        self.asked = False
        self._say = say

    def ask(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: the second signal does not wait."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("stopping after this step; once more to stop at once")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C and a request to terminate set `asked` meanwhile; only a process's main thread hears signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.ask) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """What torch raises for want of memory becomes one line that says which setting to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        lacking = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not lacking and not any(text in str(error).lower() for text in _NO_MEMORY):
            raise
        raise TftctlError("out of memory", advice) from error
