"""The files that a time audit leaves: report.json and gaps.csv in a folder of their own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tftctl.audit.time.measure import Measured
from tftctl.core.errors import StoreError
from tftctl.core.times import iso

_GAP_COLUMNS = ("source", "symbol", "period", "from", "to", "missing")


def new_folder(reports: Path, name: str, now: int) -> Path:
    """Make reports/audits/NAME-YYYYMMDD_HHMMSS[-n], which was not there. Raises StoreError."""
    stamp = iso(now)[:19].replace("-", "").replace(":", "").replace("T", "_")
    number = 1
    while True:
        folder = reports / "audits" / (f"{name}-{stamp}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise StoreError(f"cannot make {folder}: {error.strerror}", "may you write there?") from None
        else:
            return folder


def write_gaps(folder: Path, groups: Iterable[Measured]) -> Path:
    """All gaps, the longest of each group first."""
    path = folder / "gaps.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_GAP_COLUMNS)
        for group in groups:
            writer.writerows((*_key(group), iso(hole.first), iso(hole.last), hole.missing) for hole in group.holes)
    return path


def longest_gaps(groups: Iterable[Measured], limit: int) -> list[dict[str, Any]]:
    """The gaps with most missing rows over all groups, as rows of gaps.csv."""
    every = [(-hole.missing, hole.first, group, hole) for group in groups for hole in group.holes[:limit]]
    return [
        dict(zip(_GAP_COLUMNS, (*_key(group), iso(hole.first), iso(hole.last), hole.missing), strict=True))
        for *_, group, hole in sorted(every, key=lambda entry: entry[:2])[:limit]
    ]


def _key(group: Measured) -> tuple[str, str, str | None]:
    return group.series.place, group.series.symbol, group.series.period


def write_json(path: Path, document: Mapping[str, Any]) -> Path:
    """One JSON document, readable."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path
