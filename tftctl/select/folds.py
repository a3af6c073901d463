"""Purged test folds within the training rows of one (target, period), and which of their rows are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.core.config.selection import Folds
from tftctl.core.errors import DataError
from tftctl.core.periods import DAY_MS
from tftctl.core.progress import Say
from tftctl.core.times import iso
from tftctl.data.splits import Fold, Instants, combinatorial_purged
from tftctl.select.rows import Pool
from tftctl.select.shifts import shift_limits

Rows = npt.NDArray[np.int64]
LEAST_TRAIN, LEAST_TEST = 200, 50
LEAST_BLOCKS, BLOCKS_PER_FOLD = 12, 40


@dataclass(frozen=True, slots=True, eq=False)
class TestFold:
    """Row numbers of the pool: `train` and `test` are read, of `train_rows` and `test_rows` that the fold has."""

    number: int
    first: int
    last: int
    train: Rows
    test: Rows
    train_rows: int
    test_rows: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A target at a period; `span_ms` is the longest way from a row to the end of its label."""

    target: str
    period: str
    span_ms: int
    last_label_end: int
    rows: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """A cell that cannot be judged, why, and what to do."""

    target: str
    period: str
    why: str
    hint: str


def say_left_out(say: Say, whys: Iterable[str], of: str = "") -> None:
    """A line for each cell that could not be judged."""
    for why in whys:
        say(f"left out{of}: {why}")


def describe_cell(pool: Pool, target: str, period: str) -> Cell:
    """Facts of a cell's labelled rows; it may have none."""
    rows = pool.labelled(period, target)
    ends = pool.ends(rows, target)
    span = int((ends - pool.panel.available_at[rows]).max(initial=0))
    return Cell(target, period, span, int(ends.max(initial=0)), rows.size)


def make_folds(pool: Pool, cell: Cell, settings: Folds, seed: list[int]) -> list[TestFold]:
    """The folds, the oldest first. Raises DataError where one of them is too small or its training rows are alike."""
    rows = pool.labelled(cell.period, cell.target)
    made = []
    for number, fold in enumerate(_purged(pool, cell, rows, settings), 1):
        _check(pool, cell, fold, rows, number)
        rng = np.random.default_rng([*seed, number])
        (first, last), *_ = fold.blocks
        train = some(rows[fold.train], settings.train_rows, rng)
        test = thinned(pool.panel.available_at, rows[fold.test], settings.test_rows, rng)
        made.append(TestFold(number, first, last, train, test, fold.train.size, fold.test.size))
    return made


