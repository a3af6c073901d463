"""Readers say which snapshot they read, so that `gc` leaves it to them (P3)."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tftctl.store.layout import LEASES

BEAT_SECONDS = 60.0
STALE_SECONDS = 15 * BEAT_SECONDS


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease as found on disk. `age_seconds` is the time since its last heartbeat."""

    path: Path
    pid: int
    machine: str
    snapshot: int
    age_seconds: float

    @property
    def alive(self) -> bool:
        """Whether its reader may still be there: its process on this machine, its heartbeat elsewhere."""
        if self.machine == machine():
            return _running(self.pid)
        return self.age_seconds < STALE_SECONDS


class Lease:
    """This process reads a snapshot. A thread keeps the file's time fresh until `release`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner = os.getpid()
        self._released = threading.Event()
        threading.Thread(target=self._beat, name="tftctl-lease", daemon=True).start()

    def release(self) -> None:
        """End the lease; a second call does nothing, nor does one in a forked child, whose parent still reads."""
        if not self._released.is_set() and os.getpid() == self._owner:
            self._released.set()
            self._remove()

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return  # gc removes what a reader could not

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            try:
                os.utime(self._path)
            except OSError:
                return


def take_lease(root: Path, snapshot: int) -> Lease | None:
    """Write a lease; None where the store cannot be written to, which must not hinder reading."""
    folder = root / LEASES
    path = folder / f"{os.getpid()}-{secrets.token_hex(6)}.json"
    content = {"pid": os.getpid(), "host": socket.gethostname(), "machine": machine(), "snapshot": snapshot}
    try:
        folder.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(content) + "\n", encoding="utf-8")
        unfinished.rename(path)
    except OSError:
        return None
    return Lease(path)


def read_leases(root: Path) -> list[LeaseRecord]:
    """All leases on disk, alive or not."""
    found = (_record(path) for path in sorted((root / LEASES).glob("*.json")))
    return [record for record in found if record is not None]


def machine() -> str:
    """Host name and process namespace: two containers may share the first, and their process numbers mean others."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def _record(path: Path) -> LeaseRecord | None:
    """None when the lease was released a moment ago. A damaged one names no snapshot."""
    try:
        age = max(0.0, time.time() - path.stat().st_mtime)
        content = json.loads(path.read_text(encoding="utf-8"))
        return LeaseRecord(path, int(content["pid"]), str(content["machine"]), int(content["snapshot"]), age)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return LeaseRecord(path, 0, "", -1, age)


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
