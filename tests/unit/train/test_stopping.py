"""Signals between steps, memory that does not suffice, and the time that is left."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from tftctl.core.errors import TftctlError
from tftctl.train import clock as clock_module
from tftctl.train.clock import Clock
from tftctl.train.rate import steepest
from tftctl.train.signals import Stopper, enough_memory


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_does_not_wait(number: signal.Signals) -> None:
    """DESIGN 7: a step is finished first; afterwards signals mean what they meant before."""
    said: list[str] = []
    stopper, before = Stopper(said.append), signal.getsignal(number)
    with stopper.listening():
        assert not stopper.asked
        os.kill(os.getpid(), number)
        assert stopper.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert said == ["stopping after this step; once more to stop at once"]


def test_another_thread_trains_without_hearing_signals() -> None:
    """Python gives them to the main thread only; a notebook's worker must not fail for that."""
    heard: list[bool] = []

    def work() -> None:
        with Stopper(lambda _: None).listening():
            heard.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [True]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_line(error: Exception) -> None:
    """Issue's bad input, on either device."""
    with pytest.raises(TftctlError, match=r"^out of memory$") as caught, enough_memory("lower batch_size"):
        raise error
    assert caught.value.hint == "lower batch_size"
    assert caught.value.exit_code == 1


def test_other_errors_stay_what_they_are() -> None:
    """A bug is no want of memory."""
    with pytest.raises(RuntimeError, match="shapes"), enough_memory("lower batch_size"):
        raise RuntimeError("shapes do not match")


def test_pace_and_time_left_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows per second of the epoch's steps; what is left at the pace of this process, validations included."""
    now = 100.0
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: now)
    clock = Clock(steps=20, made=8)
    assert clock.remaining() != clock.remaining()
    now = 105.0  # half of it is no step
    clock.start()
    assert clock.pace() != clock.pace()
    now = 107.0
    clock.add(64)
    clock.add(64)
    assert (clock.pace(), clock.remaining()) == (64.0, 7.0 / 2 * 10)
    now = 110.0
    assert clock.row() == {"seconds": 5.0, "windows_per_second": 64.0}


def test_the_steepest_fall_of_a_rate_test() -> None:
    """Smith 2017: not the lowest loss, and neither the first steps nor where it rises."""
    rates = [10.0 ** (place / 4 - 6) for place in range(24)]
    losses = [2.0] * 8 + [1.95, 1.8, 1.2, 0.9, 0.85, 0.84, 0.84, 0.86, 0.9, 1.0, 1.3, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert steepest(rates, losses) == rates[10]
    assert steepest(rates, [1.0 + place for place in range(24)]) is None
    assert steepest([], []) is None
