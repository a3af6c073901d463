"""What the select commands print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from tftctl.cli.output import counted, print_table, say
from tftctl.select.evidence import summarise

if TYPE_CHECKING:
    from tftctl.select.aggregate_core import Core
    from tftctl.select.tree_perm import TreeEvidence
    from tftctl.start.pipeline_jobs import Piped
    from tftctl.start.select_jobs import CoreFiles

_PREVIEW = ("period", "target", "feature", "importance", "low", "high", "z", "threshold", "above", "cluster_z")
_CORE = ("rank", "feature", "score", "trees", "gate", "p", "best", "above", "why")


def tree_document(found: TreeEvidence, folder: str) -> dict[str, Any]:
    """The JSON of `select tree-perm`."""
    return {
        "selected": [],
        "evidence": folder,
        "allowlist": None,
        "cells": [summarise(cell) for cell in found.cells],
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
        entry = summarise(cell)
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


def show_search(found: Mapping[str, Any]) -> None:
    """What a search has found, and what it is worth on the nested fold."""
    better = [entry for entry in found["history"] if entry["best"] == entry["objective"]]
    rows = [[_short(entry[name]) for name in ("trial", "size", "skill", "objective")] for entry in better]
    print_table(("trial", "size", "skill", "objective"), rows, f"{found['method']}: sets that were the best so far")
    say(f"{found['size']} of {found['pool']} features after {found['trials']} trials (ended by {found['stopped_by']}): "
        f"skill {found['skill']:.4f}, all of the pool {found['pool_skill']:.4f}")  # fmt: skip
    nested = found["nested"]
    say(f"nested fold {nested['first'][:10]} to {nested['last'][:10]}: skill {nested['skill']:.4f}, "
        f"{_gain(nested['gain'])} over the pool{_spent(nested)}")  # fmt: skip


def _spent(nested: Mapping[str, Any]) -> str:
    words = []
    if nested["spent_before"]:
        words.append(f"spent: {counted(nested['spent_before'], 'other search result')} looked at these days before")
    if nested["seen_by_pool"]:
        words.append("the pool itself was chosen with labels of these days")
    return f" ({'; '.join(words)})" if words else ""


def _gain(gain: Mapping[str, float]) -> str:
    return f"gain {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"


_SKILLS = ("selected", "all", "random", "random_low", "random_high", "last_selection")


def show_validation(found: Mapping[str, Any]) -> None:
    """Skill per test block, stability, and what remains of the gain."""
    rows = [
        [
            fold["first"][:10],
            fold["last"][:10],
            len(fold["selected"]),
            *(_short(fold["skill"][name]) for name in _SKILLS),
        ]
        for fold in found["folds"]
    ]
    print_table(("first", "last", "features", *_SKILLS), rows, "skill: 1 - loss / loss of the best constant forecast")
    for name, gain in found["gains"].items():
        if gain is not None:
            say(f"{_gain(gain)} over {name.replace('_', ' ')}")
    stability = found["stability"]
    indices = [f"{name} {_short(stability[key])}" for key, name in (("jaccard", "Jaccard"), ("kuncheva", "Kuncheva"))
               if stability[key] is not None]  # fmt: skip
    say(f"stability over blocks: {', '.join(indices) or 'nothing was selected'}")
    left = found["deflated"]
    p = "" if left["p"] is None else f", p {left['p']:.3f}"
    say(f"after {counted(left['trials'], 'trial')}: gain over all {left['gain']:+.4f}{p}; {left['statistic']}")


def show_pipeline(done: Piped) -> None:
    """The table that a pipeline ends with, its validation, and where the report is."""
    document, chosen = done.document, done.chosen
    summary = chosen.core.summary.filter(pl.col("feature").is_in(list(chosen.selected)))
    rows = [[_short(row[name]) for name in _CORE] for row in summary.iter_rows(named=True)]
    if rows:
        print_table(_CORE, rows, f"selected features, targets weighed by {document['stage']}")
    show_agreement(chosen.core)
    if document["optimize"] is not None:
        show_search(document["optimize"])
    if document["rolling"] is not None:
        show_validation(document["rolling"])
    parts = [{**entry, "what": f"{entry['target']} at {entry['period']}"} for entry in document["evidence"]]
    sampled = [entry for entry in parts if entry["train_rows_read"] < entry["train_rows"]]
    if sampled:
        say(f"rows of folds were sampled for {counted(len(sampled), 'cell')}, like {sampled[0]['what']}: "
            f"{_read(sampled[0], 'train')}, {_read(sampled[0], 'test')}")  # fmt: skip
    stages = ", ".join(f"{stage['name']} {stage['seconds']:.0f} s" for stage in document["stages"])
    say(f"{len(chosen.selected)} of {document['pool']} features selected in {document['seconds']:.0f} s ({stages})")
    say(f"report: {done.page}" + (f"; allowlist: {document['allowlist']}" if document["allowlist"] else ""))


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
