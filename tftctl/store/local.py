"""The store's storage in a folder of a local file system."""

from __future__ import annotations

import os
from pathlib import Path

from tftctl.store import files
from tftctl.store.layout import CURRENT, MANIFESTS, TEMPORARY, manifest_name, manifest_number


class LocalStorage:
    """A folder of a local file system. Every write is flushed to the disk before it is named (P1)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def staging(self) -> Path:
        """`_tmp`, on the same file system, so that a finished file needs only a new name."""
        return self.root / TEMPORARY

    def names(self, prefix: str) -> list[str]:
        """Names of all files below `prefix`, sorted; empty when there is no such folder."""
        found = (Path(folder, name) for folder, _, names in os.walk(self.root / prefix) for name in names)
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def read(self, name: str) -> bytes:
        """Content of one file."""
        return (self.root / name).read_bytes()

    def locate(self, name: str) -> str:
        """Absolute path of a file."""
        return str(self.root / name)

    def write_if_absent(self, name: str, source: Path) -> None:
        """Rename a finished file of the same file system into place."""
        target = self.root / name
        files.make_folder(target.parent)
        if target.exists():
            raise FileExistsError(f"{target} exists already")
        os.rename(source, target)
        try:
            files.sync_folder(target.parent)
        except OSError:
            target.unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> None:
        """Remove a file if it is there; a manifest durably, because its files may only go after it."""
        path = self.root / name
        path.unlink(missing_ok=True)
        if manifest_number(name) is not None:
            files.sync_folder(path.parent)

    def current(self) -> int | None:
        """Read `CURRENT`. Raises ValueError when it does not hold a number."""
        try:
            return int((self.root / CURRENT).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def initialise(self) -> None:
        """Make the folders and, in a new store, a `CURRENT` of 0: from then on a missing one is damage."""
        for folder in (MANIFESTS, TEMPORARY):
            files.make_folder(self.root / folder)
        if not (self.root / CURRENT).exists() and not self.manifests():
            self._point_to(0)

    def manifests(self) -> list[int]:
        """Numbers of all manifests, sorted; those above the current one are debris of interrupted writers."""
        found = (manifest_number(name) for name in self.names(MANIFESTS))
        return sorted(number for number in found if number is not None)

    def commit_manifest(self, number: int, content: bytes) -> None:
        """Create the manifest exclusively, flush it, then replace `CURRENT`. On failure `CURRENT` is as before."""
        path = self.root / manifest_name(number)
        before = self.current()
        files.write_new(path, content)
        try:
            files.sync_folder(path.parent)
            self._point_to(number)
        except BaseException:
            self._withdraw(number, before)
            raise

    def _point_to(self, number: int) -> None:
        pending = self.staging / f"{CURRENT}-{number}"
        pending.unlink(missing_ok=True)
        files.write_new(pending, f"{number}\n".encode("ascii"))
        try:
            os.replace(pending, self.root / CURRENT)
        except OSError:
            pending.unlink(missing_ok=True)
            raise
        files.sync_folder(self.root)

    def _withdraw(self, number: int, before: int | None) -> None:
        """Undo a commit whose last flush failed. The manifest goes only once `CURRENT` surely names another."""
        if before is not None and self.current() != before:
            self._point_to(before)
        self.delete(manifest_name(number))
