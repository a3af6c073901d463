"""`tftctl select rolling-validate`: the selection made again before each of several test blocks (SEMANTICS A4, A5).

Walk-forward: everything of a fold, evidence and choice included, reads only labels that end before its test block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tftctl.core.config.selection import Folds, Rolling, SelectionConfig
from tftctl.core.errors import DataError
from tftctl.core.progress import Report, silent
from tftctl.core.times import iso
from tftctl.data.splits import walk_forward
from tftctl.select.aggregate_core import Core, Rules, aggregate, at_most, check_rules
from tftctl.select.deflation import STATISTIC, Deflated, deflate
from tftctl.select.evidence import Evidence
from tftctl.select.folds import LEAST_TEST, LEAST_TRAIN, Cell, Unfit, describe_cell, find_unfit, some, thinned
from tftctl.select.ledger import Ledger
from tftctl.select.rows import Pool, Rows
from tftctl.select.stability import agreement_of, frequencies
from tftctl.select.subsets import Gain, Losses, Score, Task, block_edges, cells_in, gain_over, make_task, score_set
from tftctl.select.tree_perm import cells_of, judge
from tftctl.select.work import cell_revision, cell_seed, digest, pool_key, shares

Array = npt.NDArray[np.float64]
REVISION = 2


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """One test block (first, last): what was selected before it, and skills there. `last` is the fold's before."""

    first: int
    last: int
    selected: tuple[str, ...]
    tasks: tuple[Task, ...]
    mine: Score
    everything: Score
    random: tuple[Score, ...]
    previous: Score | None


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """All folds, and what they say together; `gains` of the selected set over others, `deflated` by `trials`."""

    folds: tuple[FoldResult, ...]
    unfit: tuple[Unfit, ...]
    gains: Mapping[str, Gain | None]
    frequency: Mapping[str, float]
    jaccard: float | None
    kuncheva: float | None
    trials: Mapping[str, int]
    overall: Deflated
    per_target: Mapping[str, Deflated]

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "folds": [_fold_document(fold) for fold in self.folds],
            "unfit": [asdict(unfit) for unfit in self.unfit],
            "gains": {name: None if gain is None else asdict(gain) for name, gain in self.gains.items()},
            "stability": {"frequency": dict(self.frequency), "jaccard": self.jaccard, "kuncheva": self.kuncheva},
            "trials": dict(self.trials),
            "deflated": {
                "statistic": STATISTIC,
                **asdict(self.overall),
                "per_target": {name: asdict(found) for name, found in self.per_target.items()},
            },
        }


def validate(
    pool: Pool,
    targets: Sequence[str],
    rules: Rules,
    settings: SelectionConfig,
    ledger: Ledger,
    jobs: int | None = None,
    report: Report = silent,
    *,
    folder: Path | None = None,
    skip_unfit: bool = False,
) -> Validated:
    """Select before each test block and score there: the selected set, all features, random sets of its size, and the
    set of the block before. Gates play no part: the network would have to be trained anew for every block. Evidence is
    kept in `folder`, where what is fresh is read again.

    Raises DataError where the days cannot be divided, or a target at a period has too few rows in the first fold,
    UsageError for rules that cannot be kept.
    """
    check_rules(rules, targets, pool.features, len(pool.periods))
    blocks = test_blocks(pool, targets, settings.rolling)
    cells, unfit = fitting_cells(pool, targets, blocks, settings, skip_unfit=skip_unfit)
    folds: list[FoldResult] = []
    for number, (first, last) in enumerate(blocks, 1):
        there = None if folder is None else folder / f"fold_{number}"
        core = _select(pool, cells, first, rules, settings, there, jobs)
        previous = folds[-1].selected if folds else None
        folds.append(_score(pool, cells, (first, last), core, previous, rules, settings, jobs, number))
        report("walk-forward", number, len(blocks))
    counted = {cell.target: 1 for cell in cells}
    ledger.count("rolling-validate", validation_key(pool, targets, rules, settings), counted)
    return _together(pool, tuple(folds), unfit, ledger, settings.seed)


def validation_key(pool: Pool, targets: Sequence[str], rules: Rules, settings: SelectionConfig) -> str:
    """Changes with everything that a validation depends on."""
    document = settings.model_dump(mode="json", exclude={"optimize"})
    return digest([REVISION, cell_revision(), pool_key(pool), pool.periods, list(targets), asdict(rules), document])


