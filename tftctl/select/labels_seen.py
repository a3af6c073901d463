"""The latest label that the weights of a checkpoint and its choice have seen (SEMANTICS A4, S6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tftctl.core.times import now_ms, parse_iso
from tftctl.core.workspace import Workspace
from tftctl.train.ancestor import load_ancestor
from tftctl.train.checkpoint import CheckpointContent, LoadedCheckpoint
from tftctl.train.checkpoint_names import SCORED
from tftctl.train.keeper import LAST
from tftctl.train.rundir import Run, all_runs


@dataclass(frozen=True, slots=True)
class LabelsSeen:
    """`last_label_end` (ms UTC) bounds every label seen; `chosen_by_validation` with `why` in one line."""

    last_label_end: int
    chosen_by_validation: bool
    why: str


def labels_seen(workspace: Workspace, loaded: LoadedCheckpoint, run: Run | None, trained_until: int) -> LabelsSeen:
    """Of a checkpoint and of those that its training began with.

    `trained_until` is the latest label_end of its own training rows. Where an ancestor is gone, the bound is the start
    of the run that began with it: nobody trains on labels that have not come.
    """
    own = _own(loaded, max(trained_until, _selected_until(run)))
    older = list(_ancestors(workspace, loaded.content, run))
    last = max(seen.last_label_end for seen in (own, *older))
    chosen = [seen for seen in (own, *older) if seen.chosen_by_validation]
    return replace(chosen[0] if chosen else own, last_label_end=last)


def _selected_until(run: Run | None) -> int:
    """Latest label that the selection of a run's inputs has read (--allow-selection-overlap); 0 where none is known."""
    selection = run.manifest.get("selection") if run is not None else None
    last = selection.get("last_label_end") if isinstance(selection, dict) else None
    return parse_iso(last) if last else 0


def _own(loaded: LoadedCheckpoint, trained_until: int) -> LabelsSeen:
    content, name = loaded.content, loaded.path.name
    if SCORED.search(name):
        why = f"{name} was kept for its {content.config.monitor} of the validation part"
    elif name != LAST:
        why = f"{name} is not called {LAST}: it may have been chosen by its score"
    elif content.config.early_stopping is not None:
        why = "early stopping decides by the validation part when a training ends"
    else:
        return LabelsSeen(trained_until, False, f"the last checkpoint of {content.run}, whose length was fixed before")
    return LabelsSeen(max(trained_until, content.spec.choice_end), True, why)


def _ancestors(workspace: Workspace, content: CheckpointContent, run: Run | None) -> Iterator[LabelsSeen]:
    """Of the checkpoint that a resumed or warm-started training began with, and so on."""
    command = re.split(r"-\d", content.run)[0]
    if command == "train":
        return
    manifest = run.manifest if run is not None else {}
    lineage, name = manifest.get("lineage") or [None], manifest.get("checkpoint") or ""
    parent = next((found for found in _runs(workspace) if found[1].get("id") == lineage[0]), None)
    if parent is None or not any(parent[0].checkpoints.glob("*.ckpt")):
        begun = parse_iso(manifest["started"]) if "started" in manifest else now_ms()
        why = f"{content.run} began with a checkpoint that is gone; nobody knows how it was chosen"
        yield LabelsSeen(begun, True, why)
        return
    path = parent[0].checkpoints / name
    loaded, _ = load_ancestor(workspace, str(path if path.is_file() else parent[0].root))
    named = replace(loaded, path=path)  # every checkpoint of a run has its cuts; the name says how this one was chosen
    yield labels_seen(workspace, named, parent[0], loaded.content.spec.train_end)


def _runs(workspace: Workspace) -> Iterator[tuple[Run, dict[str, Any]]]:
    yield from ((run, run.manifest) for run in all_runs(workspace))
