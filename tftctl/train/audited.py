"""Whether a training may rely on its features: what the last audits said of them (DESIGN 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tftctl.core.errors import DataError
from tftctl.core.progress import Say
from tftctl.features.verdict import data_mark, definitions_mark, last_audits
from tftctl.store import Snapshot


def require_audited(snapshot: Snapshot, *, allow_unaudited: bool, say: Say) -> None:
    """Warn where nothing shows that the features know only the past; raise DataError where an audit has failed.

    A failure holds for rows that have come since; columns that are made otherwise now are unaudited.
    """
    record, made = last_audits(snapshot), definitions_mark(snapshot)
    there = {name: said for name, said in record.audits.items() if said.definitions == made}
    failed = " and ".join(f"audit {n} of snapshot {s.snapshot}" for n, s in there.items() if s.verdict == "FAIL")
    if failed and not allow_unaudited:
        raise DataError(
            f"the features of snapshot {snapshot.number} have failed {failed}",
            "see: tftctl audit leakage; mend and build them again, or name --allow-unaudited, which the run then says",
        )
    said = there.get("leakage")
    if failed:
        say(f"trained on features that have failed {failed}: --allow-unaudited")
    elif said is None:
        say(f"snapshot {snapshot.number} is unaudited: nothing shows that its features know only the past; "
            "tftctl audit leakage")  # fmt: skip
    elif said.data != data_mark(snapshot):
        say(f"rows are others than those audited in snapshot {said.snapshot}: tftctl audit leakage")
    elif said.verdict == "NOT PROVEN":
        say(f"audit leakage of snapshot {said.snapshot} could not prove all of it: NOT PROVEN")


def audit_facts(snapshot: Snapshot, *, allow_unaudited: bool) -> dict[str, Any]:
    """What a run's manifest says: the last verdict, whether it is of the very rows, and the audits it is made of."""
    record = last_audits(snapshot)
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
