"""`tftctl` as a process with its own exit code, streams and signals that does not load torch anew.

A server of this test process has loaded everything that commands load, and is forked for each command; it has computed
nothing, so that no thread is lost by forking. What loading itself does is proven by the tests that start a fresh
interpreter: `fresh` of training_world, and the command line's tests of `sys.modules`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "tftctl.cli.app", "tftctl.start.data_jobs", "tftctl.start.run_jobs", "tftctl.start.split_jobs",
        "tftctl.features.build", "tftctl.features.health", "tftctl.evaluate.evaluation", "tftctl.evaluate.table",
        "tftctl.train.fit", "tftctl.train.resume", "tftctl.train.warm", "tftctl.train.pictures",
        "tftctl.start.pipeline_jobs", "tftctl.cli.select_display", "tftctl.select.page", "tftctl.select.pipeline",
        "tftctl.select.tft_gating", "lightgbm", "optuna", "alembic.command", "sqlalchemy.dialects.sqlite",
        "scipy.stats", "scipy.cluster.hierarchy", "sklearn.ensemble", "numba.np.ufunc",
    ]
)  # fmt: skip


def run(arguments: Sequence[str], *, cwd: Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """A command to its end, as `subprocess.run` would. Raises TimeoutExpired, and kills it then."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _SERVER.Process(target=_to_files, args=(list(arguments), str(out), str(err), str(cwd or Path.cwd())))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        return subprocess.CompletedProcess(list(arguments), process.exitcode or 0, *map(_text, (out, err)))


@dataclass(slots=True)
class Running:
    """A command under way: its pid, and the lines of its stderr as they come."""

    process: ForkServerProcess
    stderr: Iterator[str]

    @property
    def pid(self) -> int:
        """Its own, not the server's."""
        assert self.process.pid is not None
        return self.process.pid

    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.is_alive()

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        os.kill(self.pid, number)

    def end(self, timeout: float = 120) -> tuple[int, list[str]]:
        """Its exit code, negative for a signal, and the lines of stderr that were not read yet."""
        rest = list(self.stderr)
        self.process.join(timeout)
        assert self.process.exitcode is not None, "it does not end"
        return self.process.exitcode, rest


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[Running]:
    """A command that runs beside the test; it is killed at the end where it is still there."""
    reader, writer = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=_to_pipe, args=(list(arguments), writer))
    process.start()
    writer.close()
    with open(reader.fileno(), closefd=False, encoding="utf-8") as lines:
        try:
            yield Running(process, lines)
        finally:
            process.kill()
            process.join()
    reader.close()


def _to_files(arguments: list[str], out: str, err: str, cwd: str) -> None:
    os.chdir(cwd)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    _main(arguments)


def _to_pipe(arguments: list[str], stderr: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(stderr.fileno(), 2)
    stderr.close()
    _main(arguments)


def _main(arguments: list[str]) -> None:
    """What `python -m tftctl` does, beginning after its imports; multiprocessing leaves without `atexit`."""
    from tftctl.cli.app import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["tftctl", *arguments]
    try:
        main()
    finally:
        atexit._run_exitfuncs()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
