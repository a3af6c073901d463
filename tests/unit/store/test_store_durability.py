"""In which order a commit and a clean-up reach the disk (P1, P3): what a power failure leaves depends on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from store_tables import bars, write

from tftctl.store import Store
from tftctl.store.gc import collect_garbage


class Journal:
    """Writes down every flush, new name and removal below a folder, with names instead of descriptors."""

    def __init__(self, root: Path, patched: pytest.MonkeyPatch) -> None:
        self.root, self.events, self.names = root, [], {}
        self._real = {name: getattr(os, name) for name in ("open", "fsync", "rename", "replace", "unlink")}
        for name in self._real:
            patched.setattr(os, name, getattr(self, name))

    def label(self, path: object) -> str:
        """A path inside the store, with `*` for what is drawn at random."""
        place = Path(os.fspath(path))  # type: ignore[call-overload]
        name = place.relative_to(self.root).as_posix() if place.is_relative_to(self.root) else str(place)
        return f"{name.rpartition('/')[0]}/*.parquet".lstrip("/") if name.endswith(".parquet") else name

    def open(self, path: object, flags: int, *mode: int, **more: Any) -> int:
        if flags & os.O_EXCL:
            self.events.append(("create", self.label(path)))
        return self._real["open"](path, flags, *mode, **more)

    def fsync(self, descriptor: int) -> None:
        self.events.append(("flush", self.label(os.readlink(f"/proc/self/fd/{descriptor}"))))
        self._real["fsync"](descriptor)

    def rename(self, source: object, target: object) -> None:
        self.events.append(("name", self.label(target)))
        self._real["rename"](source, target)

    def replace(self, source: object, target: object) -> None:
        self.events.append(("swap", self.label(target)))
        self._real["replace"](source, target)

    def unlink(self, path: object, **more: Any) -> None:
        if os.path.lexists(os.fspath(path)):  # type: ignore[call-overload]
            self.events.append(("remove", self.label(path)))
        self._real["unlink"](path, **more)

    def places(self) -> list[tuple[str, str]]:
        """Without lock and leases, which promise nothing after a power failure."""
        return [event for event in self.events if not event[1].startswith(("_lock", "_leases"))]


def test_a_commit_names_nothing_that_is_not_on_the_disk(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    with pytest.MonkeyPatch.context() as patched:
        journal = Journal(store.root, patched)
        write(store, bars([("A", 1, 2.0)]), period="4h")
    assert journal.places() == [
        ("flush", "_tmp/*.parquet"),
        ("flush", "bars"),  # which has a new folder
        ("name", "bars/period=4h/*.parquet"),
        ("flush", "bars/period=4h"),
        ("create", "_manifests/manifest-00000002.json"),
        ("flush", "_manifests/manifest-00000002.json"),
        ("flush", "_manifests"),
        ("create", "_tmp/CURRENT-2"),
        ("flush", "_tmp/CURRENT-2"),
        ("swap", "CURRENT"),
        ("flush", "."),
    ]


def test_gc_removes_a_manifest_durably_before_its_files(store: Store, tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        write(store, bars([("A", 1, value)]))
    with pytest.MonkeyPatch.context() as patched:
        journal = Journal(store.root, patched)
        collect_garbage(store, tmp_path, keep=1)
    assert journal.places() == [
        ("remove", "_manifests/manifest-00000001.json"),
        ("flush", "_manifests"),
        ("remove", "bars/period=1h/*.parquet"),
    ]
