"""The evidence of one target at one period: trees, permutations, null probes and their threshold (SEMANTICS A5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.core.config.selection import SelectionConfig
from tftctl.core.times import iso
from tftctl.select.evidence import SCHEMA, Evidence
from tftctl.select.folds import Cell, TestFold, make_folds
from tftctl.select.importance import Design, FoldLosses, measure_fold
from tftctl.select.resampling import LARGEST_Z, Means, adjusted_p, block_means, greatest
from tftctl.select.rows import Pool, Rows
from tftctl.select.shifts import make_grid, shift_limits, shifted

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Threshold:
    """z beyond which an importance means something, and the null distribution (D,) that it is a quantile of.

    `probe` is the largest z of a probe; `chances` how many times as many features as probes there are, at least 1.
    """

    z: float
    largest: Array
    probe: float
    chances: float

    def p(self, z: Array) -> Array:
        """Adjusted p-values; 1 for what is not beyond every probe."""
        return np.where(z > self.probe, np.minimum(1.0, adjusted_p(z, self.largest) * self.chances), 1.0)


def measure_cell(
    pool: Pool, cell: Cell, clusters: Sequence[Sequence[int]], settings: SelectionConfig, seed: Sequence[int]
) -> Evidence:
    """Judge every feature of a period for one target. Raises DataError where a fold is too small."""
    folds = make_folds(pool, cell, settings.folds, list(seed))
    design, shift = make_design(pool, cell, clusters, seed)
    losses = [measure_fold(pool, cell, fold, design, settings, seed) for fold in folds]
    rows = np.concatenate([found.rows for found in losses])
    constant = sum(float(found.constant.sum()) for found in losses) / rows.sum()
    increase = np.concatenate([found.increase for found in losses], axis=1) / constant
    means = block_means(increase, rows, int(np.random.default_rng(seed).integers(2**31)))
    threshold = _threshold(means, design, settings.level)
    facts = _facts(pool, cell, folds, losses, threshold, settings) | {"probe_shift_instants": shift}
    return Evidence(cell.target, cell.period, _table(pool, cell, design, losses, means, threshold), facts)


def make_design(pool: Pool, cell: Cell, clusters: Sequence[Sequence[int]], seed: Sequence[int]) -> tuple[Design, int]:
    """Every feature with its shifted copy as a probe, and clusters of both; and by how many instants they are shifted.

    All probes are shifted alike: they keep the correlations that the features have among each other. What the calendar
    makes is no probe: an hour of the day shifted in time is still the hour of the day.
    """
    columns = pool.columns(cell.period)
    size = columns.size
    rows = np.flatnonzero(pool.of(cell.period) & (pool.panel.available_at <= pool.until))
    grid = make_grid(pool.panel.available_at[rows], pool.panel.group[rows].astype(np.int64))
    least, most = shift_limits(grid.instants, cell.span_ms)
    shift = int(np.random.default_rng([*seed, 7]).integers(least, most + 1))
    names = pool.periods[cell.period]
    probes = np.array([place for place, name in enumerate(names) if name not in pool.known], dtype=np.int64)
    place_of = {int(column): size + number for number, column in enumerate(probes)}
    copies = [[place_of[member] for member in members if member in place_of] for members in clusters]
    units: list[Rows] = [np.array([number]) for number in range(size + probes.size)]
    units += [np.array(members) for members in (*clusters, *(copy for copy in copies if len(copy) > 1))]
    return Design(columns, probes, tuple(units), rows, shifted(grid, shift, least)), shift


def _threshold(means: Means, design: Design, level: float) -> Threshold:
    """The quantile of the largest z of probes and their clusters, and never less than the largest that there is.

    Where there are fewer probes than features the largest of the features has more chances: its level is divided so.
    Where the trees use no probe, nothing shows what chance reaches, and nothing passes.
    """
    mine = np.array([unit[0] >= design.columns.size for unit in design.units])
    probes = Means(
        means.mean[mine], means.se[mine], means.low[mine], means.high[mine], means.draws[:, mine], means.blocks
    )
    if not (probes.se > 0).any():
        return Threshold(math.inf, np.full(1, math.inf), math.inf, 1.0)
    chances = max(1.0, (~mine).sum() / mine.sum())
    largest = greatest(probes)
    seen = float(probes.z.max(initial=0.0))
    return Threshold(max(float(np.quantile(largest, 1 - level / chances)), seen), largest, seen, chances)


def _table(
    pool: Pool, cell: Cell, design: Design, losses: Sequence[FoldLosses], means: Means, threshold: Threshold
) -> pl.DataFrame:
    names = list(pool.periods[cell.period])
    probes = [names[place] for place in design.probes]
    size = len(names) + len(probes)
    p = threshold.p(means.z)
    above = means.z > threshold.z
    single = slice(0, size)
    cluster = np.full(size, -1)
    for place in range(size, len(design.units)):
        cluster[design.units[place]] = place
    alone = cluster < 0

    def of_cluster(values: Any) -> list[Any]:
        return [None if lone else value for lone, value in zip(alone, values[cluster].tolist(), strict=True)]

    table = {
        "feature": [*names, *probes],
        "kind": ["feature"] * len(names) + ["probe"] * len(probes),
        "gain": np.mean([found.gain for found in losses], axis=0),
        "importance": means.mean[single],
        "se": means.se[single],
        "low": means.low[single],
        "high": means.high[single],
        "z": means.z[single],
        "p": p[single],
        "above": above[single],
        "cluster": of_cluster(np.arange(len(design.units)) - size + 1),
        **{
            f"cluster_{name}": of_cluster(values)
            for name, values in (("importance", means.mean), ("low", means.low), ("high", means.high),
                                 ("z", means.z), ("p", p), ("above", above))
        },
    }  # fmt: skip
    return pl.DataFrame(table, schema=SCHEMA).sort(
        ["kind", "importance", "gain"], descending=[False, True, True], maintain_order=True
    )


def _facts(
    pool: Pool,
    cell: Cell,
    folds: Sequence[TestFold],
    losses: Sequence[FoldLosses],
    threshold: Threshold,
    settings: SelectionConfig,
) -> dict[str, Any]:
    constant = sum(float(found.constant.sum()) for found in losses)
    model = sum(float(found.model.sum()) for found in losses)
    return {
        "target": cell.target,
        "period": cell.period,
        "kind": pool.kinds[cell.target],
        "snapshot": pool.snapshot,
        "data": pool.data,
        "cut": iso(pool.cut),
        "until": iso(pool.until),
        "last_label_end": iso(cell.last_label_end),
        "rows": cell.rows,
        "label_span_hours": cell.span_ms / 3_600_000,
        "folds": [
            {
                "first": iso(fold.first),
                "last": iso(fold.last),
                "train_rows": fold.train_rows,
                "train_rows_read": int(fold.train.size),
                "test_rows": fold.test_rows,
                "test_rows_read": int(fold.test.size),
                "blocks": int(found.rows.size),
                "skill": 1 - float(found.model.sum() / found.constant.sum()),
            }
            for fold, found in zip(folds, losses, strict=True)
        ],
        "skill": 1 - model / constant,
        "level": settings.level,
        "threshold_z": min(threshold.z, LARGEST_Z),
        "largest_probe_z": min(threshold.probe, LARGEST_Z),
        "blocks": sum(int((found.rows > 0).sum()) for found in losses),
        "learner": settings.trees.learner,
        "seed": settings.seed,
    }
