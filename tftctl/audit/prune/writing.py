"""Writing what is left as tables of a transaction; the tables before it stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from tftctl.audit.prune.thin import Thinned
from tftctl.core.progress import Report, silent
from tftctl.features.marks import ABSENT
from tftctl.features.verdict import whole_mark
from tftctl.store import Snapshot, Transaction


def write(txn: Transaction, groups: Sequence[Thinned], dropped: Sequence[str], report: Report = silent) -> None:
    """Replace fused and targets by the rows and columns that stay; periods that lose nothing are left alone."""
    periods = list(dict.fromkeys(group.rows.period for group in groups))
    columns = {table: list(txn.base.columns(table)) for table in ("fused", "targets")}
    kept = {table: [name for name in names if name not in set(dropped)] for table, names in columns.items()}
    for done, period in enumerate(periods, 1):
        mine = [group for group in groups if group.rows.period == period]
        removed = any(group.removed for group in mine)
        for table, changed in (("fused", removed or bool(dropped)), ("targets", removed)):
            if changed:
                txn.replace(table, period, _frames(txn.base, table, mine, kept[table]))
        report("write", done, len(periods))


def _frames(
    snapshot: Snapshot, table: str, groups: Sequence[Thinned], columns: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Rows that stay, a few at a time; in the fused table with segments that no removed row lies in."""
    for group in sorted(groups, key=lambda group: group.rows.symbol):
        segment, place = group.segment, 0
        for here, frame in group.rows.chunks(snapshot, table, columns):
            left = frame.filter(pl.Series(group.kept[here])).select(columns)
            if table == "fused":
                left = left.with_columns(pl.Series("segment", segment[place : place + left.height]))
            place += left.height
            if left.height:
                yield left


def describe_fused(snapshot: Snapshot, dropped: Sequence[str], record: dict[str, Any]) -> dict[str, Any]:
    """The description of the pruned table: without definitions, so that the next build makes it anew.

    A mark of them is left, by which audits of the whole table are known.
    """
    meta = snapshot.meta("fused")
    gone = set(dropped)
    columns = {name: entry for name, entry in meta["columns"].items() if name not in gone}
    marks = meta.get("definitions", {})
    absent = {p: [name for name, mark in of.items() if mark == ABSENT] for p, of in marks.items()}
    without = {p: [n for n in names if n in columns] for p, names in (meta.get("without", {}) | absent).items()}
    kept = {key: value for key, value in meta.items() if key != "definitions"}
    earlier = [*meta.get("pruned", {}).get("earlier", []), _short(meta)] if "pruned" in meta else []
    return kept | {
        "columns": columns,
        "without": without,
        "origin": "pruned",
        "pruned": record | {"origin_before": meta.get("origin"), "whole": whole_mark(snapshot), "earlier": earlier},
    }


def describe_targets(snapshot: Snapshot, record: dict[str, Any], *, removed: bool) -> dict[str, Any]:
    """The description of targets that lost rows: without definitions, so that the next build makes them anew."""
    meta = snapshot.meta("targets")
    if not removed:
        return meta
    short = {"from_snapshot": record["from_snapshot"], "rows_dropped": record["rows_dropped"]}
    return {key: value for key, value in meta.items() if key != "definitions"} | {"pruned": short}


def first_origin(snapshot: Snapshot) -> str:
    """How the table was made before any pruning: `built` or `adopted`."""
    meta = snapshot.meta("fused")
    prunings = [*meta["pruned"]["earlier"], meta["pruned"]] if "pruned" in meta else []
    return str(prunings[0]["origin_before"] if prunings else meta.get("origin"))


def _short(meta: dict[str, Any]) -> dict[str, Any]:
    """An earlier pruning without its own past."""
    return {key: value for key, value in meta["pruned"].items() if key != "earlier"}
