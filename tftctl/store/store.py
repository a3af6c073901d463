"""The store of a workspace: many readers, one writer at a time (SEMANTICS P)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tftctl.core.errors import StoreError
from tftctl.store.layout import manifest_name
from tftctl.store.lease import take_lease
from tftctl.store.local import LocalStorage
from tftctl.store.lock import WAIT_SECONDS, writer_lock
from tftctl.store.manifest import EMPTY, Manifest, decode
from tftctl.store.snapshot import Snapshot
from tftctl.store.storage import writing
from tftctl.store.transaction import Transaction

_ATTEMPTS = 10
# each commit reads this many manifests for the catalogue's history
_CATALOGUED = 20


class Store:
    """A store folder, which need not exist yet. `unsafe_lock` allows writing on a network file system."""

    def __init__(self, root: Path, *, unsafe_lock: bool = False, wait_seconds: float = WAIT_SECONDS) -> None:
        self.root = root
        self.storage = LocalStorage(root)
        self._unsafe_lock = unsafe_lock
        self._wait_seconds = wait_seconds

    def current(self) -> int:
        """Number of the current snapshot, 0 when the store is empty. Raises StoreError when the store is damaged."""
        try:
            number = self.storage.current()
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {self.root / 'CURRENT'}: {error}", "see: tftctl store verify") from None
        if number is None and self.storage.manifests():
            raise StoreError(
                f"{self.root / 'CURRENT'} is missing although the store has manifests",
                f"put the right snapshot's number into it; manifests: {', '.join(map(str, self.storage.manifests()))}",
            )
        return number or 0

    def manifest(self, number: int) -> Manifest:
        """Read one manifest. Raises StoreError when it is not there or damaged."""
        if number == 0:
            return EMPTY
        name = manifest_name(number)
        try:
            manifest = decode(self.storage.read(name), name)
        except FileNotFoundError:
            raise self._no_snapshot(number, self.current()) from None
        except OSError as error:
            raise StoreError(f"cannot read {self.root / name}: {error.strerror}", "see: tftctl store verify") from None
        if manifest.number != number:
            raise StoreError(f"{name} calls itself {manifest.number}", "see: tftctl store verify")
        return manifest

    def manifest_or_none(self, number: int) -> Manifest | None:
        """A manifest, or None when it is not there or damaged, as one of an interrupted writer may be."""
        try:
            return self.manifest(number)
        except StoreError:
            return None

    def read(self, number: int | None = None) -> Snapshot:
        """Open a snapshot, by default the current one, and hold it against `gc` until it is closed (P3).

        An empty store gives snapshot 0 without tables. Raises StoreError when there is no such snapshot.
        """
        for _ in range(_ATTEMPTS):
            current = self.current()
            chosen = current if number is None else number
            if not 0 <= chosen <= current:  # a manifest above the current one is debris
                raise self._no_snapshot(chosen, current)
            lease = take_lease(self.root, chosen) if chosen else None
            try:
                return Snapshot(self.storage, self.manifest(chosen), lease)
            except StoreError:
                if lease is not None:
                    lease.release()
                if number is not None or self.current() == chosen:
                    raise
        raise StoreError(f"the store {self.root} changes faster than it can be read", "try again")

    @contextmanager
    def write(self, why: str) -> Iterator[Transaction]:
        """Begin a change: `with store.write("import") as change: ...; change.commit()`.

        Holds the writer's lock for the block. Leaving it without `commit`, or by an exception, leaves the store as it
        was. Raises StoreError when another writer holds the lock too long or the folder cannot be written to.
        """
        with self.locked():
            change = Transaction(self.storage, Snapshot(self.storage, self.manifest(self.current())), why)
            try:
                yield change
            finally:
                change.discard()
            if change.committed:
                self.refresh_catalog()

    def refresh_catalog(self) -> bool:
        """Bring `catalog.duckdb` to the current snapshot where nobody holds it; return whether it is there now."""
        from tftctl.store.catalog import refresh_catalog

        try:
            current = self.current()
        except StoreError:
            return False
        if not current or not os.access(self.root, os.W_OK):
            return False
        older = [number for number in self.storage.manifests() if number < current]
        recent = [*older[1 - _CATALOGUED :], current]
        return refresh_catalog(self.root, self.storage, recent, self.manifest_or_none)

    def _no_snapshot(self, number: int, current: int) -> StoreError:
        there = [str(found) for found in self.storage.manifests() if found <= current]
        return StoreError(f"there is no snapshot {number}", f"snapshots: {', '.join(there[-12:]) or 'none'}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the writer's lock; the store's folders are made when they are not there."""
        with ExitStack() as held:
            with writing(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                held.enter_context(writer_lock(self.root, self._wait_seconds, unsafe=self._unsafe_lock))
                self.storage.initialise()
            yield
