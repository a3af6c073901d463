"""stdout under `--json`: one document and nothing else, whoever else prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from typing import TextIO

_kept = ExitStack()
_documents: list[TextIO] = []


def keep_stdout() -> None:
    """From here on only `document_stream` reaches stdout; what plugins, libraries and processes print goes to stderr.

    A second call changes nothing.
    """
    if not _documents:
        _kept.enter_context(_stdout_for_documents())


def give_stdout_back() -> None:
    """End what `keep_stdout` began, if it did."""
    _kept.close()


def document_stream() -> TextIO:
    """Where the document goes."""
    return _documents[-1] if _documents else sys.stdout


@contextmanager
def _stdout_for_documents() -> Iterator[None]:
    with ExitStack() as held:
        _documents.append(_saved(held, sys.stdout))
        held.callback(_documents.clear)
        held.enter_context(redirect_stdout(sys.stderr))
        yield


def _saved(held: ExitStack, stdout: TextIO) -> TextIO:
    """A stream to what is stdout now. The file descriptor itself is given to stderr, for C code and processes."""
    if not _is_the_process_stdout(stdout):
        return stdout
    import ctypes

    stdout.flush()
    copy = os.dup(1)
    stream = open(copy, "w", encoding=stdout.encoding, errors=stdout.errors)  # noqa: SIM115 - closed by `held`
    held.callback(_close, stream)
    os.dup2(sys.stderr.fileno(), 1)
    held.callback(os.dup2, copy, 1)
    held.callback(ctypes.CDLL(None).fflush, None)  # what C code has printed goes where it was printed to
    held.callback(stdout.flush)
    return stream


def _is_the_process_stdout(stdout: TextIO) -> bool:
    try:
        return stdout.fileno() == 1
    except (OSError, ValueError):
        return False


def _close(stream: TextIO) -> None:
    with suppress(OSError):  # what could not be written was an error when it was written
        stream.close()
