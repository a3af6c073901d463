"""`tftctl audit leakage --run`: forecasts of a trained network are those that were possible at their time (A3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tftctl.audit.findings import Audit, Finding
from tftctl.audit.origins import Windows, choose_cuts, sample, windows_of
from tftctl.audit.rebuild import cannot_rebuild, rebuild
from tftctl.audit.replay import ROUNDING, Divergence, Subject, cut_short, is_steady, near, poisonings
from tftctl.core.errors import TftctlError
from tftctl.core.progress import Report, silent
from tftctl.core.times import iso
from tftctl.data.assemble import prepare_again
from tftctl.plugins import Registry
from tftctl.store import Snapshot, Store
from tftctl.train.checkpoint import LoadedCheckpoint
from tftctl.train.predict import load_predictor

NAME = "forecasts"
FUTURE = "forecast of the future"
CHECKED = (
    "forecasts are equal, bit for bit, when bars and macro values after the cut are not there and all features are "
    f"built anew (to {ROUNDING:g} standardised where inputs differ by one unit in the last place of float32)",
    "forecasts are equal, bit for bit, with all rows after the cut and all decoder unknowns set to 1e20 and to null",
    "the same origins have whole windows with and without what comes after the cut",
)


def audit_forecasts(
    workspace_store: Store, loaded: LoadedCheckpoint, registry: Registry, report: Report = silent
) -> Audit:
    """Forecast the last origins before some instants with and without everything that came after them.

    FAIL names target, symbol, period and the first origin whose forecast differs. NOT PROVEN where the snapshot, its
    definitions or plugins are gone, where stored features are not those that a build makes now, and for series that
    are revised. `facts`: the cuts, with the number of origins.
    """
    spec = loaded.content.spec
    try:
        with workspace_store.read(spec.snapshot) as snapshot:
            return _audit(_subject(workspace_store, snapshot, loaded, registry), report)
    except TftctlError as error:
        return Audit(NAME, (_unproven("it cannot be forecast again", error.message),), CHECKED)


def _subject(store: Store, snapshot: Snapshot, loaded: LoadedCheckpoint, registry: Registry) -> Subject:
    spec = loaded.content.spec
    stored = windows_of(prepare_again(store.root, snapshot, spec, registry))
    cuts = choose_cuts(stored, spec.train_end)
    return Subject(snapshot, spec, registry, load_predictor(loaded, registry), stored, cuts)


def _audit(subject: Subject, report: Report) -> Audit:
    facts = {"cuts": [{"at": iso(cut), "origins": int(sample(subject.stored, cut).size)} for cut in subject.cuts]}
    if not subject.cuts:
        return Audit(NAME, (_unproven("too few rows", "no origin has rows after it"),), CHECKED, facts)
    if not is_steady(subject):
        unsteady = _unproven("not deterministic", "two identical runs of the network give different forecasts")
        return Audit(NAME, (unsteady,), CHECKED, facts)
    poisoned = [*_futures(list(poisonings(subject))), *_revised(subject)]
    return Audit(NAME, (*poisoned, *_rebuilt(subject, report)), CHECKED, facts)


def _rebuilt(subject: Subject, report: Report) -> Iterator[Finding]:
    """Forecasts from features that are built anew, of all bars and of those before each cut."""
    if reason := cannot_rebuild(subject.snapshot):
        yield _unproven("cannot be built again", f"only rows in memory were disturbed: {reason}")
        return
    found: list[Divergence] = []
    total = len(subject.cuts) + 1
    with TemporaryDirectory(prefix="tftctl-") as folder:
        try:
            fresh = _built(subject, Path(folder) / "all", None)
            report("builds", 1, total)
            stale = list(_stale(subject, fresh))
            yield from stale
            for done, cut in enumerate(() if stale else subject.cuts, 1):
                found += cut_short(subject, fresh, _built(subject, Path(folder) / str(done), cut), cut)
                report("builds", 1 + done, total)
        except TftctlError as error:
            yield _unproven("cannot be built again", error.message)
    yield from _futures(found)


def _built(subject: Subject, root: Path, until: int | None) -> Windows:
    """Windows of the same groups, as far as they are there already, from features of a new store."""
    groups = {(group.symbol, group.period) for group in subject.spec.groups}
    store = rebuild(subject.snapshot, root, groups, until, subject.registry)
    with store.read() as snapshot:
        there = {
            (symbol, period) for period in snapshot.periods("fused") for symbol in snapshot.symbols("fused", period)
        }
        kept = [group for group in subject.spec.groups if (group.symbol, group.period) in there]
        spec = subject.spec.model_copy(update={"groups": kept})
        return windows_of(prepare_again(root, snapshot, spec, subject.registry))


def _stale(subject: Subject, fresh: Windows) -> Iterator[Finding]:
    """A1: stored inputs that a build of the same bars does not make are stale, not leaks."""
    advice = "the stored one is not what a build makes now: tftctl features build, then train again"
    now, then = fresh.prepared.panel, subject.stored.prepared.panel
    if now.groups != then.groups or not np.array_equal(now.available_at, then.available_at):
        yield Finding("features", "STALE", f"rows of the fused table: {advice}", verdict="NOT PROVEN")
        return
    named: set[str] = set()
    for group in then.groups:
        rows = slice(group.start, group.stop)
        same = near(subject.spec, group.period, then.features[rows], now.features[rows])
        for column in np.flatnonzero(~same.all(axis=0)):
            name, row = then.columns[column], group.start + int(np.argmin(same[:, column]))
            if name not in named:
                at = iso(int(then.timestamp[row]))
                yield Finding("features", "STALE", advice, name, group.symbol, group.period, at, "NOT PROVEN")
            named.add(name)


def _futures(found: Sequence[Divergence]) -> Iterator[Finding]:
    """One finding per target and group, at its first origin."""
    by_group: dict[tuple[str, str, str], list[Divergence]] = {}
    for entry in sorted(found, key=lambda entry: entry.key.timestamp):
        by_group.setdefault((entry.target, entry.key.symbol, entry.key.period), []).append(entry)
    for (target, symbol, period), entries in by_group.items():
        first, origins = entries[0], len({entry.key for entry in entries})
        detail = f"with {first.without}: {first.detail}; {origins} origins in all"
        yield Finding(NAME, FUTURE, detail, target, symbol, period, iso(first.key.timestamp))


def _revised(subject: Subject) -> Iterator[Finding]:
    """T6: of a revised series only the latest vintage is there."""
    series: dict[str, Any] = subject.snapshot.meta("macro").get("series", {})
    for item in subject.spec.inputs:
        if series.get(item.block or "", {}).get("revised"):
            detail = "a revised series without vintages: what was published first is not known"
            yield Finding(NAME, "revised series", detail, item.name, verdict="NOT PROVEN")


def _unproven(kind: str, detail: str) -> Finding:
    return Finding(NAME, kind, detail, verdict="NOT PROVEN")
