"""From evidence of all groups to findings: one per column and class, with its first row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from tftctl.audit.findings import Finding
from tftctl.audit.leakage.classes import LABEL_SIDE, LATE
from tftctl.audit.leakage.evidence import UNSTEADY, Evidence, Stale, Suspicion, Unproven
from tftctl.audit.leakage.labels import BLIND
from tftctl.audit.leakage.resampling import Displaced
from tftctl.core.times import iso
from tftctl.core.verdicts import Verdict

STALE, UNSTABLE, MISJOINED, UNCOMPARED, REVISED = (
    "stale", "not proven", "not what was available", "never compared", "revised without vintages",
)  # fmt: skip
# the class of a suspicion that does not say it itself, and what shows it
Classify = Callable[[Suspicion], tuple[str, str]]


def leaks(evidence: Sequence[Evidence], classes: Mapping[str, tuple[str, str]]) -> Iterator[Finding]:
    """A FAIL per column and class. `classes`: class and detail by column, for suspicions that say none."""
    found: dict[tuple[str, str], list[tuple[Suspicion, str]]] = {}
    for suspicion in (s for one in evidence for s in one.suspicions):
        kind, detail = (suspicion.kind, "") if suspicion.kind else classes[suspicion.column]
        found.setdefault((suspicion.column, kind), []).append((suspicion, detail))
    for (column, kind), some in found.items():
        first, _ = min(some, key=lambda entry: (entry[0].rows[0], entry[0].symbol))
        groups = {(s.symbol, s.period) for s, _ in some}
        words = [next((detail for _, detail in some if detail), ""), _seen(first)]
        words.append(f"and in {len(groups) - 1} groups more" if len(groups) > 1 else "")
        text = "; ".join(dict.fromkeys(word for word in words if word))
        yield Finding(first.check, kind, text, column, first.symbol, first.period, iso(first.rows[0]))


def _seen(suspicion: Suspicion) -> str:
    """How it was seen, in words."""
    return f"seen with bars {suspicion.how}" if suspicion.check in ("features", "labels") else suspicion.how


def to_classify(evidence: Sequence[Evidence], sources: Mapping[str, Sequence[str]]) -> dict[str, Suspicion]:
    """One suspicion per column whose class is to be asked: of the group with most rows; not what leaking ones make.

    `sources`: columns that a normalised column or score is made from.
    """
    some = [s for one in evidence for s in one.suspicions if s.kind is None]
    named = {s.column for s in some}
    chosen: dict[str, Suspicion] = {}
    for suspicion in some:
        before = chosen.get(suspicion.column)
        made_from = set(sources.get(suspicion.column, ())) & named
        if not made_from and (before is None or len(suspicion.rows) > len(before.rows)):
            chosen[suspicion.column] = suspicion
    return chosen


def inherited(
    classes: dict[str, tuple[str, str]], evidence: Sequence[Evidence], sources: Mapping[str, Sequence[str]]
) -> None:
    """What is made from a leaking column leaks as it does."""
    for column in {s.column for one in evidence for s in one.suspicions if s.kind is None} - classes.keys():
        source = next(name for name in sources[column] if name in classes)
        classes[column] = classes[source][0], f"made from {source}"


def unproven(evidence: Sequence[Evidence], leaking: Collection[str | None]) -> Iterator[Finding]:
    """A NOT PROVEN per column and reason, but for those that are known to leak."""
    found: dict[tuple[str, str], list[Unproven]] = {}
    for entry in (entry for one in evidence for entry in one.unproven if entry.column not in leaking):
        found.setdefault((entry.column, entry.why), []).append(entry)
    for (column, why), some in found.items():
        more = f" (and in {len(some) - 1} groups more)" if len(some) > 1 else ""
        first = some[0]
        yield Finding("determinism" if why == UNSTEADY else "features", UNSTABLE, why + more, column, first.symbol,
                      first.period, verdict="NOT PROVEN")  # fmt: skip


def stale(evidence: Sequence[Evidence]) -> Iterator[Finding]:
    """Stored columns that are not what the bars give: NOT PROVEN; fused ones that no join of features gives: FAIL."""
    found: dict[tuple[str, str], list[Stale]] = {}
    for entry in (entry for one in evidence for entry in one.stale):
        found.setdefault((entry.table, entry.column), []).append(entry)
    for (table, column), some in found.items():
        first = min(some, key=lambda entry: entry.row)
        rows = f"{sum(entry.count for entry in some):,} rows of {len(some)} groups"
        failed = table == "fused"
        kind, verdict = (MISJOINED, "FAIL") if failed else (STALE, "NOT PROVEN")
        given = "is joined from features" if failed else "the bars give"
        detail = f"{rows} of {table} are not what {given} now"
        detail += "; make them again: tftctl features build"
        check = "fusion" if failed else "stored"
        yield Finding(check, kind, detail, column, first.symbol, first.period, iso(first.row), verdict)  # type: ignore[arg-type]


def never_compared(evidence: Sequence[Evidence], names: Iterable[str]) -> Iterator[Finding]:
    """Columns with values of which none stood before a cut in any window."""
    valid = set().union(*(one.valid for one in evidence))
    valued = set().union(*(one.valued for one in evidence))
    left_out = {entry.column for one in evidence for entry in one.unproven}
    for name in names:
        if name in valued and name not in valid | left_out:
            yield Finding(
                "features", UNCOMPARED, "its values begin too late in every group", name, verdict="NOT PROVEN"
            )


def blind_targets(evidence: Sequence[Evidence], names: Iterable[str]) -> Iterator[Finding]:
    """Targets that no bar of their horizon changes, in no row that was tried (A2)."""
    reacting = set().union(*(one.reacting for one in evidence))
    tried = set().union(*(one.tried for one in evidence))
    for name in names:
        if name not in reacting:
            verdict: Verdict = "FAIL" if name in tried else "NOT PROVEN"
            what = "no bar of its horizon changes a label" if name in tried else "no row with a whole horizon to try"
            yield Finding("labels", BLIND, what, name, verdict=verdict)


def displaced(found: Iterable[Displaced]) -> Iterator[Finding]:
    """Slow bars with prices of later hours FAIL; of earlier ones they are late, and told."""
    for bars in found:
        later = bars.shift > 0
        text = (
            f"{bars.share:.0%} of its {bars.slow} bars have the {bars.price} of the {bars.fast} bar {abs(bars.shift)} "
            f"{'later' if later else 'earlier'} than the {'last' if bars.price == 'close' else 'first'} inside them"
        )
        yield Finding("bars", LABEL_SIDE if later else "stamped at the close", text, None, bars.symbol, bars.slow,
                      iso(bars.row), "FAIL" if later else "PASS")  # fmt: skip


def early(name: str, stamps: Sequence[int]) -> Finding:
    """A macro series with values before their release."""
    text = f"{len(stamps):,} values are available before their period and release lag are over"
    return Finding("macro", LATE, text, name, row=iso(stamps[0]))


def revised(name: str) -> Finding:
    """A series of which only the last revision is known (T6)."""
    return Finding("macro", REVISED, "its values are those of later revisions", name, verdict="NOT PROVEN")
