"""Seconds, memory of process trees, markdown tables and the machine, for the benchmarks."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SAMPLE_EVERY_S = 0.1
_MIB = 1024  # /proc counts KiB
_spawn = get_context("spawn")


@dataclass(frozen=True, slots=True)
class Peak:
    """Largest sum over a process tree, in MiB: proportional resident memory, and the part of it that no file backs."""

    resident: float = 0.0
    anonymous: float = 0.0

    def or_more(self, other: Peak) -> Peak:
        """The larger of the two, each for itself."""
        return Peak(max(self.resident, other.resident), max(self.anonymous, other.anonymous))


def one_thread_each(threads: int = 1) -> None:
    """For processes started from here on; libraries read these when they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(threads)


def seconds_of(function: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of one call and its result, the garbage of earlier calls collected before."""
    gc.collect()
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


class Process:
    """A function served by a process of its own: `call` runs it there. One at a time."""

    def __init__(self, start: Callable[..., Callable[[str], Any]], *arguments: Any) -> None:
        """`start(*arguments)` runs in the process and gives the function that answers."""
        self._here, there = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(there, start, arguments))
        self._process.start()
        there.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def call(self, question: str) -> Any:
        """The answer. Raises RuntimeError when the process has ended instead; it has said why on stderr."""
        self._here.send(question)
        return self._answer()

    def measured(self, question: str) -> tuple[Any, Peak]:
        """The answer, and the peak of the process and of those that it starts until it answers."""
        self._here.send(question)
        peak = tree_memory(self.pid)
        while not self._here.poll(SAMPLE_EVERY_S):
            peak = peak.or_more(tree_memory(self.pid))
        return self._answer(), peak

    def _answer(self) -> Any:
        try:
            return self._here.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise RuntimeError(f"a measured process ended with {self._process.exitcode}") from None

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self._process.join()


def _serve(pipe: Connection, start: Callable[..., Callable[[str], Any]], arguments: Sequence[Any]) -> None:
    function = start(*arguments)
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        pipe.send(function(question))


@contextmanager
def served(start: Callable[..., Callable[[str], Any]], *arguments: Any) -> Iterator[Process]:
    """A `Process` for the length of a block."""
    process = Process(start, *arguments)
    try:
        yield process
    finally:
        process.close()


def tree_memory(root: int) -> Peak:
    """Of a process and its descendants now. Shared pages count once: each process has its proportion of them."""
    resident = anonymous = 0
    for pid in _tree(root):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (OSError, ValueError):
            continue  # it has ended meanwhile
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith(" kB")}
        resident += sizes["Pss"]
        anonymous += sizes["Pss_Anon"] if "Pss_Anon" in sizes else sizes["Anonymous"]
    return Peak(resident / _MIB, anonymous / _MIB)


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def resident_now() -> tuple[float, float]:
    """Resident memory of this process in MiB: now, and the highest since `forget_peak` (or since it began)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    now, highest = (int(lines[name].split()[0]) / _MIB for name in ("VmRSS", "VmHWM"))
    return now, highest


def forget_peak() -> None:
    """Let the highest resident memory be the present one (Linux: proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def median(values: Sequence[float]) -> float:
    """Of at least one value."""
    return statistics.median(values)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A markdown table; floats with three digits that count."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> str:
    """One line: processor, cores, memory, versions."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ("polars", "numpy", "pandas", "TA-Lib", "numba", "duckdb", "torch", "pandas-ta-classic", "ta")
    versions = ", ".join(f"{name} {found}" for name in names if (found := _version(name)))
    usable = len(os.sched_getaffinity(0))
    return f"{model}, {usable} cores, {memory:.0f} GiB; Python {platform.python_version()}, {versions}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
