"""Which runs `tftctl runs clean` is asked to remove."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tftctl.core.errors import UsageError
from tftctl.core.times import now_ms, parse_iso
from tftctl.train.runs.summary import RunSummary

_DURATION = re.compile(r"(\d{1,6})\s*(m|h|d|w)")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


@dataclass(frozen=True, slots=True)
class Criteria:
    """All of them together: a name like `match`, a start before `before_ms`; of those the `keep_best` best stay."""

    match: str | None = None
    before_ms: int | None = None
    keep_best: int = 0

    def asks_for(self, run: RunSummary) -> bool:
        """Whether name and start fit; a run that does not say when it started is never before an instant."""
        if not fnmatchcase(run.run, self.match or "*"):
            return False
        started = started_ms(run)
        return self.before_ms is None or (started is not None and started < self.before_ms)


def criteria(match: str | None, before: str | None, older_than: str | None, keep_best: int | None) -> Criteria:
    """The criteria that a command line names. Raises UsageError when it names none, or no date or duration."""
    if match is None and before is None and older_than is None and keep_best is None:
        raise UsageError(
            "runs clean needs to be told which runs", "--match GLOB, --before DATE, --older-than 30d or --keep-best N"
        )
    instants = [_before(before)] if before is not None else []
    instants += [now_ms() - duration_ms(older_than)] if older_than is not None else []
    return Criteria(match, min(instants, default=None), keep_best or 0)


def duration_ms(text: str) -> int:
    """`45m`, `12h`, `30d`, `8w` in milliseconds. Raises UsageError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(f"--older-than {text}: not a duration", "like 45m, 12h, 30d or 8w")
    return int(found[1]) * _UNIT_MS[found[2]]


def best_of(runs: Sequence[RunSummary], count: int) -> list[RunSummary]:
    """The `count` best by composite score, then by loss, then the newest; runs without scores come last."""

    def rank(run: RunSummary) -> tuple[bool, float, bool, float, int]:
        score, loss = run.val_composite_score, run.val_loss
        return score is None, -(score or 0.0), loss is None, loss or 0.0, -(started_ms(run) or 0)

    return sorted(runs, key=rank)[:count]


def started_ms(run: RunSummary) -> int | None:
    """When a run began; None where its manifest has no readable time."""
    try:
        return parse_iso(run.started)
    except ValueError:
        return None


def _before(text: str) -> int:
    try:
        return parse_iso(text.strip())
    except (ValueError, OverflowError):
        raise UsageError(f"--before {text}: not a date", "like 2026-11-26 or 2026-11-26T09:30Z, UTC") from None
