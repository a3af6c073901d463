"""Files that are there whole or not at all, also when the process is killed, and lines that are added to one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write a file in place of what is there. Raises OSError, and leaves what was there, where that fails."""
    replace_file(path, lambda staged: staged.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """The same of what `write` puts into a file whose path it is given."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(staged)
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line, in one write: two processes at once cannot overwrite each other's. Makes the file, not its folder."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (line + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)
