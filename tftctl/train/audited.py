"""Whether a training may rely on its features: what the last audits said of them (DESIGN 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tftctl.core.errors import DataError
from tftctl.core.progress import Say
from tftctl.features.verdict import Said, audited_as_it_is, data_mark, definitions_mark, standing
from tftctl.store import Snapshot


def require_audited(snapshot: Snapshot, *, allow_unaudited: bool, say: Say) -> None:
    """Warn where nothing shows that the features know only the past; raise DataError where an audit has failed.

    A failure holds for rows that have come since and for what is pruned; columns that are made otherwise now are
    unaudited.
    """
    there = standing(snapshot).audits
    failures = {name: said for name, said in there.items() if said.verdict == "FAIL"}
    failed = " and ".join(f"audit {name} of snapshot {said.snapshot}" for name, said in failures.items())
    if failed and not allow_unaudited:
        raise DataError(
            f"the features of snapshot {snapshot.number} have failed {failed}", _what_next(snapshot, failures)
        )
    said = there.get("leakage")
    if failed:
        say(f"trained on features that have failed {failed}: --allow-unaudited")
    elif said is None:
        say(f"snapshot {snapshot.number} is unaudited: nothing shows that its features know only the past; "
            "tftctl audit leakage")  # fmt: skip
    elif not audited_as_it_is(snapshot):
        say(f"rows are others than those audited in snapshot {said.snapshot}: tftctl audit leakage")
    elif said.verdict == "NOT PROVEN":
        say(f"audit leakage of snapshot {said.snapshot} could not prove all of it: NOT PROVEN")


def _what_next(snapshot: Snapshot, failures: Mapping[str, Said]) -> str:
    """Whoever has pruned the columns that failed has to show it."""
    made = definitions_mark(snapshot)
    elsewhere = [name for name, said in failures.items() if said.definitions != made]
    pruned = "pruning lifts no failure, only another audit does: " if elsewhere else "see: "
    mend = "mend and build them again, or name --allow-unaudited, which the run then says"
    return f"{pruned}tftctl audit leakage; {mend}"


def audit_facts(snapshot: Snapshot, *, allow_unaudited: bool) -> dict[str, Any]:
    """What a run's manifest says: the verdict that holds, whether it is of the very rows, and the audits behind it."""
    record = standing(snapshot)
    if not record.audits:
        return {"verdict": None, "current": False, "audits": {}, "allow_unaudited": allow_unaudited}
    mark = data_mark(snapshot)
    return {
        "verdict": record.verdict,
        "current": all(said.data == mark for said in record.audits.values()),
        "audits": {name: said.model_dump(mode="json") for name, said in record.audits.items()},
        "allow_unaudited": allow_unaudited,
    }


def was_allowed(manifest: Mapping[str, Any]) -> bool:
    """Whether a run was trained with --allow-unaudited."""
    facts = manifest.get("audit")
    return isinstance(facts, Mapping) and bool(facts.get("allow_unaudited"))


def audit_words(facts: Any) -> str:
    """What a run's manifest says of audits, in a few words."""
    if not isinstance(facts, Mapping) or not facts.get("audits"):
        return "unaudited"
    each = ", ".join(f"{name} {said['verdict']}" for name, said in facts["audits"].items())
    more = ["" if facts["current"] else "of other rows", "--allow-unaudited" if facts["allow_unaudited"] else ""]
    return "; ".join([each, *(word for word in more if word)])