def test_blocks(pool: Pool, targets: Sequence[str], rolling: Rolling) -> list[tuple[int, int]]:
    """First and last instant of each test block: the same for all targets and periods."""
    labelled = [(pool.labelled(period, target), target) for period in pool.periods for target in targets]
    rows = np.concatenate([found for found, _ in labelled])
    if not rows.size:
        raise DataError("there is no labelled training row", "build features, or import more bars")
    ends = np.concatenate([pool.ends(found, target) for found, target in labelled])
    folds = walk_forward(pool.panel.available_at[rows], ends, rolling.folds, rolling.test_ratio, pool.embargo_ms)
    return [fold.blocks[0] for fold in folds]


def fitting_cells(
    pool: Pool,
    targets: Sequence[str],
    blocks: Sequence[tuple[int, int]],
    settings: SelectionConfig,
    *,
    skip_unfit: bool,
) -> tuple[list[Cell], tuple[Unfit, ...]]:
    """Cells that can be selected for before the first block, and scored in every one."""
    lighter = _lighter(settings).folds
    fitting: list[Cell] = []
    unfit: list[Unfit] = []
    for cell in cells_of(pool, targets):
        reasons = (_why_unfit(pool, cell, block, lighter) for block in blocks)
        reason = next((found for found in reasons if found is not None), None)
        if reason is None:
            fitting.append(cell)
        else:
            unfit.append(reason)
    if unfit and (not skip_unfit or not fitting):
        raise DataError(unfit[0].why, unfit[0].hint)
    return fitting, tuple(unfit)


def _why_unfit(pool: Pool, cell: Cell, block: tuple[int, int], folds: Folds) -> Unfit | None:
    """Why nothing can be selected before a block, or scored in it."""
    early = pool.before(block[0])
    found = find_unfit(early, describe_cell(early, cell.target, cell.period), folds)
    train, test = _rows(pool, cell, block)
    where = f"before the walk-forward block of {iso(block[0])[:10]}"
    if found is not None:
        return Unfit(
            cell.target, cell.period, f"{where}: {found.why}", f"use fewer blocks (rolling.folds); {found.hint}"
        )
    if train.size < LEAST_TRAIN or test.size < LEAST_TEST:
        why = f"{where}: {cell.target} at {cell.period} has {train.size} training rows and {test.size} in it"
        return Unfit(
            cell.target, cell.period, why, f"it needs {LEAST_TRAIN} and {LEAST_TEST}; use fewer or longer ones"
        )
    return None


def _rows(pool: Pool, cell: Cell, block: tuple[int, int]) -> tuple[Rows, Rows]:
    """Rows to train on before a block and to test in it, purged."""
    rows = pool.labelled(cell.period, cell.target)
    t0, t1 = pool.panel.available_at[rows], pool.ends(rows, cell.target)
    first, last = block
    return rows[t1 <= first], rows[(t0 >= first + pool.embargo_ms) & (t1 <= last)]


def _select(
    pool: Pool,
    cells: Sequence[Cell],
    first: int,
    rules: Rules,
    settings: SelectionConfig,
    folder: Path | None,
    jobs: int | None,
) -> Core:
    """The selection as it would have been made at the beginning of a block."""
    lighter = _lighter(settings)
    evidence: list[Evidence] = []
    earlier = pool.before(first)
    for period in pool.periods:
        mine = [cell.target for cell in cells if cell.period == period]
        if mine:
            here = replace(earlier, periods={period: pool.periods[period]})
            evidence += judge(here, mine, lighter, None if folder is None else folder / period, jobs).cells
    return aggregate(evidence, at_most(rules, evidence))


def _lighter(settings: SelectionConfig) -> SelectionConfig:
    """How a selection is made again before each block."""
    rolling = settings.rolling
    changes = {"folds": rolling.selection_folds, "train_rows": rolling.train_rows, "test_rows": rolling.test_rows}
    folds = settings.folds.model_copy(update=changes)
    return settings.model_copy(update={"folds": folds, "repeats": rolling.repeats})


