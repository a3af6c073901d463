"""`tftctl features health`: what is wrong, moving or redundant in the fused table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.errors import DataError, choices
from tftctl.core.progress import Report, silent
from tftctl.features.columns import INPUT_ROLES
from tftctl.features.conventions import bars_of_labels
from tftctl.features.correlation import clusters, rank_correlation
from tftctl.features.drift import population_stability
from tftctl.features.label_health import TargetHealth, label_health
from tftctl.features.layout import Layout
from tftctl.features.marks import ABSENT
from tftctl.features.sampling import Group, choose_rows, find_groups, read_columns, read_rows
from tftctl.features.tally import Tally
from tftctl.plugins import Registry
from tftctl.store import Snapshot, Store

# of each period, drawn with seed 0: what drift and correlation are measured on
SAMPLE_ROWS = 50_000
CORRELATED = 0.95
SHIFTED = 0.25
HOLED = 0.01
FINDINGS = ("not finite", "empty", "constant", "holes", "drift", "identical", "correlated")


@dataclass(frozen=True, slots=True)
class ColumnHealth:
    """One column at one period, over the real (unfilled) rows of all symbols together.

    `coverage` is the share of rows that are not null; the others are `leading_nulls` (before a group's first value),
    `restart_nulls` (at the head of a later segment) and `holes`. `drift` is the population stability index of the
    second half of the time against the first. `cluster` numbers the correlated columns of a period. `findings` are
    the words of `FINDINGS` that hold, the worst first.
    """

    column: str
    period: str
    role: str
    scale: str
    is_input: bool
    rows: int
    coverage: float
    leading_nulls: int
    restart_nulls: int
    holes: int
    infinite: int
    nan: int
    constant: bool
    drift: float | None
    findings: tuple[str, ...]
    cluster: int | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Columns of one period that are chained by |Spearman| >= 0.95 (`correlated`), or equal in every row."""

    period: str
    cluster: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """All of it; columns worst first. `sample_rows` of a period at most went into drift and correlation."""

    snapshot: int
    columns: list[ColumnHealth]
    targets: list[TargetHealth]
    clusters: list[Cluster]
    identical: list[Cluster]
    sample_rows: int = SAMPLE_ROWS


def measure_health(
    store: Store,
    registry: Registry,
    period: str | None = None,
    symbols: Sequence[str] | None = None,
    report: Report = silent,
) -> Health:
    """Health of the fused table and the labels of the current snapshot, one group in memory at a time.

    Raises DataError when there is no fused table, or nothing of this period or these symbols.
    """
    with store.read() as snapshot:
        found = Health(snapshot.number, [], [], [], [])
        wanted = _wanted(snapshot, period, symbols)
        bars = bars_of_labels(snapshot, registry)
        for p, names in wanted.items():
            _measure_period(snapshot, p, names, bars, found, report)
    found.columns.sort(key=_badness)
    return found


def columns_at(snapshot: Snapshot, period: str) -> dict[str, Mapping[str, Any]]:
    """Described columns that apply at a period, by the build or, where the table was adopted, by having values (F4)."""
    meta = snapshot.meta("fused")
    marks, without = meta.get("definitions", {}).get(period, {}), meta.get("without", {}).get(period, ())
    return {name: entry for name, entry in meta["columns"].items() if marks.get(name) != ABSENT and name not in without}


def _wanted(snapshot: Snapshot, period: str | None, symbols: Sequence[str] | None) -> dict[str, list[str]]:
    if not snapshot.has("fused"):
        raise DataError("there is no fused table yet", "make it: tftctl features build")
    there = snapshot.periods("fused")
    if period is not None and period not in there:
        raise DataError(
            f"the fused table has no period {period!r}", f"periods: {', '.join(there)}; --period {there[0]}"
        )
    groups = {p: snapshot.symbols("fused", p) for p in (there if period is None else [period])}
    everyone = {symbol for names in groups.values() for symbol in names}
    for symbol in symbols or ():
        if symbol not in everyone:
            where = "the fused table" if period is None else f"the fused table at {period}"
            raise DataError(f"{where} has no symbol {symbol!r}", choices(symbol, everyone, "symbols"))
    if symbols is not None:
        groups = {p: [name for name in names if name in symbols] for p, names in groups.items()}
    return {p: names for p, names in groups.items() if names}


def _measure_period(
    snapshot: Snapshot, period: str, symbols: Sequence[str], bars: Layout | None, found: Health, report: Report
) -> None:
    described = columns_at(snapshot, period)
    names = list(described)
    groups = find_groups(snapshot, "fused", period, symbols)
    if not groups:
        return
    tallies, sample, late = _read(snapshot, period, groups, names, report)
    joined = clusters(rank_correlation(sample), CORRELATED)
    correlated = [Cluster(period, n, tuple(names[i] for i in part)) for n, part in enumerate(joined, 1)]
    identical = _identical(period, names, tallies)
    drift = [population_stability(sample[~late, i], sample[late, i]) for i in range(len(names))]
    for name, tally, moved in zip(names, tallies, drift, strict=True):
        column = _column(name, period, described[name], tally, moved)
        found.columns.append(_placed(column, correlated, identical))
    found.clusters.extend(correlated)
    found.identical.extend(identical)
    found.targets.extend(label_health(snapshot, period, groups, snapshot.meta("targets").get("targets", {}), bars))


def _column(name: str, period: str, entry: Mapping[str, Any], tally: Tally, drift: float | None) -> ColumnHealth:
    holds = {
        "not finite": tally.infinite + tally.nan > 0,
        "empty": tally.values == 0,
        "constant": tally.constant,
        "holes": tally.holes > HOLED * tally.rows,
        "drift": drift is not None and drift > SHIFTED,
    }
    return ColumnHealth(
        column=name,
        period=period,
        role=entry["role"],
        scale=entry["scale"],
        is_input=entry["role"] in INPUT_ROLES and entry["scale"] == "free",
        rows=tally.rows,
        coverage=tally.coverage,
        leading_nulls=tally.leading_nulls,
        restart_nulls=tally.restart_nulls,
        holes=tally.holes,
        infinite=tally.infinite,
        nan=tally.nan,
        constant=tally.constant,
        drift=drift,
        findings=tuple(word for word, true in holds.items() if true),
    )


def _placed(column: ColumnHealth, correlated: Sequence[Cluster], identical: Sequence[Cluster]) -> ColumnHealth:
    """The column with the cluster that it is in and what that says of it."""
    number = next((group.cluster for group in correlated if column.column in group.columns), None)
    more = ["identical"] if any(column.column in group.columns for group in identical) else []
    more += ["correlated"] if number is not None else []
    return replace(column, cluster=number, findings=(*column.findings, *more))


def _read(
    snapshot: Snapshot, period: str, groups: Sequence[Group], names: Sequence[str], report: Report
) -> tuple[list[Tally], np.ndarray, np.ndarray]:
    """Tallies of all rows; a sample (rows, columns), NaN where missing; and which of it lie in the later half."""
    chosen = choose_rows({group.symbol: group.rows for group in groups}, SAMPLE_ROWS)
    middle = (min(group.first for group in groups) + max(group.last for group in groups)) / 2
    tallies = [Tally() for _ in names]
    sample = np.empty((sum(map(len, chosen.values())), len(names)), order="F")
    late = np.empty(len(sample), bool)
    place = 0
    for done, group in enumerate(groups, 1):
        rows = chosen[group.symbol]
        here = slice(place, place := place + rows.size)
        keys = read_rows(snapshot, "fused", period, group.symbol)
        late[here] = keys["timestamp"].gather(rows).to_numpy() > middle
        for number, column in read_columns(snapshot, "fused", period, group, names):
            tallies[number].add(column, keys["segment"].to_numpy())
            picked = column.gather(rows).cast(pl.Float64).fill_null(float("nan")).to_numpy()
            sample[here, number] = np.where(np.isfinite(picked), picked, np.nan)
        report(f"health {period}", done, len(groups))
    return tallies, sample, late


def _identical(period: str, names: Sequence[str], tallies: Sequence[Tally]) -> list[Cluster]:
    """Columns that are equal in every row; those without any value are not compared."""
    by_content: dict[bytes, list[str]] = {}
    for name, tally in zip(names, tallies, strict=True):
        if tally.values:
            by_content.setdefault(tally.digest.digest(), []).append(name)
    equal = [tuple(same) for same in by_content.values() if len(same) > 1]
    return [Cluster(period, n, same) for n, same in enumerate(equal, 1)]


def _badness(column: ColumnHealth) -> tuple[int, bool, float]:
    """By the worst finding; inputs of the network before the others; the furthest moved first."""
    worst = FINDINGS.index(column.findings[0]) if column.findings else len(FINDINGS)
    return worst, not column.is_input, -(column.drift or 0.0)
