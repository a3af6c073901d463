"""Failures a user can act on: one line of what is wrong, one of what to do, and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class TftctlError(Exception):
    """A failure with a message for the user.

    `message` says what was asked and what is wrong with it; `hint` says what exists or what to do next.
    """

    exit_code = 1
    kind = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TftctlError):
    """The command line asks for something that cannot be."""

    exit_code = 2
    kind = "usage"


class ConfigError(UsageError):
    """One or more configuration problems; see `tftctl.core.config.loading` for the reporter."""

    kind = "config"


class DataError(TftctlError):
    """Input data is missing, unreadable or contradicts itself."""

    exit_code = 3
    kind = "data"


class StoreError(TftctlError):
    """The store is missing something, is locked, or cannot be written."""

    exit_code = 3
    kind = "store"


class PluginError(TftctlError):
    """A plugin is broken, missing, or two plugins claim one name."""

    exit_code = 4
    kind = "plugin"


class TftctlWarning(UserWarning):
    """Something the user should know that does not stop the work; the command line prints it on stderr."""


@contextmanager
def guest_code(what: str, hint: str) -> Iterator[None]:
    """Run a plugin's code; whatever it raises becomes a PluginError that says whose fault it is."""
    try:
        yield
    except (TftctlError, MemoryError):
        raise
    except Exception as error:
        raise PluginError(f"{what} failed: {type(error).__name__}: {error}", hint) from error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None when nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def choices(name: str, known: Iterable[str], what: str, limit: int = 12) -> str:
    """Return a hint that names the nearest match and lists what exists.

    `what` is a plural noun such as "symbols".
    """
    names = sorted(known)
    if not names:
        return f"there are no {what} yet"
    match = nearest(name, names)
    listed = ", ".join(names[:limit]) + (f", ... ({len(names)} in all)" if len(names) > limit else "")
    return (f"did you mean {match!r}? " if match else "") + f"{what}: {listed}"
