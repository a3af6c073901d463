"""What the select commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from tftctl.cli.output import counted, print_table, say

if TYPE_CHECKING:
    from tftctl.select.aggregate_core import Core
    from tftctl.select.evidence import Evidence
    from tftctl.select.tree_perm import TreeEvidence
    from tftctl.start.select_jobs import CoreFiles

_PREVIEW = ("period", "target", "feature", "importance", "low", "high", "z", "threshold", "above", "cluster_z")
_CORE = ("rank", "feature", "score", "trees", "gate", "p", "best", "above", "why")


def cell_document(cell: Evidence) -> dict[str, Any]:
    """A cell of evidence in a few numbers."""
    folds = cell.facts["folds"]
    return {
        "target": cell.target,
        "period": cell.period,
        "skill": cell.facts["skill"],
        "threshold_z": cell.facts["threshold_z"],
        "above": int(cell.features["above"].sum()),
        "rows": cell.facts["rows"],
        "folds": len(folds),
        **{key: sum(fold[key] for fold in folds) for key in
           ("train_rows", "train_rows_read", "test_rows", "test_rows_read")},
    }  # fmt: skip


def tree_document(found: TreeEvidence, folder: str) -> dict[str, Any]:
    """The JSON of `select tree-perm`."""
    return {
        "selected": [],
        "evidence": folder,
        "allowlist": None,
        "cells": [cell_document(cell) for cell in found.cells],
        "unfit": [{"target": unfit.target, "period": unfit.period, "why": unfit.why} for unfit in found.unfit],
        "fresh": found.fresh,
        "last_label_end": found.last_label_end,
        "seconds": round(found.seconds, 1),
    }


def show_trees(found: TreeEvidence, preview: int, folder: str) -> None:
    """The best features of every cell, and how many rows were read."""
    rows = []
    for cell in found.cells:
        for row in cell.features.head(preview).iter_rows(named=True):
            shown = {**row, "period": cell.period, "target": cell.target, "threshold": cell.facts["threshold_z"]}
            rows.append([_short(shown[name]) for name in _PREVIEW])
    if rows:
        print_table(_PREVIEW, rows, "importance in shares of the loss of a constant forecast; 95 % intervals")
    for cell in found.cells:
        entry = cell_document(cell)
        say(
            f"{cell.target} at {cell.period}: skill {entry['skill']:.4f}, {counted(entry['above'], 'feature')} above "
            f"z {entry['threshold_z']:.2f}; {entry['folds']} folds, {_read(entry, 'train')}, {_read(entry, 'test')}"
        )
    there = f", {found.fresh} of them were there already" if found.fresh else ""
    say(f"evidence of {counted(len(found.cells), 'cell')}{there}: {folder} ({found.seconds:.0f} s)")


def _read(entry: dict[str, Any], part: str) -> str:
    there, read = entry[f"{part}_rows"], entry[f"{part}_rows_read"]
    return f"{read:,} {part} rows" + (f" of {there:,} (sampled)" if read < there else "")


def show_core(files: CoreFiles, limit: int = 40) -> None:
    """The selected features, why the others are not, and how far trees and gates agree."""
    core = files.core
    chosen = core.summary.filter(pl.col("selected"))
    rows = [[_short(row[name]) for name in _CORE] for row in chosen.head(limit).iter_rows(named=True)]
    if rows:
        print_table(_CORE, rows, f"core set, targets weighed by {files.stage}")
    if chosen.height > limit:
        say(f"and {chosen.height - limit} more: {files.summary}")
    show_agreement(core)
    reasons = ", ".join(f"{number} {why}" for why, number in core.summary.group_by("why").len().sort("why").iter_rows())
    say(f"{chosen.height} of {core.summary.height} features selected ({reasons}); {files.summary}")
    if files.allowlist is not None:
        say(f"allowlist: {files.allowlist}; the next tftctl train reads it")


def show_agreement(core: Core) -> None:
    """Rank correlation and overlap of trees and gates."""
    for period, found in core.agreement.items():
        if found.spearman is not None and found.overlap is not None:
            say(f"trees and gates, {period}: Spearman {found.spearman:.2f} over {found.features} features, "
                f"{found.overlap:.0%} of the best {found.top} in common")  # fmt: skip


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
