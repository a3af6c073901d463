"""Prune and audit: what is decided becomes a new snapshot when its times pass the audit, else nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftctl.audit.findings import FOUND_VIOLATIONS, Audit
from tftctl.audit.prune.decide import Pruning, decide
from tftctl.audit.prune.inputs import Inputs
from tftctl.audit.prune.report import document, notes, record
from tftctl.audit.prune.rules import Rules, check
from tftctl.audit.prune.writing import describe_fused, describe_targets, write
from tftctl.audit.time.audit import TimeOptions, audit_time
from tftctl.audit.time.evidence import new_folder, write_json
from tftctl.core.config.model import ModelConfig
from tftctl.core.progress import Report, silent
from tftctl.features.verdict import said_of, with_verdict
from tftctl.store import Store, Transaction

TABLES = ("fused", "targets")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was decided and done. `number` is the new snapshot, None where there is none: a trial, no change, a FAIL."""

    pruning: Pruning
    number: int | None = None
    audit: Audit | None = None
    folder: Path | None = None

    @property
    def changes(self) -> bool:
        """Whether any column or row goes."""
        return bool(self.pruning.dropped) or self.pruning.removed > 0

    @property
    def exit_code(self) -> int:
        """5 where the result failed its audit."""
        return FOUND_VIOLATIONS if self.audit is not None and self.audit.verdict == "FAIL" else 0

    def document(self) -> dict[str, Any]:
        """The keys of DESIGN 7 and more."""
        audit = None if self.audit is None else {"verdict": self.audit.verdict, "findings": self._findings()}
        return document(self.pruning, self.number) | {
            "committed": self.number is not None,
            "audit": audit,
            "report": None if self.folder is None else str(self.folder / "report.json"),
            "notes": notes(self.pruning),
        }

    def _findings(self) -> list[dict[str, Any]]:
        assert self.audit is not None
        return [finding.document() for finding in self.audit.findings if finding.verdict != "PASS"]


def try_out(store: Store, rules: Rules, config: ModelConfig, inputs: Inputs, report: Report = silent) -> Pruned:
    """`--dry-run`: decide, and write nothing."""
    check(rules)
    with store.read() as snapshot:
        return Pruned(decide(snapshot, rules, config, inputs, report))


def prune(
    store: Store,
    rules: Rules,
    config: ModelConfig,
    inputs: Inputs,
    reports: Path,
    now: int,
    report: Report = silent,
) -> Pruned:
    """Decide, write, audit the times of the result, and commit it unless they fail.

    The writer's lock is held from reading the base to the commit (P2). Raises what `decide` raises.
    """
    check(rules)
    with store.write("prune") as txn:
        pruning = decide(txn.base, rules, config, inputs, report)
        found = Pruned(pruning)
        if found.changes:
            audit = _write(txn, pruning, reports, now, report)
            folder = new_folder(reports, "prune", now)
            number = None if audit.verdict == "FAIL" else txn.commit()
            found = Pruned(pruning, number, audit, folder)
    if found.folder is not None:
        write_json(found.folder / "report.json", found.document())
    return found


def _write(txn: Transaction, pruning: Pruning, reports: Path, now: int, report: Report) -> Audit:
    """Put the thinner tables into the transaction, and audit what it would commit."""
    write(txn, pruning.groups, pruning.gone, report)
    kept = record(pruning)
    txn.set_meta("fused", describe_fused(txn.base, pruning.gone, kept))
    txn.set_meta("targets", describe_targets(txn.base, kept, removed=pruning.removed > 0))
    audit = audit_time(txn.pending(), TABLES, reports, now, TimeOptions(), report).audit
    verdict = {"time_audit": audit.verdict}
    number = 1 + max([txn.base.number, *txn.storage.manifests()])
    said = said_of(txn.pending(), number, audit.verdict)
    # verdicts of other audits go along: they say of which rows and columns they are
    meta = describe_fused(txn.base, pruning.gone, kept | verdict)
    txn.set_meta("fused", meta | {"audit": with_verdict(txn.base, "time", said)})
    return audit
