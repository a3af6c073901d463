"""Files that are not what the manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.store.manifest import Segment
from tftctl.store.storage import Storage


@contextmanager
def reading(storage: Storage, segments: Iterable[Segment]) -> Iterator[None]:
    """Run a query over some of these segments.

    Raises StoreError that names the damaged file where that is why the query failed; other failures stay as they are.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        damage = find_damage(storage, segments)
        if damage is None:
            raise
        raise damage from error


def find_damage(storage: Storage, segments: Iterable[Segment]) -> StoreError | None:
    """What to raise for the first of these segments whose file is not the one that was written; None for sound ones."""
    for segment in segments:
        problem = file_problem(storage, segment)
        if problem is not None:
            place = storage.locate(segment.path)
            return StoreError(f"a file of the store is damaged: {place}: {problem}", "see: tftctl store verify")
    return None


def file_problem(storage: Storage, segment: Segment) -> str | None:
    """Why a segment's file is not the one that was written; None where it is."""
    path = Path(storage.locate(segment.path))
    try:
        size = path.stat().st_size
        if size != segment.bytes:
            return f"has {size} bytes, the manifest says {segment.bytes}"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != segment.sha256:
                return "its checksum is not the manifest's"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None