def _score(
    pool: Pool,
    cells: Sequence[Cell],
    block: tuple[int, int],
    core: Core,
    previous: Sequence[str] | None,
    rules: Rules,
    settings: SelectionConfig,
    jobs: int | None,
    number: int,
) -> FoldResult:
    edges = block_edges(*block, cells)
    share = shares([cell.target for cell in cells], rules.weights)
    tasks = []
    for cell in cells:
        weight = share[cell.target]
        rng = np.random.default_rng([*cell_seed(settings, cell), number])
        train, test = _rows(pool, cell, block)
        train = some(train, settings.rolling.train_rows, rng)
        test = thinned(pool.panel.available_at, test, settings.rolling.test_rows, rng)
        if weight > 0:
            tasks.append(make_task(pool, cell, weight, train, test, pool.features, edges, int(rng.integers(2**31))))

    def scored(features: Sequence[str]) -> Score:
        return score_set(tasks, features, settings.trees, edges.size, jobs)

    rng = np.random.default_rng([settings.seed, number, 3])
    draws = [
        sorted(rng.choice(pool.features, len(core.selected), replace=False).tolist())
        for _ in range(settings.rolling.random_sets)
    ]
    return FoldResult(
        first=block[0],
        last=block[1],
        selected=core.selected,
        tasks=tuple(tasks),
        mine=scored(core.selected),
        everything=scored(pool.features),
        random=tuple(scored(draw) for draw in draws),
        previous=None if previous is None else scored(previous),
    )


def _together(
    pool: Pool, folds: tuple[FoldResult, ...], unfit: tuple[Unfit, ...], ledger: Ledger, seed: int
) -> Validated:
    sets = [fold.selected for fold in folds]
    gains: dict[str, Gain | None] = {
        "all": _gain(folds, [fold.everything for fold in folds], seed),
        "random": _gain_over_random(folds, seed),
        "last_selection": _gain(folds[1:], [fold.previous for fold in folds[1:]], seed),
    }
    targets = list(dict.fromkeys(cell.target for cell in cells_in(folds[0].tasks)))
    trials = ledger.trials(targets)
    everything = [fold.everything for fold in folds]
    single = {target: _gain(folds, everything, seed, target) for target in targets}
    jaccard, kuncheva = agreement_of(sets, len(pool.features))
    overall = gains["all"]
    assert overall is not None
    return Validated(
        folds=folds,
        unfit=unfit,
        gains=gains,
        frequency=frequencies(sets, pool.features),
        jaccard=jaccard,
        kuncheva=kuncheva,
        trials=trials,
        overall=deflate(overall.value, overall.se, ledger.total(targets)),
        per_target={
            target: deflate(gain.value, gain.se, trials[target]) for target, gain in single.items() if gain is not None
        },
    )


def _gain(
    folds: Sequence[FoldResult], others: Sequence[Score | None], seed: int, target: str | None = None
) -> Gain | None:
    """Gain of the selected sets over one other set per fold, all folds together; None without a fold."""
    tasks: list[Task] = []
    mine: list[Losses] = []
    theirs: list[Losses] = []
    for fold, other in zip(folds, others, strict=True):
        assert other is not None
        for place, task in enumerate(fold.tasks):
            if target is None or task.cell.target == target:
                tasks.append(task)
                mine.append(fold.mine.losses[place])
                theirs.append(other.losses[place])
    return gain_over(tasks, mine, theirs, seed) if tasks else None


def _gain_over_random(folds: Sequence[FoldResult], seed: int) -> Gain | None:
    """Over the mean loss of the random sets."""
    averaged = []
    for fold in folds:
        losses = tuple(
            replace(parts[0], model=np.mean([part.model for part in parts], axis=0))
            for parts in zip(*(score.losses for score in fold.random), strict=True)
        )
        averaged.append(replace(fold.random[0], losses=losses))
    return _gain(folds, averaged, seed)


def _fold_document(fold: FoldResult) -> dict[str, Any]:
    drawn = [score.skill for score in fold.random]
    return {
        "first": iso(fold.first),
        "last": iso(fold.last),
        "selected": list(fold.selected),
        "skill": {
            "selected": fold.mine.skill,
            "all": fold.everything.skill,
            "random": float(np.mean(drawn)),
            "random_low": min(drawn),
            "random_high": max(drawn),
            "last_selection": None if fold.previous is None else fold.previous.skill,
        },
    }
