"""Which columns the named rules mean, and which can go without being named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tftctl.core.errors import UsageError, choices
from tftctl.core.names import ROW_COLUMNS, is_pattern, is_target_column

Described = Mapping[str, Mapping[str, Any]]
UNASKED = frozenset({"bar", "age"})  # roles that go only where they are named


def candidates(columns: Described) -> list[str]:
    """Columns that a measure may remove: all but bars and ages."""
    return [name for name, entry in columns.items() if entry["role"] not in UNASKED]


def resolve(asked: Iterable[str], columns: Described, option: str) -> list[str]:
    """Columns that names and patterns mean, in the order of the table; a pattern never means a bar's column.

    Raises UsageError for a name that is none of them, a pattern without any, and columns that every row needs.
    """
    found: set[str] = set()
    for text in asked:
        found |= {text} if not is_pattern(text) else _matching(text, columns, option)
        _check(text, columns, option)
    return [name for name in columns if name in found]


def read_names(path: Path, option: str) -> tuple[str, ...]:
    """One name or pattern per line; `#` begins a comment. Raises UsageError for a file that says nothing."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"{option}: {path} cannot be read: {reason}", "one column per line, # begins a comment"
        ) from None
    names = tuple(name for line in lines if (name := line.split("#")[0].strip()))
    if not names:
        raise UsageError(f"{option}: {path} names no column", "one column per line, # begins a comment")
    return names


def refuse_both(first: Sequence[str], second: Sequence[str], what: str) -> None:
    """Raise UsageError where a column is in both; `what` says of what kind each is."""
    both = [name for name in first if name in set(second)]
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise UsageError(f"{both[0]}{more}: {what}", "name it once")


def _matching(pattern: str, columns: Described, option: str) -> set[str]:
    found = {name for name, entry in columns.items() if entry["role"] != "bar" and fnmatchcase(name, pattern)}
    if not found:
        raise UsageError(f"{option}: no column is like {pattern!r}", choices(pattern.strip("*"), columns, "columns"))
    return found


def _check(text: str, columns: Described, option: str) -> None:
    if is_pattern(text) or text in columns:
        return
    if text in ROW_COLUMNS:
        raise UsageError(f"{option}: every row needs {text!r}", "name columns of features")
    if is_target_column(text):
        raise UsageError(f"{option}: {text!r} is in the targets table", "choose targets in configs/model_config.yaml")
    raise UsageError(f"{option}: the fused table has no column {text!r}", choices(text, columns, "columns"))
