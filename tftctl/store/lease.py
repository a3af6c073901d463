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
    """A lease as found on disk. `age_seconds` is the time since its last heartbeat, `birth` when its process began."""

    path: Path
    pid: int
    birth: str
    machine: str
    snapshot: int
    age_seconds: float

    @property
    def alive(self) -> bool:
        """Whether its reader may still be there: its process on this machine, its heartbeat elsewhere."""
        if self.machine == machine():
            return _running(self.pid) and (not self.birth or _birth(self.pid) in ("", self.birth))
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
    reader = {"pid": os.getpid(), "birth": _birth(os.getpid()), "host": socket.gethostname(), "machine": machine()}
    try:
        folder.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(reader | {"snapshot": snapshot}) + "\n", encoding="utf-8")
        unfinished.rename(path)
    except OSError:
        return None
    return Lease(path)


def read_leases(root: Path) -> list[LeaseRecord]:
    """All leases on disk, alive or not."""
    found = (_record(path) for path in sorted((root / LEASES).glob("*.json")))
    return [record for record in found if record is not None]


def dead_files(root: Path) -> list[Path]:
    """Leases without a reader, and what is left of readers that died while they wrote one."""
    leases = [record.path for record in read_leases(root) if not record.alive]
    return [*leases, *(path for path in sorted((root / LEASES).glob("*.tmp")) if _age(path) > STALE_SECONDS)]


def machine() -> str:
    """Host name and process namespace: two containers may share the first, and their process numbers mean others."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def _record(path: Path) -> LeaseRecord | None:
    """None when the lease was released a moment ago. A damaged one names no snapshot."""
    age = _age(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        birth, host = str(found.get("birth", "")), str(found["machine"])
        return LeaseRecord(path, int(found["pid"]), birth, host, int(found["snapshot"]), age)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return LeaseRecord(path, 0, "", "", -1, age)


def _age(path: Path) -> float:
    """Seconds since a file was written; 0 when it is gone."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def _birth(pid: int) -> str:
    """When a process began, in clock ticks since the machine did: process numbers are given again.

    `ended` for one that nobody has waited for yet, "" where the system does not tell (proc(5): fields 3 and 22).
    """
    try:
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except (OSError, ValueError):
        return ""
    return "ended" if state in "ZX" else fields[18]


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
