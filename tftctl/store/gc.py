"""Removing what no snapshot, run or reader needs any more (P3)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tftctl.core.errors import StoreError
from tftctl.store.files import write_new
from tftctl.store.layout import CACHES, TEMPORARY, cache_snapshot, manifest_name
from tftctl.store.lease import dead_files, read_leases
from tftctl.store.storage import writing
from tftctl.store.store import Store

KEEP = 3


@dataclass(frozen=True, slots=True)
class Removal:
    """What `gc` removed, or would remove: snapshot numbers, and names inside the store."""

    kept: tuple[int, ...]
    snapshots: tuple[int, ...]
    files: tuple[str, ...]
    bytes: int

    def document(self) -> dict[str, object]:
        """The same as a JSON-able mapping."""
        return asdict(self)


def collect_garbage(store: Store, runs: Path, keep: int = KEEP, *, dry_run: bool = False) -> Removal:
    """Remove snapshots, then files. Kept are the current and the `keep` newest snapshots, those that a living reader
    leases, and those that `runs/*/manifest.json` names.

    Raises StoreError when a run's manifest cannot be read, because it could name any snapshot.
    """
    if not store.current():
        return Removal((), (), (), 0)
    with store.locked():
        current = store.current()
        numbers = store.storage.manifests()
        committed = [number for number in numbers if number <= current]
        needed = {*committed[-max(keep, 1) :], *_named_by_runs(runs), *_leased(store)}
        kept = {number for number in committed if number in needed}
        paths = _needed_paths(store, kept)
        if not dry_run:
            with writing(store.root):
                late = _remove_manifests(store, [number for number in numbers if number not in kept])
            kept |= late
            paths |= _needed_paths(store, late)
        removable = _removable(store, paths, kept)
        size = sum(_size(store.root / name) for name in removable)
        if not dry_run:
            with writing(store.root):
                _remove(store.root, removable)
            store.refresh_catalog()
    dead = tuple(number for number in numbers if number not in kept)
    return Removal(tuple(sorted(kept)), dead, tuple(removable), size)


def _remove_manifests(store: Store, dead: Iterable[int]) -> set[int]:
    """Remove manifests, and put those back that a reader leased in the meantime, for it may have read them (P3)."""
    contents = {number: store.storage.read(manifest_name(number)) for number in dead}
    for number in contents:
        store.storage.delete(manifest_name(number))
    late = _leased(store) & contents.keys()
    for number in late:
        pending = store.storage.staging / f"manifest-{number}"
        write_new(pending, contents[number])
        store.storage.write_if_absent(manifest_name(number), pending)
    return late


def _needed_paths(store: Store, kept: Iterable[int]) -> set[str]:
    return {path for number in kept for path in store.manifest(number).paths()}


def _leased(store: Store) -> set[int]:
    return {lease.snapshot for lease in read_leases(store.root) if lease.alive}


def _named_by_runs(runs: Path) -> set[int]:
    found = set()
    for path in sorted(runs.glob("*/manifest.json")):
        try:
            snapshot = json.loads(path.read_text(encoding="utf-8")).get("snapshot")
            found.add(int(snapshot) if snapshot is not None else 0)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise StoreError(
                f"cannot tell which snapshot {path} needs: {error}", "mend that file or remove its run, then try again"
            ) from None
    return found


def _removable(store: Store, needed: set[str], kept: Iterable[int]) -> list[str]:
    """Segments that no kept manifest names, unfinished files, dead leases and caches of removed snapshots."""
    segments = [name for name in segment_names(store) if name not in needed]
    leases = [path.relative_to(store.root).as_posix() for path in dead_files(store.root)]
    return [*segments, *store.storage.names(TEMPORARY), *leases, *_dead_caches(store.root, set(kept))]


def segment_names(store: Store) -> list[str]:
    """Every Parquet file in the tables' folders."""
    names = (name for folder in sorted(store.root.glob("[!_]*/period=*")) for name in
             store.storage.names(folder.relative_to(store.root).as_posix()))  # fmt: skip
    return [name for name in names if name.endswith(".parquet")]


def _dead_caches(root: Path, kept: set[int]) -> list[str]:
    folders = (folder for folder in sorted((root / CACHES).glob("snap*")) if folder.is_dir())
    return [
        f"{CACHES}/{folder.name}"
        for folder in folders
        if (number := cache_snapshot(folder.name)) is not None and number not in kept
    ]


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    return path.stat().st_size if path.exists() else 0


def _remove(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in sorted(root.glob("[!_]*/period=*"), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
            if not any(folder.parent.iterdir()):
                folder.parent.rmdir()
