"""What an audit finds, and what it concludes from it (SEMANTICS A1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tftctl.core.verdicts import Verdict, worst

FOUND_VIOLATIONS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an audit found. None where a place does not apply.

    `row` is the first offending row's timestamp (ISO 8601) or number, `kind` the class of the violation (`class` in the
    JSON), `verdict` what it means for the audit: a PASS finding is worth telling, and no more.
    """

    check: str
    kind: str
    detail: str
    column: str | None = None
    symbol: str | None = None
    period: str | None = None
    row: str | int | None = None
    verdict: Verdict = "FAIL"

    def document(self) -> dict[str, Any]:
        """The keys of DESIGN 7."""
        return {
            "check": self.check,
            "column": self.column,
            "symbol": self.symbol,
            "period": self.period,
            "row": self.row,
            "class": self.kind,
            "detail": self.detail,
            "verdict": self.verdict,
        }


# of JUnit: class and name, with what was found
Case = tuple[tuple[str, str], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Audit:
    """What one audit checked and found.

    `checked` says in words what a PASS means, `checks` names what is checked whether or not it finds anything; `facts`
    are tables of its own.
    """

    name: str
    findings: tuple[Finding, ...]
    checked: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    checks: tuple[str, ...] = ()

    def cases(self) -> Iterator[Case]:
        """A case per check, and per column where the facts say which there are (`verdicts`), with its findings."""
        columns = list(self.facts.get("verdicts", ()))
        for column in columns:
            yield (self.name, column), [finding for finding in self.findings if finding.column == column]
        left = [finding for finding in self.findings if finding.column not in columns]
        for check in dict.fromkeys([*self.checks, *(finding.check for finding in left)]):
            yield (self.name, check), [finding for finding in left if finding.check == check]

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings."""
        return worst(finding.verdict for finding in self.findings)

    def exit_code(self, *, strict: bool) -> int:
        """5 for FAIL, and for NOT PROVEN when `strict`; else 0."""
        failed = self.verdict == "FAIL" or (strict and self.verdict == "NOT PROVEN")
        return FOUND_VIOLATIONS if failed else 0

    def document(self) -> dict[str, Any]:
        """The document of `tftctl audit ... --json`."""
        findings = [finding.document() for finding in self.findings]
        return {
            "audit": self.name,
            "verdict": self.verdict,
            "findings": findings,
            "checked": list(self.checked),
            **self.facts,
        }


def joined(name: str, audits: Sequence[Audit]) -> Audit:
    """Several audits as one: all that they checked and found, their facts by name."""
    return Audit(
        name,
        tuple(finding for audit in audits for finding in audit.findings),
        tuple(text for audit in audits for text in audit.checked),
        {"verdicts": {audit.name: audit.verdict for audit in audits}, **{audit.name: audit.facts for audit in audits}},
    )
