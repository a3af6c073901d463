"""`tftctl select tree-perm`: the evidence of every (target, period), one cell after the other or several at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftctl.core.config.selection import SelectionConfig
from tftctl.core.errors import DataError
from tftctl.core.progress import Report, silent
from tftctl.core.times import iso
from tftctl.select.cell import measure_cell
from tftctl.select.clusters import clusters, correlations
from tftctl.select.evidence import (
    Evidence,
    evidence_path,
    read_cell,
    read_facts,
    replace_json,
    write_evidence,
)
from tftctl.select.folds import Cell, Unfit, describe_cell, find_unfit
from tftctl.select.ledger import Ledger
from tftctl.select.rows import Pool
from tftctl.select.work import cell_revision, cell_seed, digest, in_threads, pool_key

INDEX = "index.json"
_JUDGING = ("seed", "trees", "folds", "repeats", "cluster_correlation", "level")


@dataclass(frozen=True, slots=True, eq=False)
class TreeEvidence:
    """Evidence of all cells, those that could not be judged, and how many of them were there already."""

    cells: tuple[Evidence, ...]
    unfit: tuple[Unfit, ...]
    fresh: int
    seconds: float

    @property
    def last_label_end(self) -> str:
        """Latest label_end that was read."""
        return max(str(cell.facts["last_label_end"]) for cell in self.cells)


def cells_of(pool: Pool, targets: Sequence[str]) -> list[Cell]:
    """Every target at every period of the pool, the longest period first: it is the quickest to fail."""
    return [describe_cell(pool, target, period) for period in reversed(pool.periods) for target in targets]


def fit_cells(
    pool: Pool, targets: Sequence[str], settings: SelectionConfig, *, skip_unfit: bool
) -> tuple[list[Cell], list[Unfit]]:
    """Cells that can be judged, and those that cannot. Raises DataError for the first of these, or if none is left."""
    every = cells_of(pool, targets)
    found = [(cell, find_unfit(pool, cell, settings.folds)) for cell in every]
    unfit = [reason for _, reason in found if reason is not None]
    fitting = [cell for cell, reason in found if reason is None]
    if unfit and (not skip_unfit or not fitting):
        more = f" (and {len(unfit) - 1} more of {len(every)} cannot be judged)" if len(unfit) > 1 else ""
        raise DataError(unfit[0].why + more, unfit[0].hint)
    return fitting, unfit


def judge(
    pool: Pool,
    targets: Sequence[str],
    settings: SelectionConfig,
    folder: Path | None,
    jobs: int | None = None,
    report: Report = silent,
    *,
    skip_unfit: bool = False,
) -> TreeEvidence:
    """Judge all cells, and leave each in `folder` as soon as it is done; what is there and fresh is read.

    Cells that cannot be judged are found before anything is fitted. Raises what `fit_cells` raises.
    """
    started = time.perf_counter()
    fitting, unfit = fit_cells(pool, targets, settings, skip_unfit=skip_unfit)
    keys = {cell: cell_key(pool, cell, settings) for cell in fitting}
    known = {cell: _fresh(folder, cell, keys[cell]) for cell in fitting}
    missing = [cell for cell in fitting if known[cell] is None]
    found = {cell: there for cell, there in known.items() if there is not None}
    linked = {period: _clusters(pool, period, settings) for period in {cell.period for cell in missing}}

    def work(cell: Cell) -> Evidence:
        evidence = measure_cell(pool, cell, linked[cell.period], settings, cell_seed(settings, cell))
        evidence = Evidence(cell.target, cell.period, evidence.table, {**evidence.facts, "key": keys[cell]})
        if folder is not None:
            write_evidence(folder, evidence)
        return evidence

    if folder is not None and missing:
        (folder / INDEX).unlink(missing_ok=True)  # until all of it is there
    report("evidence", len(found), len(fitting))
    for cell, evidence in in_threads(work, missing, jobs):
        found[cell] = evidence
        report("evidence", len(found), len(fitting))
    made = TreeEvidence(tuple(found[cell] for cell in fitting), tuple(unfit), len(fitting) - len(missing),
                        time.perf_counter() - started)  # fmt: skip
    if folder is not None:
        replace_json(folder / INDEX, _index(pool, made))
    return made


def count_evidence(ledger: Ledger, found: TreeEvidence) -> None:
    """One trial per target, whichever command has made the evidence."""
    key = digest(sorted(str(cell.facts["key"]) for cell in found.cells))
    ledger.count("tree-perm", key, {cell.target: 1 for cell in found.cells})


def cell_key(pool: Pool, cell: Cell, settings: SelectionConfig) -> str:
    """Changes with everything that a cell's evidence depends on."""
    document = settings.model_dump(mode="json")
    return digest({
        "pool": pool_key(pool),
        "cell": [cell.target, cell.period],
        "columns": pool.periods[cell.period],
        "settings": {name: document[name] for name in _JUDGING},
        "made_by": cell_revision(),
    })  # fmt: skip


def read_index(folder: Path) -> list[Evidence]:
    """The cells that the last tree-perm left in a folder. Raises DataError where there is no complete evidence."""
    facts = read_facts(folder / INDEX)
    again = f"tftctl select tree-perm --out {folder}"
    if facts is None:
        begun = any(folder.glob("*.parquet")) if folder.is_dir() else False
        raise DataError(f"{folder} {'is not complete: tree-perm was stopped' if begun else 'has no evidence'}", again)
    try:
        listed = [(str(entry["period"]), str(entry["target"]), str(entry["key"])) for entry in facts["cells"]]
    except (KeyError, TypeError):
        listed = []
    if not listed:
        raise DataError(f"{folder / INDEX} lists no evidence", again)
    cells = [read_cell(evidence_path(folder, period, target)) for period, target, _ in listed]
    for cell, (_, _, key) in zip(cells, listed, strict=True):
        if cell.facts.get("key") != key:
            raise DataError(f"{folder}: {cell.target} at {cell.period} is of another tree-perm than the index, which "
                            "was stopped", again)  # fmt: skip
    return cells


def _clusters(pool: Pool, period: str, settings: SelectionConfig) -> list[list[int]]:
    return clusters(correlations(pool, period, [settings.seed]), settings.cluster_correlation)


def _fresh(folder: Path | None, cell: Cell, key: str) -> Evidence | None:
    """What is there already, made from the same rows with the same settings."""
    if folder is None:
        return None
    path = evidence_path(folder, cell.period, cell.target)
    try:
        facts = read_facts(path.with_suffix(".json"))
        return read_cell(path) if facts is not None and facts.get("key") == key else None
    except DataError:
        return None  # damaged: made again


def _index(pool: Pool, made: TreeEvidence) -> dict[str, Any]:
    return {
        "cells": [{"target": cell.target, "period": cell.period, "key": cell.facts["key"]} for cell in made.cells],
        "unfit": [{"target": cell.target, "period": cell.period, "why": cell.why} for cell in made.unfit],
        "snapshot": pool.snapshot,
        "data": pool.data,
        "cut": iso(pool.cut),
        "until": iso(pool.until),
        "last_label_end": made.last_label_end,
        "features": list(pool.features),
        "absent": {period: list(names) for period, names in pool.absent.items() if names},
        "seconds": round(made.seconds, 1),
    }
