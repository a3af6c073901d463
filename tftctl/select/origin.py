"""What a selection was made from: the rows, and the latest label that anything in it has looked at (SEMANTICS A4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftctl.core.errors import DataError
from tftctl.core.times import iso, parse_iso
from tftctl.select.evidence import Evidence, read_facts
from tftctl.select.gate_scores import GateScores


@dataclass(frozen=True, slots=True)
class Origin:
    """Snapshot and mark of the rows, training cut, latest label end read (ms UTC), and whose gates were added."""

    snapshot: int
    data: str
    cut: int
    last_label_end: int
    targets: tuple[str, ...]
    periods: tuple[str, ...]
    gates: str | None = None

    def document(self) -> dict[str, Any]:
        """JSON-able; `read_origin` reads it again."""
        return {
            "snapshot": self.snapshot,
            "data": self.data,
            "cut": iso(self.cut),
            "last_label_end": iso(self.last_label_end),
            "targets": list(self.targets),
            "periods": list(self.periods),
            "gates": self.gates,
        }


def origin_of(evidence: Sequence[Evidence], gates: GateScores | None) -> Origin:
    """Of trees and gates together. Raises DataError for cells of different snapshots, whose ranks are not comparable.

    A gate has seen what its training has: labels until its own cut, later ones where validation chose the checkpoint.
    """
    first = evidence[0].facts
    other = next((cell for cell in evidence if cell.facts["data"] != first["data"]), None)
    if other is not None:
        raise DataError(
            f"the evidence of {other.target} at {other.period} is of other rows (snapshot {other.facts['snapshot']}) "
            f"than that of {evidence[0].target} at {evidence[0].period} (snapshot {first['snapshot']})",
            "make all of it again: tftctl select tree-perm",
        )
    ends = [parse_iso(str(cell.facts["last_label_end"])) for cell in evidence]
    facts = gates.facts if gates is not None else {}
    if facts.get("last_label_end"):
        ends.append(parse_iso(str(facts["last_label_end"])))
    return Origin(
        snapshot=int(first["snapshot"]),
        data=str(first["data"]),
        cut=parse_iso(str(first["cut"])),
        last_label_end=max(ends),
        targets=tuple(dict.fromkeys(cell.target for cell in evidence)),
        periods=tuple(dict.fromkeys(cell.period for cell in reversed(evidence))),
        gates=f"{facts.get('run')} {facts.get('checkpoint')}" if gates is not None else None,
    )


def read_origin(path: Path) -> tuple[Origin, Mapping[str, Any]]:
    """Of a summary that `aggregate-core` wrote (`path` is its JSON), and all that stands there. Raises DataError."""
    facts = read_facts(path)
    if facts is None:
        raise DataError(f"{path} does not exist", "make it: tftctl select aggregate-core")
    try:
        return (
            Origin(
                snapshot=int(facts["snapshot"]),
                data=str(facts["data"]),
                cut=parse_iso(facts["cut"]),
                last_label_end=parse_iso(facts["last_label_end"]),
                targets=tuple(facts["targets"]),
                periods=tuple(facts["periods"]),
                gates=facts.get("gates"),
            ),
            facts,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} does not say what it was made from: {error}",
                        "make it again: tftctl select aggregate-core") from None  # fmt: skip
