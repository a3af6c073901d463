"""Small files of bars, and an import of them into a store of their own."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.workspace import Workspace
from tftctl.ingest.importer import ImportOptions
from tftctl.ingest.report import ImportReport
from tftctl.start.data_jobs import import_job
from tftctl.store import Store

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_704_067_200_000  # 2024-01-01T00:00Z, a Monday
HEADER = "timestamp,open,high,low,close,volume"


def bar_line(stamp: object, price: float = 100.0, volume: float = 5.0) -> str:
    """One line of a plain file."""
    return f"{stamp},{price},{price + 2},{price - 2},{price + 1},{volume}"


def bar_lines(count: int, *, first: int = START, step: int = HOUR, price: float = 100.0) -> list[str]:
    """Consecutive bars."""
    return [bar_line(first + i * step, price + i) for i in range(count)]


def write_lines(path: Path, lines: Sequence[str], header: str | None = HEADER) -> Path:
    """A text file of a header and lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return path


def run_import(workspace: Workspace, *paths: Path, **options: Any) -> ImportReport:
    """`tftctl data import` in this process; every file's rows add up."""
    found = import_job(workspace, list(paths), ImportOptions(**options))
    for file in found.files:
        assert file.rows_read == file.rows_accepted + file.rows_rejected + file.duplicates, file
        assert file.rows_rejected == sum(file.reasons.values()), file
    return found


def stored(workspace: Workspace, symbol: str, period: str = "1h") -> pl.DataFrame:
    """The bars of one group as the store has them now."""
    with Store(workspace.store).read() as snapshot:
        return snapshot.scan("bars", period, symbols=[symbol]).collect().sort("timestamp")


def rejects(found: ImportReport) -> list[tuple[int, str]]:
    """(line, reason) of rejects.csv."""
    path = Path(found.folder) / "rejects.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [(int(row["line"]), row["reason"]) for row in csv.DictReader(file)]
