"""`configs/selected_features.txt`: the inputs that a selection has chosen, and how it came about (SEMANTICS A4).

One name a line, `#` begins a comment. The header of one that a command has written is `# key: value`, times ISO 8601.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tftctl.core.errors import DataError
from tftctl.core.files import replace_text
from tftctl.core.times import iso, parse_iso
from tftctl.core.workspace import Workspace

FILE = "selected_features.txt"
PLACE = f"configs/{FILE}"
_OPENING = "Inputs chosen by"
_READ_BY = "read by: tftctl train, tftctl warm-start, tftctl prune"
_DIGEST = "digest"
_KEYS = ("command", "snapshot", "data", "cut", "last_label_end", "targets", "periods", "made_at", _DIGEST)
# any of these in a comment and the list is none made by hand, whatever became of the other lines
_SIGNS = ("snapshot", "last_label_end", _DIGEST)
_FACT = re.compile(r"([a-z][a-z0-9_]*):(?:\s+(.*))?")


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an allowlist came about: what was run, on which rows, and the latest label that was looked at.

    `data` is the mark of the snapshot's fused and targets tables (`tftctl.features.verdict.data_mark`). Labels end by
    `cut`; `last_label_end` is the latest end that was read, `made_at` the moment of writing (ms UTC). `facts` are
    further lines, for example of topk, stage and method; values are kept as text on one line.
    """

    command: str
    snapshot: int
    data: str
    cut: int
    last_label_end: int
    targets: tuple[str, ...]
    periods: tuple[str, ...]
    made_at: int
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allowlist:
    """Names in the order of the file; `provenance` is None for a list that was made by hand.

    `edited`: names were added or removed since the command wrote them.
    """

    path: Path
    names: tuple[str, ...]
    provenance: Provenance | None = None
    edited: bool = False


def workspace_allowlist(workspace: Workspace) -> Allowlist | None:
    """The one that trainings of a workspace read, None where there is none. Raises DataError for a damaged one."""
    return read_allowlist(workspace.configs / FILE)


def read_allowlist(path: Path) -> Allowlist | None:
    """Read an allowlist; None when there is no such file.

    Raises DataError for a file that is no text, for a list without a name or with one twice, and for a header of which
    a part is missing or cannot be read: without it nobody knows which labels the selection has seen.
    """
    if not path.exists():
        return None
    lines = _text(path).split("\n")
    names = _names(path, lines)
    header = _header(path, lines)
    if header is None:
        return Allowlist(path, names)
    return Allowlist(path, names, _provenance(path, header), header[_DIGEST][1] != _digest(names))


def write_allowlist(path: Path, names: Sequence[str], provenance: Provenance) -> None:
    """Write an allowlist in place of what is there, whole or not at all; it reads back as the same.

    Raises DataError where there is no name, ValueError for names and facts that would read back as something else.
    """
    if not names:
        raise DataError(f"{path}: nothing was selected, and a network needs inputs", "what was there stays as it was")
    strange = [name for name in names if not name or re.search(r"[\s#]", name)]
    if strange or len(set(names)) < len(names):
        raise ValueError(f"names of an allowlist are unique, without blanks and '#': {strange or list(names)}")
    wrong = [key for key in provenance.facts if key in _KEYS or not _FACT.fullmatch(f"{key}: x")]
    if wrong:
        raise ValueError(f"facts of an allowlist cannot be called {wrong}")
    lines = [f"# {_OPENING} {_line(provenance.command)}; {_READ_BY}"]
    lines += [f"# {key}: {_line(value)}" for key, value in _entries(names, provenance).items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "\n".join([*lines, *names]) + "\n")


def _entries(names: Sequence[str], made: Provenance) -> dict[str, str]:
    return {
        "command": made.command,
        "snapshot": str(made.snapshot),
        "data": made.data,
        "cut": iso(made.cut),
        "last_label_end": iso(made.last_label_end),
        "targets": ", ".join(made.targets),
        "periods": ", ".join(made.periods),
        "made_at": iso(made.made_at),
        **made.facts,
        _DIGEST: _digest(names),
    }


def _line(text: str) -> str:
    return " ".join(text.split())


def _digest(names: Iterable[str]) -> str:
    """Of the names in any order: sorting the file changes nothing."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", "it lists the inputs of a training, one a line") from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: this is no UTF-8", "save it as UTF-8 text, one name a line") from None


def _names(path: Path, lines: Sequence[str]) -> tuple[str, ...]:
    first: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name = line.split("#")[0].strip()
        if name in first:
            raise DataError(f"{path}, line {number}: {name!r} stands in line {first[name]} already", "remove one")
        if name:
            first[name] = number
    if not first:
        raise DataError(f"{path} lists no input", "name some, or remove the file to train on all inputs")
    return tuple(first)


def _header(path: Path, lines: Sequence[str]) -> dict[str, tuple[int, str]] | None:
    """Key to line number and value of the comments above the first name; None for a list made by hand."""
    comments = [(number, line.strip()[1:].strip()) for number, line in enumerate(lines, 1) if line.startswith("#")]
    first_name = next(number for number, line in enumerate(lines, 1) if line.split("#")[0].strip())
    if not any(text.startswith((_OPENING, *(f"{key}:" for key in _SIGNS))) for _, text in comments):
        return None
    header: dict[str, tuple[int, str]] = {}
    for number, text in comments:
        found = _FACT.fullmatch(text)
        if found is None or number > first_name:
            continue
        if found[1] in header:
            raise _damaged(path, number, f"{found[1]!r} stands in line {header[found[1]][0]} already")
        header[found[1]] = number, found[2] or ""
    for key in _KEYS:
        if key not in header:
            raise _damaged(path, first_name, f"above the first name there is no '# {key}: ...'")
    return header


def _provenance(path: Path, header: Mapping[str, tuple[int, str]]) -> Provenance:
    def instant(key: str) -> int:
        number, value = header[key]
        try:
            return parse_iso(value)
        except ValueError:
            raise _damaged(path, number, f"{key} is {value!r}, and no time like 2024-01-31T00:00:00Z") from None

    number, snapshot = header["snapshot"]
    if not re.fullmatch(r"[0-9]+", snapshot):
        raise _damaged(path, number, f"snapshot is {snapshot!r}, and no number")
    return Provenance(
        command=header["command"][1],
        snapshot=int(snapshot),
        data=header["data"][1],
        cut=instant("cut"),
        last_label_end=instant("last_label_end"),
        targets=_listed(header["targets"][1]),
        periods=_listed(header["periods"][1]),
        made_at=instant("made_at"),
        facts={key: value for key, (_, value) in header.items() if key not in _KEYS},
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _damaged(path: Path, line: int, what: str) -> DataError:
    return DataError(
        f"{path}, line {line}: its header is damaged: {what}",
        "without it nobody knows which labels the selection has seen; write it anew: tftctl select run-pipeline",
    )