def block_width(instants: Instants, span_ms: int) -> int:
    """Length of the blocks of time that a fold's losses are kept by: at least twice the label span (M6)."""
    return max(2 * span_ms, int(np.ptp(instants)) // BLOCKS_PER_FOLD, 1)


def _require_blocks(pool: Pool, cell: Cell, folds: list[TestFold]) -> None:
    """An error that is estimated from too few blocks is none."""
    spans = [pool.panel.available_at[fold.test] for fold in folds]
    blocks = sum(int(np.ptp(instants)) // block_width(instants, cell.span_ms) + 1 for instants in spans)
    if blocks < LEAST_BLOCKS:
        raise DataError(
            f"{cell.target} at {cell.period}: its {len(folds)} test folds make {blocks} blocks of twice the label span "
            f"({_hours(2 * cell.span_ms)}), and intervals need {LEAST_BLOCKS}",
            "test all folds (no --folds), leave it out (--periods, --targets, or --skip-unfit), or import more bars",
        )


def find_unfit(pool: Pool, cell: Cell, settings: Folds) -> Unfit | None:
    """Why a cell cannot be judged, before anything is trained."""
    try:
        folds = make_folds(pool, cell, settings, [0])
        _require_shifts(pool, cell)
        _require_blocks(pool, cell, folds)
    except DataError as error:
        return Unfit(cell.target, cell.period, error.message, error.hint)
    return None


def thinned(available_at: Instants, rows: Rows, limit: int, rng: np.random.Generator) -> Rows:
    """Instants drawn with all their symbols, so that about `limit` rows stay; blocks of time stay blocks.

    Not every k-th: that would be the same hours of every day.
    """
    if rows.size <= limit:
        return rows
    instants, place = np.unique(available_at[rows], return_inverse=True)
    drawn = rng.choice(instants.size, max(1, round(instants.size * limit / rows.size)), replace=False, shuffle=False)
    kept = np.zeros(instants.size, bool)
    kept[drawn] = True
    return rows[kept[place]]


def some(rows: Rows, limit: int, rng: np.random.Generator) -> Rows:
    """At most `limit` of the rows, drawn, in their order."""
    return rows if rows.size <= limit else np.sort(rng.choice(rows, limit, replace=False, shuffle=False))


def _purged(pool: Pool, cell: Cell, rows: Rows, settings: Folds) -> Iterator[Fold]:
    """The newest blocks, each once for test."""
    t0, t1 = pool.panel.available_at[rows], pool.ends(rows, cell.target)
    days = np.unique((t0 - 1) // DAY_MS).size
    size = settings.val_ratio * days if settings.val_mode == "ratio" else settings.val_days
    if not days:
        raise DataError(
            f"{cell.target} at {cell.period} has no training row with a label",
            f"leave it out (--periods, --targets, or --skip-unfit), or import more bars of {cell.period}",
        )
    blocks = max(round(days / size), 1)
    if blocks > days:
        raise DataError(
            f"{cell.target} at {cell.period} has training rows on {days} days, and a test fold of "
            f"{settings.val_ratio:g} of them is shorter than a day",
            "raise --val-ratio, or import more bars",
        )
    if blocks < 2:
        raise DataError(
            f"{cell.target} at {cell.period} has {rows.size} training rows on {days} days, and a purged test fold of "
            f"{settings.val_days} days leaves none before or after it",
            f"it needs at least {2 * settings.val_days} days; lower --val-days, or import more bars",
        )
    folds = list(combinatorial_purged(t0, t1, pool.window_start[rows], blocks, 1, pool.embargo_ms))
    yield from folds if settings.folds is None else folds[-settings.folds :]


def _check(pool: Pool, cell: Cell, fold: Fold, rows: Rows, number: int) -> None:
    where = f"{cell.target} at {cell.period}, test fold {number} ({iso(fold.blocks[0][0])[:10]} on)"
    for name, part, least in (("training", fold.train, LEAST_TRAIN), ("test", fold.test, LEAST_TEST)):
        if part.size < least:
            raise DataError(
                f"{where}: {part.size} {name} rows are left after purging, and it needs {least} (the period has "
                f"{rows.size}, a label spans {_hours(cell.span_ms)})",
                f"leave it out (--periods, --targets, or --skip-unfit), change --val-ratio, or import more bars of "
                f"{cell.period}",
            )
    labels = pool.labels(rows[fold.train], cell.target)
    if np.ptp(labels) == 0:
        what = f"only class {labels[0]:.0f}" if pool.kinds[cell.target] == "binary" else f"only the value {labels[0]:g}"
        raise DataError(
            f"{where}: its {fold.train.size} training rows have {what}",
            "leave the target out (--targets, or --skip-unfit), or import more bars",
        )
    tested = pool.labels(rows[fold.test], cell.target)
    if pool.kinds[cell.target] == "binary" and np.ptp(tested) == 0:
        raise DataError(
            f"{where}: its {fold.test.size} test rows have only class {tested[0]:.0f}",
            "raise --val-ratio so that a fold is longer, leave the target out (--targets, or --skip-unfit)",
        )


def _require_shifts(pool: Pool, cell: Cell) -> None:
    """Null probes must have somewhere to be shifted to."""
    rows = pool.labelled(cell.period, cell.target)
    least, most = shift_limits(np.unique(pool.panel.available_at[rows]), cell.span_ms)
    if least > most:
        raise DataError(
            f"{cell.target} at {cell.period}: probes are shifted by more than ten label spans both ways, and the "
            f"training rows are shorter than twenty of {_hours(cell.span_ms)}",
            f"leave it out (--periods, --targets, or --skip-unfit), or import more bars of {cell.period}",
        )


def _hours(ms: int) -> str:
    return f"{ms / 3_600_000:,.0f} h" if ms < 3 * DAY_MS else f"{ms / DAY_MS:,.0f} days"
