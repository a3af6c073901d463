"""Measures of columns at one period: training rows, and validation rows for drift alone (SEMANTICS A4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.prune.drift import kolmogorov_smirnov
from tftctl.audit.prune.parts import TRAIN, VALIDATION, GroupRows, Parts
from tftctl.audit.prune.rules import LEAST_SAME, SAMPLE_ROWS, SEED, ColumnRules
from tftctl.audit.prune.tally import Tallies
from tftctl.core.progress import Report, silent
from tftctl.features.correlation import PairMoments, rank_correlation
from tftctl.features.drift import population_stability
from tftctl.features.sampling import choose_rows
from tftctl.store import Snapshot

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Of the C columns that apply at a period. Arrays are (C,), NaN where nothing was measured.

    `same` is the share of the most frequent value where that is above half. `correlation` (C, C) and `target` (C,) are
    absolute values.
    """

    period: str
    columns: tuple[str, ...]
    rows: int
    tallies: Tallies
    same: Array
    psi: Array
    ks: Array
    correlation: Array
    target: Array

    @property
    def missing(self) -> Array:
        """Share of training rows without a value."""
        return 1 - self.tallies.values / max(self.rows, 1)


@dataclass(eq=False)
class _Sample:
    """Rows drawn from a part of a period: (rows, C), in the order of the groups."""

    chosen: dict[str, npt.NDArray[np.int64]]
    values: Array
    filled: int = 0

    def take(self, group: GroupRows, here: slice, frame: Array) -> None:
        """Keep the drawn rows among those of a chunk."""
        numbers = self.chosen[group.symbol]
        numbers = numbers[(numbers >= here.start) & (numbers < here.stop)] - here.start
        self.values[self.filled : self.filled + numbers.size] = frame[numbers]
        self.filled += numbers.size


def measure(
    snapshot: Snapshot, parts: Parts, period: str, columns: Sequence[str], rules: ColumnRules, report: Report = silent
) -> Measures:
    """Measure what the rules ask for, and always counts, over the groups of a period."""
    groups, size = parts.of(period), len(columns)
    train = _draw(groups, TRAIN, size if rules.ranked or rules.drift else 0)
    later = _draw(groups, VALIDATION, size if rules.drift else 0)
    tallies = Tallies(size, digests=rules.duplicates is not None, votes=rules.max_same is not None)
    moments = PairMoments(size) if rules.max_correlation is not None and rules.correlation == "pearson" else None
    _read(snapshot, groups, columns, tallies, moments, (train, later), report)
    correlation, target = np.full((size, size), np.nan), _nothing(size)
    if rules.ranked:
        correlation, target = _ranked(snapshot, groups, train, rules)
    drifts = [_drift(train.values[:, i], later.values[:, i], rules) for i in range(size)] if rules.drift else []
    return Measures(
        period=period,
        columns=tuple(columns),
        rows=tallies.rows,
        tallies=tallies,
        same=_same(snapshot, groups, columns, tallies) if rules.max_same is not None else _nothing(size),
        psi=np.array([psi for psi, _ in drifts]) if drifts else _nothing(size),
        ks=np.array([ks for _, ks in drifts]) if drifts else _nothing(size),
        correlation=np.abs(correlation if moments is None else moments.correlation()),
        target=np.abs(target),
    )


def matrix(frame: pl.DataFrame, columns: Sequence[str]) -> Array:
    """(rows, columns) in Float64, NaN where a value is null, NaN or infinite."""
    values = frame.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _read(
    snapshot: Snapshot,
    groups: Sequence[GroupRows],
    columns: Sequence[str],
    tallies: Tallies,
    moments: PairMoments | None,
    samples: Sequence[_Sample],
    report: Report,
) -> None:
    """One pass over the rows."""
    centre: Array | None = None
    for done, group in enumerate(groups, 1):
        for here, frame in group.chunks(snapshot, "fused", columns) if columns else ():
            values = matrix(frame, columns)
            for sample in samples:
                if sample.values.shape[1]:
                    sample.take(group, here, values)
            rows = values[group.split[here] == TRAIN]
            tallies.add(rows)
            if moments is not None and len(rows):
                centre = _centre(rows) if centre is None else centre
                moments.add(rows - centre)
        report(f"columns {group.period}", done, len(groups))


def _centre(rows: Array) -> Array:
    """Somewhere among the values, so that sums of squares keep their digits."""
    known = ~np.isnan(rows)
    return np.where(known.any(0), np.nan_to_num(rows).sum(0) / np.maximum(known.sum(0), 1), 0.0)


def _draw(groups: Sequence[GroupRows], part: int, columns: int) -> _Sample:
    """Room for the drawn rows of a part; none without columns."""
    rows = {group.symbol: group.of(part) for group in groups}
    chosen = choose_rows({symbol: numbers.size for symbol, numbers in rows.items()}, SAMPLE_ROWS, SEED)
    picked = {symbol: rows[symbol][places] for symbol, places in chosen.items()}
    size = sum(numbers.size for numbers in picked.values())
    return _Sample(picked, np.full((size, columns), np.nan))


def _ranked(snapshot: Snapshot, groups: Sequence[GroupRows], train: _Sample, rules: ColumnRules) -> tuple[Array, Array]:
    """Spearman's correlation of all pairs of the drawn rows, and with the label that decides what is kept."""
    columns, name = train.values.shape[1], rules.kept_by_target
    label = [] if name is None else [_labels(snapshot, groups, train, name)]
    found = rank_correlation(np.column_stack([train.values, *label]))
    return found[:columns, :columns], _nothing(columns) if name is None else found[-1, :columns]


def _labels(snapshot: Snapshot, groups: Sequence[GroupRows], train: _Sample, name: str) -> Array:
    """Labels of the drawn rows."""
    parts = []
    for group in groups:
        frame = snapshot.collect(snapshot.scan("targets", group.period, symbols=[group.symbol], columns=[name]))
        parts.append(matrix(frame, [name])[train.chosen[group.symbol], 0])
    return np.concatenate(parts)


def _drift(before: Array, after: Array, rules: ColumnRules) -> tuple[float, float]:
    psi = population_stability(before, after) if rules.max_psi is not None else None
    ks = kolmogorov_smirnov(before, after) if rules.max_ks is not None else None
    return (np.nan if psi is None else psi), (np.nan if ks is None else ks)


def _same(snapshot: Snapshot, groups: Sequence[GroupRows], columns: Sequence[str], tallies: Tallies) -> Array:
    """Share of the favourite value among all, counted; NaN where it is not above half."""
    places = np.flatnonzero((tallies.votes > 0) & (tallies.values > 0))
    names = [columns[int(place)] for place in places]
    counts = np.zeros(places.size)
    for group in groups if names else ():
        for here, frame in group.chunks(snapshot, "fused", names):
            rows = matrix(frame, names)[group.split[here] == TRAIN]
            counts += (rows == tallies.favourite[places]).sum(0)
    shares = _nothing(len(columns))
    shares[places] = counts / tallies.values[places]
    return np.where(shares > LEAST_SAME, shares, np.nan)


def _nothing(columns: int) -> Array:
    return np.full(columns, np.nan)
