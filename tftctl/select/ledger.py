"""How much has been tried: one line per piece of work, for the whole workspace (SEMANTICS A5).

The same work done again (the same rows, settings and seed) is the same trial; it is counted once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftctl.core.errors import DataError
from tftctl.core.files import append_line
from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace

FILE = "selection_trials.jsonl"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The file of a workspace; it grows by whole lines only."""

    path: Path

    def count(self, command: str, key: str, trials: Mapping[str, int]) -> None:
        """Remember that a piece of work has tried so many choices per target; `key` says which work it was."""
        if any(line.get("key") == key and line.get("trials") == dict(trials) for line in self._lines("trials")):
            return
        self._append({"kind": "trials", "command": command, "key": key, "trials": dict(trials)})

    def trials(self, targets: Iterable[str]) -> dict[str, int]:
        """Trials so far, of all commands, per target; of one piece of work the most that it has counted."""
        most: dict[str, Counter[str]] = {}
        for line in self._lines("trials"):
            known = most.setdefault(str(line.get("key")), Counter())
            for target, number in line["trials"].items():
                known[target] = max(known[target], int(number))
        total: Counter[str] = sum(most.values(), Counter())
        return {target: total[target] for target in targets}

    def total(self, targets: Iterable[str]) -> int:
        """Trials so far of any of these targets: a set that was tried for several at once is one."""
        wanted, most = set(targets), dict[str, int]()
        for line in self._lines("trials"):
            tried = max((int(number) for target, number in line["trials"].items() if target in wanted), default=0)
            most[str(line.get("key"))] = max(most.get(str(line.get("key")), 0), tried)
        return sum(most.values())

    def spend(self, key: str, data: str, first: int, last: int) -> int:
        """Look at a nested fold; returns how many other pieces of work have looked at any part of it before.

        Work that looks again is told what it was told the first time.
        """
        earlier: set[str] = set()
        for line in self._lines("nested"):
            if line["key"] == key:
                return len(earlier)
            if line["first"] < last and line["last"] > first:
                earlier.add(str(line["key"]))
        self._append({"kind": "nested", "key": key, "data": data, "first": first, "last": last})
        return len(earlier)

    def _lines(self, kind: str) -> Iterator[Mapping[str, Any]]:
        if not self.path.is_file():
            return
        for number, text in enumerate(self.path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            try:
                line = json.loads(text)
                mine = line.get("kind") == kind
            except (ValueError, AttributeError):
                raise DataError(
                    f"{self.path}, line {number} is damaged: it counts what selections have tried",
                    "remove that line: what it counted is forgotten, the other lines still count",
                ) from None
            if mine:
                yield line

    def _append(self, line: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append_line(self.path, json.dumps({"at": iso(now_ms()), **line}))


def ledger_of(workspace: Workspace) -> Ledger:
    """The ledger of a workspace; it lies with the runs, which outlive reports."""
    return Ledger(workspace.runs / FILE)
