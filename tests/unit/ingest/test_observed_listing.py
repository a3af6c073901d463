"""Gaps of symbols on the observed calendar (SEMANTICS T2, T3)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from ingest_world import DAY, START, bar_line, run_import, write_lines

from tftctl.core.workspace import Workspace
from tftctl.ingest.listing import list_gaps
from tftctl.store import Store


def gaps(workspace: Workspace) -> dict[str, list[int]]:
    """Missing days by symbol, counted from the start."""
    with Store(workspace.store).read() as snapshot:
        found: dict[str, list[int]] = {}
        for row in list_gaps(snapshot):
            day = (int(pl.Series([row["from"]]).str.to_datetime("%Y-%m-%dT%H:%M:%SZ").dt.epoch("ms")[0]) - START) // DAY
            found.setdefault(row["symbol"], []).append(day)
        return found


def test_gaps_are_counted_on_the_frozen_slots(workspace: Workspace, tmp_path: Path) -> None:
    """A slot counts where half of the listed symbols have a bar; what a build froze stays, later bars add theirs."""
    days = {"AAA": [0, 1, 2, 4, 6, 7, 8], "BBB": [0, 1, 2, 3, 4, 8], "CCC": [0, 1, 4, 7, 8], "DDD": [0, 1, 4, 5, 7, 8]}
    for name, numbers in days.items():
        lines = [bar_line(START + day * DAY) for day in numbers]
        run_import(workspace, write_lines(tmp_path / f"{name}_1d.csv", lines), calendar="observed")
    # by hand: days 0, 1, 2 (two of four), 4, 7 (three), 8 are slots; 3, 5 and 6 have one symbol
    assert gaps(workspace) == {"BBB": [7], "CCC": [2], "DDD": [2]}
    with Store(workspace.store).write("freeze") as txn:
        frozen = pl.DataFrame({"symbol": "observed", "period": "1d", "timestamp": [START + d * DAY for d in (0, 1, 4)]})
        txn.upsert("calendar", "1d", frozen)
        txn.commit()
    assert gaps(workspace) == {"BBB": [7]}
