"""What the checks report, and how one check after another is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tftctl.core.validity import record_problems

Check = Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with one record: `record` is like `indicator rsi`, `check` the name of the check."""

    record: str
    check: str
    detail: str

    def __str__(self) -> str:
        return f"{self.record}: {self.check}: {' '.join(self.detail.split())}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, like `indicator rsi`, and what was found; no finding means PASS."""

    checked: tuple[str, ...]
    findings: tuple[Finding, ...]


def run_checks(record: str, first: Mapping[str, Check], then: Mapping[str, Check]) -> list[Finding]:
    """Run the checks in order; those of `then` only when `first` found nothing."""
    return _run(record, first) or _run(record, then)


def malformed(word: str, record: Any) -> list[Finding]:
    """What loading the record as a plugin would complain of."""
    name = getattr(record, "name", "?")
    return [Finding(f"{word} {name}", "record", problem) for problem in record_problems(word, record)]


def _run(record: str, checks: Mapping[str, Check]) -> list[Finding]:
    return [Finding(record, name, detail) for name, check in checks.items() for detail in _details(check)]


def _details(check: Check) -> list[str]:
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001 - a guest may fail in any way; its failure is what we report
        return [f"it raises {type(error).__name__}: {error}"]
