"""How often the test part has been looked at: one line per look, for the whole workspace (SEMANTICS S6)."""

from __future__ import annotations

import json

from tftctl.core.files import append_line
from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace

FILE = "test_evaluations.jsonl"


def count_look(workspace: Workspace, run: str, checkpoint: str) -> int:
    """Add one look at the test part and return how many there have been in this workspace, this one included."""
    path = workspace.runs / FILE
    append_line(path, json.dumps({"at": iso(now_ms()), "run": run, "checkpoint": checkpoint}))
    return looks_at_test(workspace)


def looks_at_test(workspace: Workspace) -> int:
    """Looks at the test part so far."""
    path = workspace.runs / FILE
    return path.read_bytes().count(b"\n") if path.is_file() else 0
