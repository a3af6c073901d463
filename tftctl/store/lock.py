"""The one writer's lock (P2): held by the operating system, so it ends with the process that holds it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tftctl.core.errors import StoreError
from tftctl.core.times import iso, now_ms
from tftctl.store.layout import LOCK

WAIT_SECONDS = 60.0
NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs4 cifs smb smb2 smb3 smbfs afs ncpfs 9p ceph glusterfs lustre beegfs fuse.sshfs fuse.glusterfs fuse.ceph "
    "fuse.s3fs fuse.gcsfuse fuse.rclone fuse.davfs davfs".split()
)
MOUNTS = Path("/proc/mounts")


@contextmanager
def writer_lock(root: Path, wait_seconds: float = WAIT_SECONDS, *, unsafe: bool = False) -> Iterator[None]:
    """Hold the store's lock for the block.

    Raises StoreError when another writer still holds it after `wait_seconds`, or when the store lies on a network file
    system, where such locks do not exclude other machines, and `unsafe` is not set.
    """
    if not unsafe:
        refuse_network(root)
    path = root / LOCK
    lock = FileLock(path, timeout=wait_seconds, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise StoreError(
            f"the store {root} is being written by {_holder(path)}", "wait until it has finished, then try again"
        ) from None
    try:
        _sign(path)
        yield
    finally:
        lock.release()


def refuse_network(root: Path) -> None:
    """Raise StoreError when `root` lies on a network file system."""
    kind = file_system(root, MOUNTS)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"the store {root} lies on a network file system ({kind}), where its lock protects nothing",
            "move it to a local disk, or use --unsafe-lock if no other machine writes to it",
        )


def file_system(path: Path, mounts: Path) -> str:
    """Type of the file system that holds `path`; empty where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = str(path.resolve()), "", ""
    for line in lines:
        _, mount, found, *_ = (*line.split(" "), "", "")
        mount = mount.replace("\\040", " ")
        if (place == mount or place.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def _sign(path: Path) -> None:
    path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": iso(now_ms())}) + "\n")


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
