"""Which files an import reads."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from tftctl.core.errors import DataError
from tftctl.ingest.reading import SUFFIXES

MAX_FILES = 100_000
_MAGIC = ("*", "?", "[")


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Files, folders (searched through) and patterns -> files, sorted, each once. Raises DataError."""
    found: list[Path] = []
    for path in paths:
        if any(mark in str(path) for mark in _MAGIC) and not path.exists():
            matched = [Path(name) for name in glob.glob(str(path), recursive=True)]
            if not matched:
                raise DataError(f"no file matches {path}", "check the pattern")
            found += find_files(sorted(matched))
        elif path.is_dir():
            inside = [item for item in sorted(path.rglob("*")) if item.is_file() and _readable(item, path)]
            if not inside:
                raise DataError(f"{path} holds no file that can be read", f"suffixes read: {', '.join(SUFFIXES)}")
            found += inside
        elif not path.exists():
            raise DataError(f"{path} does not exist", "check the path")
        else:
            found.append(path)
        if len(found) > MAX_FILES:
            raise DataError(f"{path}: more than {MAX_FILES:,} files", "import folder by folder")
    return list(dict.fromkeys(found))


def _readable(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.name.lower().endswith(SUFFIXES) and not hidden
