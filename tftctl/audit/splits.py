"""`tftctl audit splits`: whether the parts of a training share anything in time (SEMANTICS S4, S5, S6).

What a training says of itself is compared with what the store says, read anew: instants by row, and statistics by
Polars over the rows before the cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.findings import Audit, Finding
from tftctl.core.times import iso
from tftctl.data.assemble import Prepared
from tftctl.data.spec import DataSpec
from tftctl.data.splits import SPLITS
from tftctl.store import Snapshot

Rows = npt.NDArray[np.int64]
TOLERANCE = 1e-4  # of a statistic, relative to the column's deviation; inputs are stored in float32
CHECKS = ("overlap", "embargo", "duplicates", "inputs", "labels", "encodings")
CHECKED = (
    "label spans (t0, t1] of training, validation and test do not overlap, over all symbols and periods together",
    "later origins keep the embargo after each cut",
    "no forecast origin is in two parts, or twice in one",
    "means and deviations of inputs and labels are those of rows before the training cut alone",
    "every embedded symbol and period has a training origin",
)


def audit_splits(prepared: Prepared, snapshot: Snapshot) -> Audit:
    """Check the splits, statistics and encodings of a training against the snapshot that it reads.

    `facts["groups"]` has, per symbol and period, origins of each part, and rows removed by purge and by embargo.
    """
    findings = [
        *_overlaps(prepared),
        *_embargoes(prepared),
        *_twice(prepared),
        *_input_statistics(prepared.spec, snapshot),
        *_label_statistics(prepared.spec, snapshot),
        *_encodings(prepared),
    ]
    spec = prepared.spec
    cuts = {"train_end": iso(spec.train_end), "val_end": iso(spec.val_end), "embargo_ms": spec.embargo_ms}
    return Audit("splits", tuple(findings), CHECKED, {"cuts": cuts, "groups": _groups(prepared)}, CHECKS)


def _overlaps(prepared: Prepared) -> Iterator[Finding]:
    """A label of an earlier part must have ended when the first of a later one begins."""
    t0, t1 = prepared.panel.available_at, prepared.panel.last_label_end()
    for earlier, later in combinations(SPLITS, 2):
        before, after = prepared.splits[earlier], prepared.splits[later]
        if not before.size or not after.size:
            continue
        begin = int(t0[after].min())
        late = before[t1[before] > begin]
        if late.size:
            row = int(late[np.argmin(t0[late])])
            detail = f"{late.size:,} {earlier} labels end after the first {later} label begins ({iso(begin)})"
            yield _at(prepared, row, "overlap", "label span over a cut", detail)


def _embargoes(prepared: Prepared) -> Iterator[Finding]:
    spec, t0 = prepared.spec, prepared.panel.available_at
    for part, cut in (("val", spec.train_end), ("test", spec.val_end)):
        rows = prepared.splits[part]  # type: ignore[index]
        early = rows[t0[rows] < cut + spec.embargo_ms]
        if early.size:
            row = int(early[np.argmin(t0[early])])
            yield _at(prepared, row, "embargo", "origin within the embargo", f"{early.size:,} {part} origins do")


def _twice(prepared: Prepared) -> Iterator[Finding]:
    panel = prepared.panel
    rows = np.concatenate([prepared.splits[part] for part in SPLITS])
    keys = np.stack([panel.group[rows].astype(np.int64), panel.timestamp[rows]], axis=1)
    _, first, counts = np.unique(keys, axis=0, return_index=True, return_counts=True)
    for place in first[counts > 1]:
        yield _at(prepared, int(rows[place]), "duplicates", "duplicate forecast origin", "it is there more than once")


def _input_statistics(spec: DataSpec, snapshot: Snapshot) -> Iterator[Finding]:
    """Pooled over symbols, per period and column, on unfilled rows with available_at <= the training cut."""
    names = [item.name for item in spec.inputs]
    for place, period in enumerate(spec.periods):
        symbols = [group.symbol for group in spec.groups if group.period == period]
        found = snapshot.collect(
            snapshot.scan("fused", period, symbols=symbols, columns=[*names, "available_at", "is_filled"])
            .filter(pl.col("available_at") <= spec.train_end, ~pl.col("is_filled"))
            .select(
                *(pl.col(name).cast(pl.Float64).mean().alias(f"mean {name}") for name in names),
                *(pl.col(name).cast(pl.Float64).std(ddof=0).alias(f"std {name}") for name in names),
            )
        ).row(0, named=True)
        for column, name in enumerate(names):
            want = (found[f"mean {name}"] or 0.0, found[f"std {name}"] or 1.0)
            got = spec.input_mean[place][column], spec.input_std[place][column]
            if _differ(got, want):
                yield _statistics("inputs", name, None, period, got, want)


def _label_statistics(spec: DataSpec, snapshot: Snapshot) -> Iterator[Finding]:
    """Per symbol, period and regression target, on rows all of whose labels end by the training cut."""
    ends = pl.max_horizontal(*(f"label_end__{target.name}" for target in spec.targets))
    columns = [name for target in spec.targets for name in (target.name, f"label_end__{target.name}")]
    for group in spec.groups:
        if group.pooled:
            continue
        lazy = snapshot.scan("targets", group.period, symbols=[group.symbol], columns=columns)
        rows = snapshot.collect(lazy.filter(ends <= spec.train_end))
        for place, target in enumerate(spec.targets):
            labels = rows[target.name].drop_nulls().cast(pl.Float32).cast(pl.Float64)
            if target.kind != "regression" or not labels.len():
                continue
            want = float(labels.mean()), float(labels.std(ddof=0) or 1.0)  # type: ignore[arg-type]
            got = group.centre[place], group.scale[place]
            if _differ(got, want):
                yield _statistics("labels", target.name, group.symbol, group.period, got, want)


def _differ(got: tuple[float, float], want: tuple[float, float]) -> bool:
    scale = abs(want[1]) or 1.0
    return any(abs(x - y) > TOLERANCE * scale for x, y in zip(got, want, strict=True))


def _statistics(
    check: str, column: str, symbol: str | None, period: str, got: tuple[float, float], want: tuple[float, float]
) -> Finding:
    detail = (
        f"mean and deviation {got[0]:.6g}, {got[1]:.6g}; those of rows before the training cut are "
        f"{want[0]:.6g}, {want[1]:.6g}"
    )
    return Finding(check, "statistics over later data", detail, column, symbol, period)


def _encodings(prepared: Prepared) -> Iterator[Finding]:
    """An embedding without a training origin is as it was drawn: allowed where it is declared, and told."""
    panel, spec = prepared.panel, prepared.spec
    trained = [panel.groups[number] for number in np.unique(panel.group[prepared.splits["train"]])]
    present = {group.symbol for group in spec.groups if not group.pooled}
    for symbol in spec.symbols:
        if symbol not in {group.symbol for group in trained}:
            verdict = "NOT PROVEN" if symbol in present else "PASS"
            detail = "no training origin has it" + ("" if symbol in present else "; declared in categories")
            yield Finding("encodings", "untrained category", detail, symbol=symbol, verdict=verdict)  # type: ignore[arg-type]
    for period in spec.periods:
        if period not in {group.period for group in trained}:
            yield Finding("encodings", "untrained category", "no training origin has it", period=period)


def _groups(prepared: Prepared) -> list[dict[str, Any]]:
    """Origins of each part, and labelled rows left out between them: purged, or within an embargo, by cut."""
    panel, spec = prepared.panel, prepared.spec
    t0, t1 = panel.available_at, panel.last_label_end()
    labelled: npt.NDArray[np.bool_] = np.asarray(np.isfinite(panel.labels).any(axis=1))
    cuts = {"train_end": spec.train_end, "val_end": spec.val_end}
    found = []
    for number, group in enumerate(panel.groups):
        mine = np.zeros(panel.rows, bool)
        mine[group.start : group.stop] = labelled[group.start : group.stop]
        entry: dict[str, Any] = {"symbol": group.symbol, "period": group.period}
        for part in SPLITS:
            entry[part] = int((panel.group[prepared.splits[part]] == number).sum())
        for name, cut in cuts.items():
            entry[f"purged_at_{name}"] = int((mine & (t0 < cut) & (t1 > cut)).sum())
            entry[f"embargoed_after_{name}"] = int((mine & (t0 >= cut) & (t0 < cut + spec.embargo_ms)).sum())
        found.append(entry)
    return found


def _at(prepared: Prepared, row: int, check: str, kind: str, detail: str) -> Finding:
    panel = prepared.panel
    group = panel.groups[int(panel.group[row])]
    return Finding(check, kind, detail, None, group.symbol, group.period, iso(int(panel.timestamp[row])))
