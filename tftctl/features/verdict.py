"""What the last audits said of the fused table and its labels, kept in the manifest (DESIGN 2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from tftctl.core.times import iso, now_ms
from tftctl.core.verdicts import Verdict, worst
from tftctl.store import Snapshot, Store


class Said(BaseModel):
    """The verdict of one audit: of which snapshot, when, of which data, and made by which definitions.

    `whole` are the definitions of the table that the audited one was pruned from; of no pruned one its own.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    verdict: Verdict
    snapshot: int
    at: str
    data: str
    definitions: str = ""
    whole: str = ""


class AuditRecord(BaseModel):
    """Verdicts by audit (`time`, `leakage`)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    audits: dict[str, Said] = {}

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return worst(said.verdict for said in self.audits.values())


def last_audits(snapshot: Snapshot) -> AuditRecord:
    """What is recorded with a snapshot's fused table; empty where nothing is."""
    found = snapshot.meta("fused").get("audit") if snapshot.has("fused") else None
    return AuditRecord.model_validate(found) if isinstance(found, Mapping) else AuditRecord()


def data_mark(snapshot: Snapshot) -> str:
    """Changes with every row and column of the fused table and the labels."""
    versions = [snapshot.data_version(table) for table in ("fused", "targets") if snapshot.has(table)]
    return hashlib.sha256(" ".join(versions).encode()).hexdigest()[:16]


def definitions_mark(snapshot: Snapshot) -> str:
    """Changes with the columns of the fused table and the labels, and with what makes them; not with rows."""
    made = [[snapshot.meta(table).get("definitions"), snapshot.meta(table).get("columns")]
            for table in ("fused", "targets") if snapshot.has(table)]  # fmt: skip
    pruned = _pruned(snapshot).get("whole")
    return hashlib.sha256(json.dumps([*made, *([pruned] if pruned else [])], sort_keys=True).encode()).hexdigest()[:16]


def whole_mark(snapshot: Snapshot) -> str:
    """The definitions before any pruning, which takes them from the table's description."""
    return str(_pruned(snapshot).get("whole") or definitions_mark(snapshot))


def standing(snapshot: Snapshot) -> AuditRecord:
    """The verdicts that hold for the columns as they are made; `data` tells whether also for these very rows.

    A failure holds for all that is pruned from a table, and for the whole of it when a part has failed: nobody kept
    which columns it was of. A pass holds for the audited columns only.
    """
    made, whole = definitions_mark(snapshot), whole_mark(snapshot)
    return AuditRecord(
        audits={
            name: said
            for name, said in last_audits(snapshot).audits.items()
            if said.definitions == made or (said.verdict == "FAIL" and (said.whole or said.definitions) == whole)
        }
    )


def audited_as_it_is(snapshot: Snapshot, audit: str = "leakage") -> bool:
    """Whether that audit has seen exactly these rows."""
    said = last_audits(snapshot).audits.get(audit)
    return said is not None and said.data == data_mark(snapshot)


def said_of(tables: Snapshot, number: int, verdict: Verdict) -> Said:
    """A verdict, given now, of tables that are or will be snapshot `number`."""
    return Said(verdict=verdict, snapshot=number, at=iso(now_ms()), data=data_mark(tables),
                definitions=definitions_mark(tables), whole=whole_mark(tables))  # fmt: skip


def with_verdict(tables: Snapshot, audit: str, said: Said) -> dict[str, Any]:
    """What the tables' record becomes with another verdict, JSON-able; those of other audits stay."""
    return AuditRecord(audits={**last_audits(tables).audits, audit: said}).model_dump(mode="json")


def record_audit(store: Store, audited: Snapshot, audit: str, verdict: Verdict) -> int | None:
    """Keep a verdict with the current snapshot, as a new one whose rows are the same; None where others are there now.

    A verdict of other rows than the current ones is not kept: a build has come between. One that is kept already makes
    no snapshot.
    """
    with store.write(f"audit {audit}") as txn:
        base = txn.base
        if not base.has("fused") or data_mark(base) != data_mark(audited):
            return None
        known, said = last_audits(base).audits.get(audit), said_of(base, audited.number, verdict)
        if known is not None and (known.verdict, known.data, known.definitions) == (
            verdict,
            said.data,
            said.definitions,
        ):
            return base.number
        record = with_verdict(base, audit, said)
        txn.set_meta("fused", {**base.meta("fused"), "audit": record})
        return txn.commit()


def _pruned(snapshot: Snapshot) -> Mapping[str, Any]:
    found = snapshot.meta("fused").get("pruned") if snapshot.has("fused") else None
    return found if isinstance(found, Mapping) else {}


def carried(meta: Mapping[str, Any]) -> Any:
    """The record of the table that a build starts from: the next one tells by its `data` whether it still holds."""
    return meta.get("audit") if isinstance(meta.get("audit"), Mapping) else None
