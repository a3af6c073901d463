"""What an import did, for the reader and on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.core.times import iso
from tftctl.ingest.bars import REASON
from tftctl.ingest.reading import LINE


@dataclass(slots=True)
class FileReport:
    """One (file, symbol, period). rows_read = rows_accepted + rows_rejected + duplicates.

    `duplicates` are rows that say again what another row or the store says. `error` is set when the file as a whole
    could not be used; its rows are then rejected.
    """

    path: str
    symbol: str | None = None
    period: str | None = None
    rows_read: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    corrections: int = 0
    replaced: int = 0
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    rejects: list[pl.DataFrame] = field(default_factory=list)

    def reject(self, rows: pl.DataFrame) -> None:
        """Count and keep refused rows: `__line`, timestamp, `__reason`."""
        if rows.is_empty():
            return
        self.rejects.append(rows.select(LINE, "timestamp", REASON))
        self.rows_rejected += rows.height
        for reason, count in rows.group_by(REASON, maintain_order=True).len().iter_rows():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def fail(self, error: str) -> None:
        """The file as a whole cannot be used: nothing of it is accepted."""
        self.error = error
        self.rows_accepted, self.duplicates = 0, 0
        refused = self.rows_read - self.rows_rejected
        self.rows_rejected = self.rows_read
        if refused:
            self.reasons["whole file refused"] = refused

    def document(self) -> dict[str, Any]:
        """As JSON."""
        names = ("path", "symbol", "period", "rows_read", "rows_accepted", "rows_rejected", "duplicates", "reasons",
                 "corrections", "replaced", "warnings", "error")  # fmt: skip
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """A whole import."""

    files: tuple[FileReport, ...]
    snapshot: int
    folder: str

    @property
    def rows_accepted(self) -> int:
        """Rows that the store took."""
        return sum(file.rows_accepted for file in self.files)

    @property
    def rows_rejected(self) -> int:
        """Rows that were refused."""
        return sum(file.rows_rejected for file in self.files)

    @property
    def duplicates(self) -> int:
        """Rows that said nothing new."""
        return sum(file.duplicates for file in self.files)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "files": [file.document() for file in self.files],
            "rows_accepted": self.rows_accepted,
            "rows_rejected": self.rows_rejected,
            "duplicates": self.duplicates,
            "snapshot": self.snapshot,
            "report": self.folder,
        }


def write_report(folder: Path, files: Sequence[FileReport]) -> None:
    """Write report.json and, where rows were refused, rejects.csv into a new folder. Raises StoreError."""
    try:
        folder.mkdir(parents=True)
        document = [file.document() for file in files]
        (folder / "report.json").write_text(json.dumps({"files": document}, indent=2) + "\n", encoding="utf-8")
        rejects = _rejects(files)
        if rejects.height:
            rejects.write_csv(folder / "rejects.csv")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StoreError(f"cannot write the import report {folder}: {error.strerror}", "nothing was imported") from None


def report_folder(reports: Path, now: int) -> Path:
    """A folder that is not there yet: reports/imports/import-YYYYMMDD_HHMMSS[-n]."""
    stamp = iso(now)[:19].replace("-", "").replace(":", "").replace("T", "_")
    folder = reports / "imports" / f"import-{stamp}"
    number = 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"import-{stamp}-{number}")
    return folder


def _rejects(files: Sequence[FileReport]) -> pl.DataFrame:
    rows = [
        frame.select(
            pl.lit(file.path).alias("file"),
            pl.col(LINE).alias("line"),
            pl.lit(file.symbol, pl.String).alias("symbol"),
            pl.lit(file.period, pl.String).alias("period"),
            pl.col("timestamp").cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%dT%H:%M:%SZ").alias("timestamp"),
            pl.col(REASON).alias("reason"),
        ).sort("line")
        for file in files
        for frame in file.rejects
    ]
    return pl.concat(rows) if rows else pl.DataFrame()
