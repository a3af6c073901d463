"""The three verdicts of audits, and which of several counts (SEMANTICS A1). Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Verdict = Literal["PASS", "FAIL", "NOT PROVEN"]
_WORST: tuple[Verdict, ...] = ("FAIL", "NOT PROVEN", "PASS")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL before NOT PROVEN before PASS; PASS of nothing."""
    return min(verdicts, key=_WORST.index, default="PASS")
