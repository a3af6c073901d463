"""How often the test part has been looked at: one line per look, for the whole workspace (SEMANTICS S6)."""

from __future__ import annotations

import json
import os

from tftctl.core.times import iso, now_ms
from tftctl.core.workspace import Workspace

FILE = "test_evaluations.jsonl"


def count_look(workspace: Workspace, run: str, checkpoint: str) -> int:
    """Add one look at the test part and return how many there have been in this workspace, this one included."""
    path = workspace.runs / FILE
    line = json.dumps({"at": iso(now_ms()), "run": run, "checkpoint": checkpoint}) + "\n"
    # one write in append mode: two evaluations at once cannot overwrite each other's line
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    return looks_at_test(workspace)


def looks_at_test(workspace: Workspace) -> int:
    """Looks at the test part so far."""
    path = workspace.runs / FILE
    return path.read_bytes().count(b"\n") if path.is_file() else 0
