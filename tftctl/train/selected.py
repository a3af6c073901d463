"""Whether a training may rely on the selection of its inputs: which labels that has read (SEMANTICS A4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError
from tftctl.core.progress import Say
from tftctl.core.times import iso, parse_iso
from tftctl.data.allowlist import PLACE, Allowlist, Provenance
from tftctl.features.verdict import data_mark
from tftctl.store import Snapshot

if TYPE_CHECKING:
    from tftctl.train.rundir import Run

FLAG = "--allow-selection-overlap"


def require_selected(
    allowlist: Allowlist | None, snapshot: Snapshot, config: ModelConfig, *, allow_overlap: bool
) -> None:
    """As `require_before`, of the cut that this configuration makes: one look at the rows' instants, no labels."""
    if allowlist is not None and allowlist.provenance is not None and not allow_overlap:
        require_before(allowlist, training_end(snapshot, config))


def training_end(snapshot: Snapshot, config: ModelConfig) -> int:
    """The first cut of a training (ms UTC). Raises DataError for unknown groups, and for too few days."""
    import numpy as np

    from tftctl.data.cuts import training_cuts
    from tftctl.data.panel import choose_groups

    symbols: dict[str, list[str]] = {}
    for symbol, period in choose_groups(snapshot, config.periods, config.symbols):
        symbols.setdefault(period, []).append(symbol)
    scans = [snapshot.scan("fused", p, symbols=names, columns=["available_at"]) for p, names in symbols.items()]
    instants = [snapshot.collect(scan)["available_at"].to_numpy() for scan in scans]
    return training_cuts(np.concatenate(instants), config).first


def require_before(allowlist: Allowlist | None, train_end: int) -> None:
    """Raise DataError where the selection has read labels that end after a training's cut (ms UTC)."""
    made = allowlist.provenance if allowlist else None
    if made is not None and made.last_label_end > train_end:
        raise DataError(
            _overlap(made.last_label_end, train_end),
            "select again inside it: tftctl select run-pipeline with the same val_ratio and test_ratio (or days); "
            f"or name {FLAG}, which the run then says",
        )


def tell_selection(
    allowlist: Allowlist | None,
    snapshot: Snapshot,
    train_end: int,
    targets: Sequence[str],
    periods: Sequence[str],
    say: Say,
) -> None:
    """Say what the reader of this training's scores has to know about its selection; nothing for one made by hand."""
    made = allowlist.provenance if allowlist else None
    if allowlist is None or made is None:
        return
    if made.last_label_end > train_end:
        say(f"{_overlap(made.last_label_end, train_end)}: scores after that are not independent of it")
    if allowlist.edited:
        say(f"{PLACE} was edited by hand since it was made by {made.command}")
    if made.data != data_mark(snapshot):
        say(f"{PLACE} was selected on other rows, those of snapshot {made.snapshot}: tftctl select run-pipeline")
    for difference in _differences(made, targets, periods):
        say(f"{PLACE} {difference}")


def selection_facts(allowlist: Allowlist | None, snapshot: Snapshot, *, allow_overlap: bool) -> dict[str, Any] | None:
    """What a run's manifest says: the chosen inputs and how they were chosen; null where all are inputs.

    `current`: made from the very rows that are trained on. All but names is null of a list that was made by hand.
    """
    if allowlist is None:
        return None
    made = allowlist.provenance
    return {
        "file": PLACE,
        "features": list(allowlist.names),
        "command": made.command if made else None,
        "snapshot": made.snapshot if made else None,
        "data": made.data if made else None,
        "cut": iso(made.cut) if made else None,
        "last_label_end": iso(made.last_label_end) if made else None,
        "targets": list(made.targets) if made else None,
        "periods": list(made.periods) if made else None,
        "made_at": iso(made.made_at) if made else None,
        "facts": dict(made.facts) if made else {},
        "edited": allowlist.edited,
        "current": made.data == data_mark(snapshot) if made else None,
        "allow_selection_overlap": allow_overlap,
    }


def overlaps(run: Run, train_end: int, *, allow_overlap: bool) -> bool:
    """Whether a run was trained with a selection that had read past its own cut (ms UTC).

    Raises DataError where it was and that is not allowed, and where the manifest says no time.
    """
    last = _last_read(run)
    if last is None or last <= train_end:
        return False
    if not allow_overlap:
        raise DataError(
            f"{run.name}: {_overlap(last, train_end)}",
            f"its scores are not independent of the selection; see them all the same: tftctl eval {run.name} {FLAG}",
        )
    return True


def _last_read(run: Run) -> int | None:
    """None where nothing is known: no selection, one made by hand, or a run of an older version (a plain list)."""
    manifest = run.manifest
    facts = manifest.get("selection") if isinstance(manifest, Mapping) else None
    said = facts.get("last_label_end") if isinstance(facts, Mapping) else None
    if said is None:
        return None
    try:
        return parse_iso(said)
    except (AttributeError, ValueError):
        raise DataError(
            f"{run.root / 'manifest.json'}: selection.last_label_end is {said!r}, and no time",
            "it says which labels the selection has read; train again",
        ) from None


def selection_words(facts: Any) -> str:
    """What a run's manifest says of its selection, in a few words."""
    if facts is None:
        return "none"
    if not isinstance(facts, Mapping):
        return f"{len(facts)} features" if isinstance(facts, list) else "unreadable"
    made_by = facts.get("command")
    words = [
        f"{len(facts.get('features') or ())} features",
        f"by {made_by}" if made_by else "listed by hand",
        f"labels to {facts['last_label_end']}" if facts.get("last_label_end") else "",
        "of other rows" if facts.get("current") is False else "",
        "edited by hand since" if facts.get("edited") else "",
        FLAG if facts.get("allow_selection_overlap") else "",
    ]
    return "; ".join(word for word in words if word)


def _overlap(last: int, train_end: int) -> str:
    return f"the selection in {PLACE} has read labels until {iso(last)}, past the end of training {iso(train_end)}"


def _differences(made: Provenance, targets: Sequence[str], periods: Sequence[str]) -> list[str]:
    found = []
    for what, chosen, trained in (("targets", made.targets, targets), ("periods", made.periods, periods)):
        more, fewer = [n for n in trained if n not in chosen], [n for n in chosen if n not in trained]
        if chosen and (more or fewer):
            parts = [f"not for {', '.join(more)}" if more else "", f"also for {', '.join(fewer)}" if fewer else ""]
            found.append(f"was selected for other {what}: {' and '.join(part for part in parts if part)}")
    return found
