"""The few operations that a store asks of its storage (SEMANTICS P5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tftctl.core.errors import StoreError


class Storage(Protocol):
    """Named immutable objects, and a number that names the current manifest.

    Names are relative, with `/`. Failures are OSError; FileExistsError where something must not exist.
    """

    @property
    def staging(self) -> Path:
        """A local folder for unfinished files, outside everything that `names` lists for a table."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Names of all objects below the folder `prefix`, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Content of one object."""
        ...

    def locate(self, name: str) -> str:
        """Path or address under which Polars and DuckDB can read the object."""
        ...

    def write_if_absent(self, name: str, source: Path) -> None:
        """Make a finished local file the object `name`, durably; the source is gone afterwards."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; none there is no error."""
        ...

    def current(self) -> int | None:
        """Number of the current manifest; None in a store that nobody has written to."""
        ...

    def manifests(self) -> list[int]:
        """Numbers of all manifests, sorted; those above the current one are debris of interrupted writers."""
        ...

    def commit_manifest(self, number: int, content: bytes) -> None:
        """Store manifest `number`, which must not exist, and make it the current one."""
        ...


@contextmanager
def writing(place: str | Path) -> Iterator[None]:
    """Turn a failed file operation of the block into a StoreError of one line."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write the store: {error.filename or place}: {error.strerror or error}",
            "nothing was changed; mend it and try again",
        ) from error
